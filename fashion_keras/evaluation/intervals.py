"""A confusion matrix, or several models' predictions, in; bootstraps of their scores out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fashion_keras.metrics import METRICS, Counts

_CELLS_AT_ONCE = 1 << 21  # numbers drawn at a time: 16 MB, whatever the size of the matrix


def bootstrap_intervals(
    matrix: ArrayLike,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    stratified: bool = False,
) -> dict[str, tuple[float, float]]:
    """Return the percentile bootstrap interval `(low, high)` of each score of `METRICS`.

    Photos are drawn with replacement and scored anew, `resamples` times (Efron & Tibshirani,
    An Introduction to the Bootstrap, 1993, chapter 13). The scores depend on a photo only
    through its cell of the confusion matrix, so drawing the counts of the cells from a
    multinomial distribution is drawing the photos. The model stays as it is: the interval says
    how much the choice of photos matters, not how much the training's seed does.

    Args:
        matrix: counts `[C, C]`, rows truth, columns prediction.
        confidence: the share of resamples that the interval holds.
        stratified: draw each true class's photos among themselves, so that every resample has
            the split's class counts. The interval then leaves out that another sample of
            photos would have had other counts, and rare classes are never missing.

    Raises:
        ValueError: the matrix is empty.
    """
    drawn = resampled_scores(matrix, resamples=resamples, seed=seed, stratified=stratified)
    return {name: percentiles(values, confidence) for name, values in drawn.items()}


def percentiles(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval that holds the middle share of some values, `(low, high)`."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)


def resampled_scores(
    matrix: ArrayLike, *, resamples: int = 2000, seed: int = 0, stratified: bool = False
) -> dict[str, np.ndarray]:
    """Return each score of `METRICS` of every bootstrap resample, float64 `[resamples]`."""
    matrix = np.asarray(matrix, np.int64)
    cells = np.argwhere(matrix)
    if not len(cells):
        raise ValueError("the confusion matrix is empty: there is nothing to resample")
    strata = cells[:, 0] if stratified else None
    found = _resampled(cells, matrix[tuple(cells.T)], len(matrix), resamples, seed, strata)
    return {key: values[:, 0] for key, values in found.items()}


def paired_bootstrap(
    truth: np.ndarray,
    predictions: Sequence[np.ndarray],
    num_classes: int,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Score all models on the same photos, drawn anew with replacement `resamples` times.

    Paired (Efron & Tibshirani, chapter 16): within a resample every model is scored on the same
    photos, so that a difference between columns does not hold what they share.

    Args:
        truth: class indices `[N]`, -1 where there is none: that photo counts nowhere.
        predictions: class indices `[N]` of each of K models.
        num_classes: classes of the vocabulary.

    Returns:
        Each score of `METRICS` by its key, of every resample, float64 `[resamples, K]`.

    Raises:
        ValueError: no photo has a label.
    """
    table = np.stack([truth, *predictions], axis=1)[np.asarray(truth) >= 0]
    if not len(table):
        raise ValueError("no photo has a label: there is nothing to resample")
    cells, counts = np.unique(table, axis=0, return_counts=True)
    return _resampled(cells, counts, num_classes, resamples, seed)


def _resampled(cells, counts, num_classes, resamples, seed, strata=None):
    """Draw the photos' tuples of truth and each model's prediction; return scores `[R, K]`."""
    strata = np.zeros_like(counts) if strata is None else strata
    generator = np.random.default_rng(seed)
    # One column a class: summing a draw's cells by class is then a matrix product.
    classes = np.arange(num_classes)
    by_truth, *by_prediction = (
        (column[:, None] == classes).astype(np.float64) for column in cells.T
    )
    at_once = max(1, _CELLS_AT_ONCE // len(counts))
    parts = []
    for start in range(0, resamples, at_once):
        drawn = _draw(generator, counts, strata, min(at_once, resamples - start))
        support = drawn @ by_truth
        by_model = [Counts(drawn @ (by_truth * one), support, drawn @ one) for one in by_prediction]
        parts.append({m.key: np.stack([m.compute(c) for c in by_model], axis=1) for m in METRICS})
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _draw(generator, counts, strata, size):
    """Draw the cells' counts anew, each stratum's photos among themselves: float64 `[R, cells]`."""
    drawn = np.empty((size, len(counts)))
    for number in np.unique(strata):
        cells = strata == number
        total = counts[cells].sum()
        drawn[:, cells] = generator.multinomial(total, counts[cells] / total, size=size)
    return drawn
