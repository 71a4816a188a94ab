"""Logits or probabilities and the truth in; temperature, NLL and calibration error out.

Throughout, `truth` is int `[N]`, class indices; rows whose truth is negative (no label) are left
out. Imports no TensorFlow.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax

# A head that is right about every labelled photo would like temperature 0: stop somewhere.
TEMPERATURES = (0.05, 20.0)


@dataclasses.dataclass(frozen=True)
class ReliabilityBins:
    """Photos in bins of equal width by the probability of the predicted class.

    `edges` is float64 `[B + 1]`, `count` int64 `[B]`; `confidence` and `accuracy`, float64
    `[B]`, are the means in the bin, NaN where it is empty; `hits` int64 `[B]`.
    """

    edges: np.ndarray
    count: np.ndarray
    hits: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the temperature at which `softmax(logits / T)` has the least NLL.

    The one-parameter scaling of Guo et al., On Calibration of Modern Neural Networks (2017),
    section 4.2. The NLL is convex in 1/T, so the root of its slope is the minimum. The answer
    is within `TEMPERATURES`. Fit it on validation, never on the photos that are reported.

    Args:
        logits: float `[N, C]`; log-probabilities do as well.
        truth: int `[N]`.

    Raises:
        ValueError: no row has a label.
    """
    logits, truth = _labelled(logits, truth)
    right = logits[np.arange(len(truth)), truth]

    def slope(inverse):
        return float(((softmax(logits * inverse, axis=1) * logits).sum(axis=1) - right).mean())

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    if slope(low) >= 0:
        return TEMPERATURES[1]
    if slope(high) <= 0:
        return TEMPERATURES[0]
    return 1 / brentq(slope, low, high, xtol=1e-9, rtol=1e-9)


def negative_log_likelihood(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean of −log p(truth) in nats, from logits `[N, C]` (not probabilities).

    Raises `ValueError` where no row has a label.
    """
    logits, truth = _labelled(logits, truth)
    return float(-log_softmax(logits, axis=1)[np.arange(len(truth)), truth].mean())


def expected_calibration_error(
    probabilities: np.ndarray, truth: np.ndarray, bins: int = 15
) -> float:
    """Return the ECE of the predicted class: the mean of |accuracy − confidence| over photos' bins.

    With `bins` bins of equal width, as Guo et al. (2017), equation 3; `probabilities` is
    `[N, C]`. Raises `ValueError` where no row has a label.
    """
    found = reliability_bins(probabilities, truth, bins)
    filled = found.count > 0
    gaps = np.abs(found.accuracy[filled] - found.confidence[filled])
    return float((found.count[filled] * gaps).sum() / found.count.sum())


def reliability_bins(
    probabilities: np.ndarray, truth: np.ndarray, bins: int = 15
) -> ReliabilityBins:
    """Sort photos into bins (low, high] by the probability of their predicted class.

    Raises `ValueError` where no row has a label.
    """
    probabilities, truth = _labelled(probabilities, truth)
    confidence = probabilities.max(axis=1)
    hit = probabilities.argmax(axis=1) == truth
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    hits = np.bincount(index, weights=hit, minlength=bins).astype(np.int64)
    total = np.bincount(index, weights=confidence, minlength=bins)
    with np.errstate(invalid="ignore"):
        return ReliabilityBins(edges, count, hits, total / count, hits / count)


def _labelled(scores, truth):
    scores, truth = np.asarray(scores, np.float64), np.asarray(truth)
    known = truth >= 0
    if not known.any():
        raise ValueError("no row has a label: there is nothing to calibrate on")
    return scores[known], truth[known]
