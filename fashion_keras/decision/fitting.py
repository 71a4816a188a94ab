"""Validation logits in; the `Decision` that they justify, and what each part gained, out.

Works on NumPy arrays: a candidate costs milliseconds, and TensorFlow is not needed. The formulas
are those of `decision.layer`, which builds the result into a model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax, softmax

from fashion_keras.config import DecisionConfig
from fashion_keras.decision.automation import threshold_for
from fashion_keras.decision.calibration import (
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
)
from fashion_keras.decision.parameters import Decision, Mix
from fashion_keras.metrics import scores_of_classes

if TYPE_CHECKING:
    from fashion_keras.evaluation.predictions import Predictions

# A head is finer than the headline where its class leaves this share of products no choice.
_IMPLIES = 0.98
_WEIGHTS = np.linspace(0.0, 1.0, 21)
_TAUS = np.linspace(0.0, 1.0, 41)
# What accuracy a class bias may cost: one photo in a thousand.
_ACCURACY_LOSS = 0.001
# And what share of the photos it may hand back to a person, since it blurs who is sure.
_COVERAGE_LOSS = 0.01
_SMALLEST = 1e-12


@dataclasses.dataclass(frozen=True)
class Step:
    """What the headline scores on validation with the parts fitted so far."""

    part: str
    accuracy: float
    macro_f1: float
    nll: float
    ece: float


def fit_decision(
    options: DecisionConfig,
    predictions: Predictions,
    labels: Mapping[str, Sequence[str]],
    joint_counts: Mapping[str, Mapping[str, np.ndarray]],
    train_counts: Sequence[int],
) -> tuple[Decision, list[Step]]:
    """Fit the parts that `options` asks for; return the decision and the scores after each part.

    A head is mixed with the finer one and by the weight that give the least NLL (each weight at
    its own best temperature); the class bias, of the headline alone, is tau · −log prior (Menon
    et al., 2021, section 4.1), with the tau of [0, 1] that gives the best macro-F1 among those
    that cost at most 0.001 of accuracy and 0.01 of the photos that would be accepted at
    `options.target_error`; temperatures have the least NLL (Guo et al., 2017); the threshold
    accepts the most photos at `options.target_error`.

    Args:
        predictions: of the validation split, with `options.flip` in them already.
        labels: head to class names in index order, the headline first.
        joint_counts: head to further heads, each with the training products of each pair of
            classes, `[further head's classes, head's classes]`; heads to be mixed or not.
        train_counts: training products of each headline class.

    Raises:
        ValueError: a split other than validation, or one without a labelled photo.
    """
    if predictions.split != "validation":
        raise ValueError(f"Decisions are fitted on validation. Received: {predictions.split!r}")
    headline = next(iter(labels))
    truth = predictions.truth[headline]
    if not (truth >= 0).any():
        raise ValueError(f"No validation photo has a {headline}.")
    logits = {name: predictions.logits[name].astype(np.float64) for name in labels}
    steps = [_step("flip" if options.flip else "logits", logits[headline], truth)]

    combine = _combine(logits, predictions.truth, labels, joint_counts) if options.combine else {}
    if headline in combine:
        mix = combine[headline]
        steps.append(_step(f"with {mix.finer} ({mix.weight:.2f})", logits[headline], truth))
    tau = 0.0
    if options.class_bias:
        tau, logits[headline] = _shift(logits[headline], train_counts, truth, options)
    bias = {}
    if tau:
        bias = dict(zip(labels[headline], map(float, _offsets(tau, train_counts)), strict=True))
        steps.append(_step(f"class bias (tau {tau:.3f})", logits[headline], truth))
    temperature = {}
    if options.temperature:
        temperature = _temperatures(logits, predictions.truth)
        steps.append(_step("temperature", logits[headline], truth))
    decision = Decision(
        headline,
        num_examples=int((truth >= 0).sum()),
        flip=options.flip,
        combine=combine,
        bias=bias,
        temperature=temperature,
        accept=_acceptance(logits[headline], truth, options.target_error),
    )
    return decision, steps


def _combine(logits, truth, labels, joint_counts) -> dict[str, Mix]:
    """Mix heads with finer ones, in `logits` too, and return the mixes by head."""
    # Each mix is of the heads as they are, not of what another mix has made of them.
    plain, mixes = dict(logits), {}
    for name, further in joint_counts.items():
        found = _mix(plain, truth[name], name, further)
        if found is not None:
            finer, weight, shares, logits[name] = found
            mixes[name] = Mix(finer, weight, _named(shares, labels[finer], labels[name]))
    return mixes


def _temperatures(logits, truth) -> dict[str, float]:
    """Return the temperature of each head that has labels, and divide its `logits` by it."""
    found = {}
    for name in logits:
        if (truth[name] >= 0).any():
            found[name] = float(fit_temperature(logits[name], truth[name]))
            logits[name] = logits[name] / found[name]
    return found


def _is_finer(counts: np.ndarray) -> bool:
    return counts.sum() > 0 and counts.max(axis=1).sum() / counts.sum() >= _IMPLIES


def _mix(logits, truth, name, further):
    """Return the best finer head, its weight, the shares and the mixed logits; None: none gains."""
    known = truth >= 0
    if not known.any():
        return None
    own = softmax(logits[name], axis=1)
    candidates = [(None, 0.0, None, logits[name])]
    for finer, counts in further.items():
        if not _is_finer(counts):
            continue
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        implied = softmax(logits[finer], axis=1) @ shares
        for weight in _WEIGHTS[1:]:
            mixed = np.log(np.maximum((1 - weight) * own + weight * implied, _SMALLEST))
            candidates.append((finer, float(weight), shares, mixed))
    losses = []
    for *_, mixed in candidates:
        temperature = fit_temperature(mixed[known], truth[known])
        losses.append(negative_log_likelihood(mixed / temperature, truth))
    best = int(np.argmin(losses))
    return candidates[best] if losses[best] < losses[0] - 1e-6 else None


def _shift(logits, train_counts, truth, options):
    """Return the best tau and the shifted logits."""
    before = _step("", logits, truth)
    coverage = _coverage(logits, truth, options)
    best = (before.macro_f1, 0.0, logits)
    for tau in _TAUS[1:]:
        shifted = logits + _offsets(tau, train_counts)
        after = _step("", shifted, truth)
        if (
            after.macro_f1 > best[0] + 1e-9
            and after.accuracy >= before.accuracy - _ACCURACY_LOSS
            and _coverage(shifted, truth, options) >= coverage - _COVERAGE_LOSS
        ):
            best = (after.macro_f1, float(tau), shifted)
    return best[1], best[2]


def _coverage(logits, truth, options) -> float:
    if options.temperature:  # it changes the order of how sure two photos are
        logits = logits / fit_temperature(logits, truth)
    accept = _acceptance(logits, truth, options.target_error)
    return 0.0 if accept is None else accept.coverage


def _acceptance(logits, truth, target_error):
    known = truth >= 0
    probabilities = softmax(logits[known], axis=1)
    right = probabilities.argmax(axis=1) == truth[known]
    return threshold_for(probabilities.max(axis=1), right, target_error)


def _offsets(tau, train_counts):
    counts = np.maximum(np.asarray(train_counts, np.float64), 1.0)
    return -tau * np.log(counts / counts.sum())


def _named(shares, finer, headline):
    return {
        finer[row]: {headline[c]: float(shares[row, c]) for c in np.flatnonzero(shares[row])}
        for row in np.flatnonzero(shares.sum(axis=1))
    }


def _step(part, logits, truth) -> Step:
    known = truth >= 0
    logits, truth = logits[known], truth[known]
    found = scores_of_classes(truth, logits.argmax(axis=1), logits.shape[1])
    return Step(
        part,
        found.accuracy,
        found.macro_f1,
        float(-log_softmax(logits, axis=1)[np.arange(len(truth)), truth].mean()),
        float(expected_calibration_error(softmax(logits, axis=1), truth)),
    )
