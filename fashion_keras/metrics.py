"""Counts of right and wrong in; accuracy, per-class F1 and both macro-F1s out. Only NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a confusion matrix, or its diagonal and its margins, say.

    `macro_f1` averages over the classes present in truth or predictions, as scikit-learn's
    `f1_score(average="macro")` does; `macro_f1_all` over the whole vocabulary, where a class
    that never occurs counts 0. `precision`, `recall`, `f1` (float64) and `support` (int64; float64
    where photos have weights) are `[C]`; what would divide by zero is 0.
    """

    accuracy: float
    macro_f1: float
    macro_f1_all: float
    weighted_f1: float
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


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
    hits, support, predicted = (np.asarray(n, np.float64) for n in (hits, support, predicted))
    f1 = _ratio(2 * hits, support + predicted)
    present = (support + predicted) > 0
    total = support.sum()
    whole = support.astype(np.int64)
    return Scores(
        accuracy=float(_ratio(hits.sum(), total)),
        macro_f1=float(f1[present].mean()) if present.any() else 0.0,
        macro_f1_all=float(f1.mean()),
        weighted_f1=float(_ratio((f1 * support).sum(), total)),
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=f1,
        support=whole if (whole == support).all() else support,
    )


def _ratio(numerator, denominator):
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
