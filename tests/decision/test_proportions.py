"""Exact binomial intervals, against SciPy's own test and by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest

from fashion_keras.decision.automation import proportion_interval, upper_bound

CASES = [(0, 1), (0, 30), (1, 1), (1, 30), (7, 30), (30, 30), (52, 6000)]


@pytest.mark.parametrize(("successes", "trials"), CASES)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_is_scipys_exact_one(successes, trials, confidence):
    expected = binomtest(successes, trials).proportion_ci(confidence, method="exact")
    found = proportion_interval(successes, trials, confidence)
    np.testing.assert_allclose(found, (expected.low, expected.high), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("successes", "trials"), CASES)
def test_the_bound_is_scipys_one_sided_one(successes, trials):
    expected = binomtest(successes, trials, alternative="less").proportion_ci(0.95, method="exact")
    np.testing.assert_allclose(upper_bound(successes, trials), expected.high, rtol=1e-9)


def test_no_mistake_in_n_photos_bounds_the_error_as_the_power_says():
    # (1 - p)^n = 0.05 solved for p: the largest error at which no mistake is still likely.
    np.testing.assert_allclose(upper_bound(0, 299), 1 - 0.05 ** (1 / 299))


def test_without_trials_nothing_is_known():
    assert [float(bound) for bound in proportion_interval(0, 0)] == [0, 1]


def test_arrays_are_taken_at_once():
    low, high = proportion_interval(np.array([0, 3]), np.array([5, 9]))
    assert low.shape == high.shape == (2,)
    assert high[1] == proportion_interval(3, 9)[1]
