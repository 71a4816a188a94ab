"""Bootstrap intervals, against resampling photo by photo."""

from itertools import product

import numpy as np
import pytest

from fashion_keras.evaluation.intervals import bootstrap_intervals, resampled_scores
from fashion_keras.metrics import METRICS, confusion_matrix, scores

SCORES = tuple(metric.key for metric in METRICS)

CLASSES = 7  # 6 never occurs; 5 is predicted but never true; 4 has two photos


@pytest.fixture(scope="module")
def photos():
    generator = np.random.default_rng(3)
    truth = np.concatenate([generator.choice(4, 118, p=[0.6, 0.2, 0.15, 0.05]), [4, 4]])
    prediction = np.where(generator.random(120) < 0.75, truth, generator.integers(0, 6, 120))
    return truth, prediction


@pytest.fixture(scope="module")
def one_by_one(photos):
    """Scores of 3,000 resamples, each photo drawn by itself."""
    truth, prediction = photos
    generator = np.random.default_rng(11)
    rows = []
    for _ in range(3000):
        drawn = generator.integers(0, len(truth), len(truth))
        found = scores(confusion_matrix(truth[drawn], prediction[drawn], CLASSES))
        rows.append(list(found.values.values()))
    return dict(zip(SCORES, np.array(rows).T, strict=True))


def test_intervals_agree_with_resampling_photos_one_by_one(photos, one_by_one):
    found = bootstrap_intervals(confusion_matrix(*photos, CLASSES), resamples=20_000)
    for name in SCORES:
        expected = np.quantile(one_by_one[name], (0.025, 0.975))
        # About 3 standard errors of a 2.5% quantile of 3,000 resamples.
        np.testing.assert_allclose(
            found[name], expected, atol=0.15 * one_by_one[name].std() + 1 / 120, err_msg=name
        )


def test_resamples_have_the_spread_of_resampled_photos(photos, one_by_one):
    found = resampled_scores(confusion_matrix(*photos, CLASSES), resamples=20_000)
    for name in SCORES:
        assert found[name].std() == pytest.approx(one_by_one[name].std(), rel=0.05), name
        assert found[name].mean() == pytest.approx(one_by_one[name].mean(), abs=0.005), name


def test_a_resample_is_scored_as_metrics_scores_it():
    # Four photos in four cells: 35 matrices are possible.
    truth = np.array([0, 1, 1, 2])
    matrix = confusion_matrix(truth, np.array([0, 1, 2, 2]), 4)
    drawn = resampled_scores(matrix, resamples=400)
    possible = [
        scores(np.bincount([0, 5, 6, 10], weights=cells, minlength=16).reshape(4, 4))
        for cells in product(range(5), repeat=4)
        if sum(cells) == 4
    ]
    expected = {tuple(round(getattr(s, name), 9) for name in SCORES) for s in possible}
    found = {tuple(np.round(row, 9).tolist()) for row in np.stack([*drawn.values()], axis=1)}
    assert found <= expected


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
    in_parts = bootstrap_intervals(matrix, resamples=300)
    for name in SCORES:
        assert in_parts[name] == pytest.approx(whole[name]), name


def test_a_stratified_resample_has_the_splits_class_counts(photos):
    truth, prediction = photos
    drawn = resampled_scores(confusion_matrix(*photos, CLASSES), resamples=4000, stratified=True)
    generator = np.random.default_rng(5)
    rows = [np.flatnonzero(truth == number) for number in np.unique(truth)]
    expected = []
    for _ in range(3000):
        chosen = np.concatenate([generator.choice(row, len(row)) for row in rows])
        found = scores(confusion_matrix(truth[chosen], prediction[chosen], CLASSES))
        expected.append([getattr(found, name) for name in SCORES])
    for name, values in zip(SCORES, np.array(expected).T, strict=True):
        assert drawn[name].mean() == pytest.approx(values.mean(), abs=0.005), name
        assert drawn[name].std() == pytest.approx(values.std(), rel=0.07), name


def test_stratified_intervals_are_narrower_where_classes_differ():
    # One class always right, the other never: within a class nothing varies.
    matrix = np.array([[80, 0], [20, 0]])
    assert bootstrap_intervals(matrix, resamples=200, stratified=True)["accuracy"] == (0.8, 0.8)
    low, high = bootstrap_intervals(matrix, resamples=200)["accuracy"]
    assert low < 0.8 < high


def test_an_empty_matrix_is_refused():
    with pytest.raises(ValueError, match="empty"):
        bootstrap_intervals(np.zeros((3, 3)))
