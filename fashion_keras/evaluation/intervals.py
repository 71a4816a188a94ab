"""A confusion matrix in; bootstrap confidence intervals of its scores out. Only NumPy."""

from __future__ import annotations

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
    tail = (1 - confidence) / 2
    bounds = {name: np.quantile(values, (tail, 1 - tail)) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def resampled_scores(
    matrix: ArrayLike, *, resamples: int = 2000, seed: int = 0, stratified: bool = False
) -> dict[str, np.ndarray]:
    """Return each score of `METRICS` of every bootstrap resample, float64 `[resamples]`."""
    matrix = np.asarray(matrix, np.int64)
    truth, prediction = np.nonzero(matrix)
    counts = matrix[truth, prediction]
    total = int(counts.sum())
    if not total:
        raise ValueError("the confusion matrix is empty: there is nothing to resample")
    generator = np.random.default_rng(seed)
    # One column a class: summing a draw's cells by class is then a matrix product.
    classes = np.arange(len(matrix))
    by_truth = (truth[:, None] == classes).astype(np.float64)
    by_prediction = (prediction[:, None] == classes).astype(np.float64)
    on_diagonal = by_truth * by_prediction
    chunk = max(1, _CELLS_AT_ONCE // len(counts))
    parts = []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        draw = _draw(generator, counts, truth if stratified else np.zeros_like(truth), size)
        drawn = Counts(draw @ on_diagonal, draw @ by_truth, draw @ by_prediction)
        parts.append({metric.key: metric.compute(drawn) for metric in METRICS})
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _draw(generator, counts, stratum, size):
    """Draw the cells' counts anew, each stratum's photos among themselves: float64 `[R, cells]`."""
    drawn = np.empty((size, len(counts)))
    for number in np.unique(stratum):
        cells = stratum == number
        total = counts[cells].sum()
        drawn[:, cells] = generator.multinomial(total, counts[cells] / total, size=size)
    return drawn
