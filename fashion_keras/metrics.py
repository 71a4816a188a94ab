"""The scores of a classifier's head, a row each, and what computes them. Only NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Counts:
    """How often each class is predicted rightly, true, and predicted: float64 `[..., C]` each."""

    hits: np.ndarray
    support: np.ndarray
    predicted: np.ndarray

    @property
    def f1(self) -> np.ndarray:
        """F1 of each class, 0 where it occurs in neither."""
        return _ratio(2 * self.hits, self.support + self.predicted)

    @property
    def occurs(self) -> np.ndarray:
        """Whether a class occurs among the labels or the predictions."""
        return (self.support + self.predicted) > 0


@dataclasses.dataclass(frozen=True)
class Metric:
    """A score of a head: the training log, evaluation, report and model card read its row.

    `key` is its name in files, `name` in tables, `title` where there is room; `{present}` and
    `{all}` become numbers of classes. `rule` says how it is computed, and `compute` does, from
    counts `[..., C]` to scores `[...]`. `logged` in each epoch's row for training and validation,
    for validation alone (`"val"`), or not at all; `compared` between runs or not.
    """

    key: str
    name: str
    title: str
    note: str
    rule: str
    compute: Callable[[Counts], np.ndarray | np.floating]
    logged: bool | str = False
    compared: bool = False


def _macro_f1(counts: Counts) -> np.ndarray | np.floating:
    if counts.hits.ndim == 1:  # rounded as NumPy's mean of the classes that occur
        return counts.f1[counts.occurs].mean() if counts.occurs.any() else np.float64(0)
    return _ratio(counts.f1.sum(axis=-1), counts.occurs.sum(axis=-1))


METRICS = (
    Metric(
        "accuracy",
        "accuracy",
        "accuracy",
        "photos whose class is right",
        "share of the photos whose prediction is their label",
        lambda counts: _ratio(counts.hits.sum(axis=-1), counts.support.sum(axis=-1)),
        logged=True,
        compared=True,
    ),
    Metric(
        "macro_f1",
        "macro-F1",
        "macro-F1, the {present} classes that occur",
        "mean over the {present} classes that occur",
        "mean F1 of the classes that occur among the labels or the predictions, as "
        "scikit-learn's f1_score(average='macro')",
        _macro_f1,
        logged=True,
        compared=True,
    ),
    Metric(
        "macro_f1_all",
        "macro-F1, all",
        "macro-F1, all {all} classes",
        "over all {all} classes, absent ones 0",
        "mean F1 of every class of the vocabulary; one that occurs in neither counts 0",
        lambda counts: counts.f1.mean(axis=-1),
        logged="val",
    ),
    Metric(
        "weighted_f1",
        "weighted F1",
        "weighted F1",
        "mean weighted by photos",
        "mean F1 weighted by the number of photos of the class",
        lambda counts: _ratio(
            (counts.f1 * counts.support).sum(axis=-1), counts.support.sum(axis=-1)
        ),
    ),
)


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a confusion matrix, or its diagonal and its margins, say.

    `values` has each metric's score by its key; it is an attribute, too: `scores.macro_f1`.
    `precision`, `recall`, `f1` (float64) and `support` (int64; float64 where photos have weights)
    are `[C]`; what would divide by zero is 0.
    """

    values: Mapping[str, float]
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray

    def __getattr__(self, key: str) -> float:
        if key == "values" or key not in self.values:
            raise AttributeError(key)
        return self.values[key]


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Count pairs of class indices: int64 `[C, C]`, rows truth, columns prediction.

    `truth` and `prediction` are int `[N]`; a negative truth (no label) is left out.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    known = truth >= 0
    pairs = truth[known].astype(np.int64) * num_classes + prediction[known]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def scores(matrix: np.ndarray) -> Scores:
    """Compute all scores of a confusion matrix `[C, C]` (rows truth, columns prediction)."""
    matrix = np.asarray(matrix, np.float64)
    return scores_of_counts(np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0))


def scores_of_classes(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> Scores:
    """Compute all scores of pairs of class indices, as of their `confusion_matrix`.

    Without the matrix, which takes gigabytes where there are thousands of classes.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    known = truth >= 0
    truth, prediction = truth[known], prediction[known]
    counted = (truth[truth == prediction], truth, prediction)
    return scores_of_counts(*(np.bincount(some, minlength=num_classes) for some in counted))


def scores_of_counts(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> Scores:
    """Compute all scores of how often each class is predicted rightly, true and predicted.

    `[C]` each: a confusion matrix's diagonal, the sums of its rows and those of its columns.
    """
    counts = Counts(*(np.asarray(n, np.float64) for n in (hits, support, predicted)))
    whole = counts.support.astype(np.int64)
    return Scores(
        values={metric.key: float(metric.compute(counts)) for metric in METRICS},
        precision=_ratio(counts.hits, counts.predicted),
        recall=_ratio(counts.hits, counts.support),
        f1=counts.f1,
        support=whole if (whole == counts.support).all() else counts.support,
    )


def _ratio(numerator, denominator):
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
