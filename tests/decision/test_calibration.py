"""Temperature, NLL and calibration error, against scikit-learn, SciPy and hand computation."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.metrics import log_loss

from fashion_keras.decision.calibration import (
    TEMPERATURES,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability_bins,
)


def drawn(temperature, *, rows=4000, classes=6, seed=0):
    """Logits whose truth is drawn from the softmax of logits / temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)).astype(np.float32) * 4
    noise = generator.gumbel(size=logits.shape)
    return logits, (logits / temperature + noise).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    found = fit_temperature(*drawn(temperature, rows=40_000))
    assert found == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("temperature", [0.5, 2.5])
def test_no_other_temperature_has_a_smaller_log_loss(temperature):
    logits, truth = drawn(temperature)

    def loss(log_temperature):
        scaled = softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)
        return log_loss(truth, scaled, labels=range(6))

    best = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-8})
    assert fit_temperature(logits, truth) == pytest.approx(np.exp(best.x), rel=1e-4)


def test_a_model_that_is_always_right_or_knows_nothing_gets_the_last_temperature():
    logits = np.eye(3, dtype=np.float32)
    assert fit_temperature(logits, np.arange(3)) == TEMPERATURES[0]
    assert fit_temperature(logits, np.array([1, 2, 0])) == TEMPERATURES[1]


def test_log_probabilities_have_the_temperature_of_their_logits():
    logits, truth = drawn(2.0)
    log_probabilities = np.log(softmax(logits.astype(np.float64), axis=1))
    assert fit_temperature(log_probabilities, truth) == pytest.approx(
        fit_temperature(logits, truth), rel=1e-6
    )


def test_nll_is_scikit_learns_log_loss():
    logits, truth = drawn(1.0)
    expected = log_loss(truth, softmax(logits.astype(np.float64), axis=1), labels=range(6))
    assert negative_log_likelihood(logits, truth) == pytest.approx(expected, rel=1e-9)


def test_nll_of_a_sure_mistake_is_finite():
    assert negative_log_likelihood([[1000.0, 0.0]], [1]) == pytest.approx(1000)


def test_calibration_error_by_hand():
    # Four bins of a quarter: 0.6 and 0.7 in the third, 1 of 2 right, mean 0.65; 0.9 alone, right.
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1]])
    found = expected_calibration_error(probabilities, np.array([0, 0, 0]), bins=4)
    assert found == pytest.approx((2 * 0.15 + 1 * 0.1) / 3)


def test_calibration_error_is_that_of_a_plain_loop():
    logits, truth = drawn(2.0)
    probabilities = softmax(logits, axis=1)
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    expected = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(probabilities, truth) == pytest.approx(expected, rel=1e-6)


def test_temperature_scaling_mends_an_overconfident_model():
    logits, truth = drawn(3.0)
    temperature = fit_temperature(logits, truth)
    before, after = softmax(logits, axis=1), softmax(logits / temperature, axis=1)
    assert expected_calibration_error(before, truth) > 0.2
    assert expected_calibration_error(after, truth) < 0.03


def test_bins_hold_every_photo_once_also_at_their_edges():
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0], [0.0, 1.0]])
    found = reliability_bins(probabilities, np.array([0, 0, 0, 0]), bins=4)
    assert found.count.tolist() == [0, 1, 1, 2]
    assert found.hits.tolist() == [0, 1, 1, 1]
    np.testing.assert_allclose(found.confidence, [np.nan, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(found.accuracy, [np.nan, 1.0, 1.0, 0.5])


@pytest.mark.parametrize("measure", [fit_temperature, negative_log_likelihood])
def test_rows_without_a_label_are_left_out(measure):
    logits, truth = drawn(2.0, rows=500)
    holes = truth.copy()
    holes[::3] = -1
    assert measure(logits, holes) == pytest.approx(measure(logits[holes >= 0], truth[holes >= 0]))


def test_bins_leave_out_rows_without_a_label():
    assert reliability_bins(np.full((2, 2), 0.5), np.array([-1, 0])).count.sum() == 1


@pytest.mark.parametrize(
    "measure", [fit_temperature, negative_log_likelihood, expected_calibration_error]
)
def test_nothing_labelled_is_an_error(measure):
    with pytest.raises(ValueError, match="no row has a label"):
        measure(np.zeros((2, 3)), np.array([-1, -1]))
