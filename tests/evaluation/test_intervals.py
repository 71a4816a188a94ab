"""Bootstrap intervals, against resampling photo by photo with scikit-learn's scores."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from fashion_keras.evaluation.intervals import SCORES, bootstrap_intervals, resampled_scores
from fashion_keras.training.metrics import confusion_matrix, scores

CLASSES = 7  # 6 never occurs; 5 is predicted but never true; 4 has two photos


@pytest.fixture(scope="module")
def photos():
    generator = np.random.default_rng(3)
    truth = np.concatenate([generator.choice(4, 118, p=[0.6, 0.2, 0.15, 0.05]), [4, 4]])
    prediction = np.where(generator.random(120) < 0.75, truth, generator.integers(0, 6, 120))
    return truth, prediction


def brute_force(truth, prediction, resamples):
    generator = np.random.default_rng(11)
    options = {"zero_division": 0}
    rows = []
    for _ in range(resamples):
        drawn = generator.integers(0, len(truth), len(truth))
        t, p = truth[drawn], prediction[drawn]
        rows.append(
            (
                sklearn.accuracy_score(t, p),
                sklearn.f1_score(t, p, average="macro", **options),
                sklearn.f1_score(t, p, average="macro", labels=range(CLASSES), **options),
                sklearn.f1_score(t, p, average="weighted", **options),
            )
        )
    return dict(zip(SCORES, np.array(rows).T, strict=True))


def test_intervals_agree_with_resampling_photos_one_by_one(photos):
    expected = brute_force(*photos, resamples=800)
    found = bootstrap_intervals(confusion_matrix(*photos, CLASSES), resamples=8000)
    for name in SCORES:
        # Bounds of 800 resamples are known to about a tenth of the interval's width.
        np.testing.assert_allclose(
            found[name], np.quantile(expected[name], (0.025, 0.975)), atol=0.02, err_msg=name
        )


def test_resamples_have_the_spread_of_resampled_photos(photos):
    expected = brute_force(*photos, resamples=800)
    found = resampled_scores(confusion_matrix(*photos, CLASSES), resamples=8000)
    for name in SCORES:
        assert found[name].std() == pytest.approx(expected[name].std(), rel=0.1), name
        assert found[name].mean() == pytest.approx(expected[name].mean(), abs=0.01), name


def test_accuracys_interval_is_the_binomials():
    matrix = np.array([[900, 50], [50, 0]])
    low, high = bootstrap_intervals(matrix, resamples=20_000)["accuracy"]
    half = 1.96 * np.sqrt(0.9 * 0.1 / 1000)
    assert (low, high) == pytest.approx((0.9 - half, 0.9 + half), abs=0.0015)


def test_a_matrix_with_one_cell_has_intervals_without_width():
    matrix = np.diag([50, 0, 0])
    expected = scores(matrix)
    found = bootstrap_intervals(matrix, resamples=50)
    assert found == {name: (getattr(expected, name),) * 2 for name in SCORES}


def test_the_same_seed_gives_the_same_interval_and_another_another(photos):
    matrix = confusion_matrix(*photos, CLASSES)
    first = bootstrap_intervals(matrix, resamples=300, seed=1)
    assert first == bootstrap_intervals(matrix, resamples=300, seed=1)
    assert first != bootstrap_intervals(matrix, resamples=300, seed=2)


def test_drawing_in_parts_draws_the_same(photos, monkeypatch):
    matrix = confusion_matrix(*photos, CLASSES)
    whole = bootstrap_intervals(matrix, resamples=300)
    monkeypatch.setattr("fashion_keras.evaluation.intervals._CELLS_AT_ONCE", 100)
    assert bootstrap_intervals(matrix, resamples=300) == pytest.approx(whole)


def test_an_empty_matrix_is_refused():
    with pytest.raises(ValueError, match="empty"):
        bootstrap_intervals(np.zeros((3, 3)))
