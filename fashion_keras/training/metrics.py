"""A confusion matrix in; accuracy, per-class F1 and both macro-F1s out. Only NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a confusion matrix says.

    `macro_f1` averages over the classes present in truth or predictions, as scikit-learn's
    `f1_score(average="macro")` does; `macro_f1_all` over the whole vocabulary, where a class
    that never occurs counts 0. `precision`, `recall`, `f1` (float64) and `support` (int64) are
    `[C]`; what would divide by zero is 0.
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
    hits = np.diagonal(matrix)
    support = matrix.sum(axis=1)
    predicted = matrix.sum(axis=0)
    f1 = _ratio(2 * hits, support + predicted)
    present = (support + predicted) > 0
    total = matrix.sum()
    return Scores(
        accuracy=float(_ratio(hits.sum(), total)),
        macro_f1=float(f1[present].mean()) if present.any() else 0.0,
        macro_f1_all=float(f1.mean()),
        weighted_f1=float(_ratio((f1 * support).sum(), total)),
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=f1,
        support=support.astype(np.int64),
    )


def _ratio(numerator, denominator):
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
