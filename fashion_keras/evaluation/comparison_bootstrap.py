"""Truth and several models' predictions in, paired bootstrap scores of each out. Only NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_NUMBERS_AT_ONCE = 1 << 21  # 16 MB of draws, however many photos there are


def paired_bootstrap(
    truth: np.ndarray,
    predictions: Sequence[np.ndarray],
    num_classes: int,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Score all models on the same photos, drawn anew with replacement `resamples` times.

    Paired (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 16): within a
    resample every model is scored on the same photos, so that a difference between columns does
    not hold what they share. A photo matters only through its tuple of truth and predictions,
    so drawing the tuples' counts from a multinomial distribution is drawing the photos.

    Args:
        truth: class indices `[N]`, -1 where there is none: that photo counts nowhere.
        predictions: class indices `[N]` of each of K models.
        num_classes: classes of the vocabulary.

    Returns:
        Accuracy and macro-F1 (mean over the classes that occur among truth or predictions of
        that resample), float64 `[resamples, K]` each.

    Raises:
        ValueError: no photo has a label.
    """
    table = np.stack([truth, *predictions], axis=1)[np.asarray(truth) >= 0]
    if not len(table):
        raise ValueError("no photo has a label: there is nothing to resample")
    cells, counts = np.unique(table, axis=0, return_counts=True)
    total = int(counts.sum())
    classes = np.arange(num_classes)
    by_truth = (cells[:, :1] == classes).astype(np.float64)
    by_prediction = [
        (cells[:, k : k + 1] == classes).astype(np.float64) for k in range(1, cells.shape[1])
    ]
    generator = np.random.default_rng(seed)
    at_once = max(1, _NUMBERS_AT_ONCE // len(counts))
    accuracy, macro_f1 = [], []
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = generator.multinomial(total, counts / total, size=size).astype(np.float64)
        support = drawn @ by_truth
        scored = [_scores(drawn, support, by_truth, one) for one in by_prediction]
        accuracy.append(np.stack([a for a, _ in scored], axis=1))
        macro_f1.append(np.stack([f for _, f in scored], axis=1))
    return np.concatenate(accuracy), np.concatenate(macro_f1)


def _scores(drawn, support, by_truth, by_prediction):
    hits = drawn @ (by_truth * by_prediction)
    occurring = support + drawn @ by_prediction
    f1 = np.divide(2 * hits, occurring, out=np.zeros_like(hits), where=occurring > 0)
    accuracy = hits.sum(axis=1) / support.sum(axis=1)
    return accuracy, f1.sum(axis=1) / (occurring > 0).sum(axis=1)
