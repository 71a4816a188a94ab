"""Which photos are picked: confusions by size, mistakes by sureness, hits by doubt."""

import numpy as np
import pytest

from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.report.examples import largest_confusions, sure_mistakes, unsure_hits

#            0  1  2  3  4  5   6  7
TRUTH = [0, 0, 0, 1, 1, 2, -1, 0]
SAID = [1, 1, 0, 2, 1, 0, 0, 2]
LOGIT = [3, 5, 2, 4, 1, 6, 9, 7]  # of what was said; the others' are 0


@pytest.fixture
def predictions():
    logits = np.eye(3, dtype=np.float32)[SAID] * np.array(LOGIT, np.float32)[:, None]
    return Predictions("test", list("abcdefgh"), {"kind": np.array(TRUTH)}, {"kind": logits})


def test_mistakes_are_the_wrong_ones_surest_first(predictions):
    assert sure_mistakes(predictions, "kind", 99).tolist() == [7, 5, 1, 3, 0]
    assert sure_mistakes(predictions, "kind", 2).tolist() == [7, 5]


def test_hits_are_the_right_ones_least_sure_first(predictions):
    assert unsure_hits(predictions, "kind", 99).tolist() == [4, 2]


def test_confusions_by_count_then_by_share_of_the_true_class(predictions):
    found = largest_confusions(predictions, "kind", examples=1)
    assert [(c.truth, c.prediction, c.count, c.share) for c in found] == [
        (0, 1, 2, 0.5),
        (2, 0, 1, 1.0),
        (1, 2, 1, 0.5),
        (0, 2, 1, 0.25),
    ]
    assert [c.rows.tolist() for c in found] == [[1], [5], [3], [7]]


def test_no_more_confusions_than_asked(predictions):
    assert len(largest_confusions(predictions, "kind", most=1)) == 1


def test_a_perfect_model_confuses_nothing():
    perfect = Predictions("test", ["a"], {"kind": np.array([1])}, {"kind": np.eye(2)[[1]]})
    assert largest_confusions(perfect, "kind") == []
    assert sure_mistakes(perfect, "kind", 5).tolist() == []
