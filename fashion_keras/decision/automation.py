"""How sure a model was and whether it was right in; what can be tagged without a person out.

A photo is accepted when its confidence, the probability of the predicted class, is at least the
threshold. `confidence` is float `[N]`, `correct` bool `[N]`; leave photos without a label out.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

from fashion_keras.decision.parameters import Acceptance


def proportion_interval(
    successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the two-sided Clopper–Pearson interval of each share, float64 `(low, high)`.

    Exact from the binomial distribution (Clopper & Pearson, Biometrika 26, 1934), so never too
    narrow, also where the share is 0. Without trials nothing is known: 0 and 1.
    """
    tail = (1 - confidence) / 2
    successes, trials = np.broadcast_arrays(successes, trials)
    low = beta.ppf(tail, np.maximum(successes, 1), trials - successes + 1)
    return np.where(successes > 0, low, 0.0), _upper(successes, trials, tail)


def upper_bound(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> np.ndarray:
    """Return the one-sided Clopper–Pearson upper bound of each share, float64."""
    return _upper(successes, trials, 1 - confidence)


def _upper(successes, trials, tail):
    successes, trials = np.broadcast_arrays(successes, trials)
    found = beta.ppf(1 - tail, successes + 1, np.maximum(trials - successes, 1))
    return np.where(successes < trials, found, 1.0)


CERTAINTY = 0.95
LEAST = 0.51  # the lowest threshold: between two classes that are all but equal, nothing is sure


@dataclasses.dataclass(frozen=True)
class AutomationCurve:
    """What each threshold that makes a difference would accept, the strictest first.

    All are `[K]`: `confidence` float64, the lowest that is accepted; `accepted` and `wrong`
    int64 counts; `coverage`, the accepted share of all photos; `error`, the wrong share of the
    accepted. Photos of equal confidence are accepted together, so K is at most N.
    """

    confidence: np.ndarray
    accepted: np.ndarray
    wrong: np.ndarray
    coverage: np.ndarray
    error: np.ndarray


@dataclasses.dataclass(frozen=True)
class AcceptanceCheck:
    """What a threshold does to some photos: counts, shares and the error's exact 95% interval.

    `error`, `low` and `high` are None where nothing is accepted, `coverage` is None where there
    are no photos.
    """

    photos: int
    accepted: int
    wrong: int
    coverage: float | None
    error: float | None
    low: float | None
    high: float | None


def automation_curve(confidence: np.ndarray, correct: np.ndarray) -> AutomationCurve:
    """Return coverage and error of every threshold (El-Yaniv & Wiener, JMLR 11, 2010)."""
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, bool)
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order]
    # A threshold cannot part photos of one confidence: keep the last of each.
    last = np.flatnonzero(np.append(np.diff(sorted_confidence) != 0, len(order) > 0))
    accepted = last + 1
    wrong = np.cumsum(~correct[order])[last]
    return AutomationCurve(
        sorted_confidence[last],
        accepted,
        wrong,
        accepted / max(len(order), 1),
        wrong / accepted,
    )


def threshold_for(
    confidence: np.ndarray,
    correct: np.ndarray,
    target_error: float,
    *,
    certainty: float | None = CERTAINTY,
) -> Acceptance | None:
    """Choose the threshold that accepts most photos while the error stays within the target.

    Error is not monotone in the threshold, and the best of thousands of thresholds on one split
    looks better there than it is: chosen by the error itself (`certainty=None`), the next
    photos' error exceeds the target about half the time. So by default the error's one-sided
    Clopper–Pearson bound has to stay within the target, which costs a little coverage. (Taken
    for one threshold it would hold in 95% of splits; the best of all does in about 93%.)

    The threshold lies midway between the least sure photo accepted and the surest one left, so
    that it does not hang on the last digit of either. It is at least `LEAST`: of what no
    validation photo was like, a class that is not the likelier one by far is for a person.

    Args:
        confidence: of a split that is not reported on, in practice validation.
        target_error: the share of mistakes among accepted photos that is wanted at most.
        certainty: of the bound; None takes the error as it is.

    Returns:
        The threshold, and the coverage and error it has on these photos; None where no
        threshold is good enough. With certainty 0.95 and a target of 0.01 that takes at least
        299 photos.
    """
    curve = automation_curve(confidence, correct)
    if certainty is None:
        worst = curve.error
    else:
        worst = upper_bound(curve.wrong, curve.accepted, certainty)
    within = np.flatnonzero((worst <= target_error) & (curve.confidence >= LEAST))
    if not len(within):
        return None
    chosen = within[-1]
    threshold = max(LEAST, np.append(curve.confidence, 0.0)[chosen : chosen + 2].mean())
    return Acceptance(
        float(threshold),
        float(target_error),
        coverage=float(curve.coverage[chosen]),
        error=float(curve.error[chosen]),
    )


def check_threshold(
    confidence: np.ndarray, correct: np.ndarray, threshold: float
) -> AcceptanceCheck:
    """Say what a threshold, chosen elsewhere, does to these photos."""
    accepts = np.asarray(confidence) >= threshold
    return _check(
        len(accepts), int(accepts.sum()), int((accepts & ~np.asarray(correct, bool)).sum())
    )


def check_by_class(
    prediction: np.ndarray,
    confidence: np.ndarray,
    correct: np.ndarray,
    threshold: float,
    num_classes: int,
) -> list[AcceptanceCheck]:
    """Say the same of the photos that are predicted to be of each class, `num_classes` long.

    By prediction and not by truth: it is what a shop sees, the photos that it would tag so.
    """
    prediction, accepts = np.asarray(prediction), np.asarray(confidence) >= threshold
    mistakes = accepts & ~np.asarray(correct, bool)
    counts = (
        np.bincount(prediction[rows], minlength=num_classes)
        for rows in (np.ones_like(accepts), accepts, mistakes)
    )
    return [_check(*map(int, row)) for row in zip(*counts, strict=True)]


def _check(photos, accepted, wrong):
    coverage = accepted / photos if photos else None
    if not accepted:
        return AcceptanceCheck(photos, 0, 0, coverage, None, None, None)
    low, high = map(float, proportion_interval(wrong, accepted))
    return AcceptanceCheck(photos, accepted, wrong, coverage, wrong / accepted, low, high)
