"""Counts of successes and trials in; exact binomial intervals of the share out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta


def proportion_interval(
    successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the two-sided Clopper–Pearson interval of each share, float64 `(low, high)`.

    Exact from the binomial distribution (Clopper & Pearson, Biometrika 26, 1934), so never too
    narrow, also where the share is 0. Without trials nothing is known: 0 and 1.
    """
    tail = (1 - confidence) / 2
    return _lower(successes, trials, tail), _upper(successes, trials, tail)


def upper_bound(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> np.ndarray:
    """Return the one-sided Clopper–Pearson upper bound of each share, float64."""
    return _upper(successes, trials, 1 - confidence)


def _lower(successes, trials, tail):
    successes, trials = np.broadcast_arrays(successes, trials)
    found = beta.ppf(tail, np.maximum(successes, 1), trials - successes + 1)
    return np.where(successes > 0, found, 0.0)


def _upper(successes, trials, tail):
    successes, trials = np.broadcast_arrays(successes, trials)
    found = beta.ppf(1 - tail, successes + 1, np.maximum(trials - successes, 1))
    return np.where(successes < trials, found, 1.0)
