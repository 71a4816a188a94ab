import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from fashion_keras.training.losses import HeadLoss, class_weights, logit_offsets

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 4)).astype("float32")
ONE_HOT = np.eye(4, dtype="float32")[[0, 1, 2, 3, 0, 1]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_keras_cross_entropy(smoothing):
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    ours = HeadLoss(label_smoothing=smoothing)
    assert float(ours(ONE_HOT, LOGITS)) == pytest.approx(float(expected(ONE_HOT, LOGITS)), rel=1e-5)


def test_product_without_the_label_costs_nothing_and_is_not_counted():
    missing = ONE_HOT.copy()
    missing[3:] = 0
    ours = HeadLoss(label_smoothing=0.1)
    assert float(ours(missing, LOGITS)) == pytest.approx(float(ours(ONE_HOT[:3], LOGITS[:3])))


def test_batch_without_any_label_costs_zero():
    assert float(HeadLoss(0.1)(np.zeros_like(ONE_HOT), LOGITS)) == 0


def test_class_weights_scale_each_photo():
    weights = [1.0, 2.0, 3.0, 4.0]
    log_p = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
    expected = np.mean([-log_p[i, k] * weights[k] for i, k in enumerate(ONE_HOT.argmax(1))])
    assert float(HeadLoss(0.0, weights)(ONE_HOT, LOGITS)) == pytest.approx(expected, rel=1e-5)


def test_balanced_weights_are_in_scikit_learns_proportions():
    truth = np.repeat([0, 1, 2], [50, 10, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=truth)
    ours = class_weights("balanced", [50, 10, 2])
    np.testing.assert_allclose(ours / ours[0], expected / expected[0])


def test_effective_number_weights_follow_the_formula():
    ours = class_weights("effective-number", [1000, 10], beta=0.99)
    expected = (0.01 / (1 - 0.99**10)) / (0.01 / (1 - 0.99**1000))
    assert ours[1] / ours[0] == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["balanced", "effective-number"])
def test_weights_average_one_over_the_photos_and_spare_unseen_classes(rule):
    counts = np.array([30, 5, 0, 1])
    weights = class_weights(rule, counts)
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)
    assert weights[2] == 1


def test_no_weights_and_unknown_rule():
    assert class_weights("none", [1, 2]) is None
    with pytest.raises(ValueError, match="balanced"):
        class_weights("sqrt", [1, 2])


def test_offsets_are_added_to_the_logits():
    offsets = [0.5, -1.0, 0.0, 2.0]
    expected = HeadLoss(0.1)(ONE_HOT, LOGITS + np.array(offsets, "float32"))
    assert float(HeadLoss(0.1, None, offsets)(ONE_HOT, LOGITS)) == pytest.approx(float(expected))


def test_adjusted_loss_is_minimal_where_unadjusted_logits_are_the_balanced_posterior():
    """Menon et al., 2021, theorem 1, on one point: p(y|x) with prior π gives f = log p − log π."""
    posterior, counts = np.array([0.7, 0.25, 0.05]), [70, 20, 10]
    offsets = logit_offsets(1.0, counts)
    best = np.log(posterior) - np.log(np.array(counts) / 100)
    truth = np.eye(3, dtype="float32")

    def risk(logits):
        loss = HeadLoss(0.0, None, offsets)
        each = [float(loss(truth[k : k + 1], logits[None].astype("float32"))) for k in range(3)]
        return float(posterior @ each)

    rng = np.random.default_rng(0)
    assert all(risk(best) < risk(best + rng.normal(size=3)) for _ in range(20))


def test_no_adjustment_and_unseen_classes():
    assert logit_offsets(0.0, [1, 2]) is None
    np.testing.assert_allclose(logit_offsets(1.0, [9, 0]), np.log([0.9, 0.1]))
