"""Scores of a confusion matrix, against scikit-learn's on the same predictions."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from fashion_keras.metrics import confusion_matrix, scores, scores_of_classes

CLASSES = 6
CASES = {
    "every class occurs": ([0, 1, 2, 3, 4, 5, 5, 5, 2], [0, 1, 2, 3, 4, 5, 0, 5, 1]),
    "a class is predicted but never true": ([0, 0, 1, 1], [0, 3, 1, 1]),
    "a class is true but never predicted": ([0, 0, 1, 4], [0, 0, 1, 1]),
    "classes are absent altogether": ([0, 0, 2], [0, 2, 2]),
    "all are right": ([1, 2, 3], [1, 2, 3]),
    "all are wrong": ([1, 2, 3], [2, 3, 1]),
}
EVERY_CASE = pytest.mark.parametrize("truth, prediction", CASES.values(), ids=CASES)


def found(truth, prediction):
    return scores(confusion_matrix(np.array(truth), np.array(prediction), CLASSES))


@EVERY_CASE
def test_confusion_matrix_is_scikit_learns(truth, prediction):
    matrix = confusion_matrix(np.array(truth), np.array(prediction), CLASSES)
    expected = sklearn.confusion_matrix(truth, prediction, labels=range(CLASSES))
    np.testing.assert_array_equal(matrix, expected)
    assert matrix.dtype == np.int64


@EVERY_CASE
def test_accuracy_is_scikit_learns(truth, prediction):
    expected = sklearn.accuracy_score(truth, prediction)
    assert found(truth, prediction).accuracy == pytest.approx(expected)


@EVERY_CASE
def test_macro_f1_is_scikit_learns_default(truth, prediction):
    expected = sklearn.f1_score(truth, prediction, average="macro", zero_division=0)
    assert found(truth, prediction).macro_f1 == pytest.approx(expected)


@EVERY_CASE
def test_macro_f1_all_is_scikit_learns_with_every_label_named(truth, prediction):
    expected = sklearn.f1_score(
        truth, prediction, average="macro", labels=range(CLASSES), zero_division=0
    )
    assert found(truth, prediction).macro_f1_all == pytest.approx(expected)


@EVERY_CASE
def test_weighted_f1_is_scikit_learns(truth, prediction):
    expected = sklearn.f1_score(truth, prediction, average="weighted", zero_division=0)
    assert found(truth, prediction).weighted_f1 == pytest.approx(expected)


@EVERY_CASE
def test_per_class_scores_are_scikit_learns(truth, prediction):
    result = found(truth, prediction)
    precision, recall, f1, support = sklearn.precision_recall_fscore_support(
        truth, prediction, labels=range(CLASSES), zero_division=0
    )
    np.testing.assert_allclose(result.precision, precision)
    np.testing.assert_allclose(result.recall, recall)
    np.testing.assert_allclose(result.f1, f1)
    np.testing.assert_array_equal(result.support, support)


def test_scores_agree_with_scikit_learn_on_many_classes():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 100, 2000)
    prediction = np.where(generator.random(2000) < 0.7, truth, generator.integers(0, 143, 2000))
    result = scores(confusion_matrix(truth, prediction, 143))
    expected = sklearn.f1_score(truth, prediction, average="macro", zero_division=0)
    assert result.macro_f1 == pytest.approx(expected)


@EVERY_CASE
def test_scores_without_the_matrix_are_those_of_the_matrix(truth, prediction):
    truth, prediction = np.array([*truth, -1]), np.array([*prediction, 0])
    expected = scores(confusion_matrix(truth, prediction, CLASSES))
    direct = scores_of_classes(truth, prediction, CLASSES)
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(direct, name), value)


def test_photos_without_a_label_are_left_out():
    with_missing = confusion_matrix(np.array([0, -1, 1, -1]), np.array([0, 1, 2, 0]), 3)
    without = confusion_matrix(np.array([0, 1]), np.array([0, 2]), 3)
    np.testing.assert_array_equal(with_missing, without)


def test_no_photos_score_zero_and_not_nan():
    result = scores(confusion_matrix(np.array([], int), np.array([], int), 3))
    assert (result.accuracy, result.macro_f1, result.macro_f1_all, result.weighted_f1) == (0,) * 4
