"""Validation logits and training counts in; a decision's parts, as arrays, out.

A candidate costs milliseconds; TensorFlow is not needed. The formulas are those of
`decision.layer`, which builds them into a model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.special import softmax

from fashion_keras.config import DecisionConfig
from fashion_keras.decision.automation import threshold_for
from fashion_keras.decision.calibration import fit_temperature, negative_log_likelihood
from fashion_keras.decision.parameters import Acceptance
from fashion_keras.metrics import scores_of_classes

# A head is finer than the headline where its class leaves this share of products no choice.
_IMPLIES = 0.98
_WEIGHTS = np.linspace(0.0, 1.0, 21)
# Every fourth weight is tried, then those beside the best: the NLL is all but convex in it.
_COARSE = 4
_TAUS = np.linspace(0.0, 1.0, 41)
# What accuracy a class bias may cost: one photo in a thousand.
_ACCURACY_LOSS = 0.001
# And what share of the photos it may hand back to a person, since it blurs who is sure.
_COVERAGE_LOSS = 0.01
_SMALLEST = 1e-12
Arrays = Mapping[str, np.ndarray]  # by head


@dataclasses.dataclass(frozen=True)
class Counts:
    """What the training split says: products of each pair of classes, and log shares of each."""

    joint: Mapping[str, Mapping[str, np.ndarray]]
    log_prior: np.ndarray


@dataclasses.dataclass(frozen=True)
class FittedMix:
    """A finer head, its weight, and the shares of a coarser head's classes in each of its own."""

    finer: str
    weight: float
    shares: np.ndarray

    def mixed(self, coarser_logits: np.ndarray, finer_logits: np.ndarray) -> np.ndarray:
        """Return the coarser head's logits with the finer one's say in them."""
        own, implied = softmax(coarser_logits, axis=1), softmax(finer_logits, axis=1) @ self.shares
        return _log_mean(own, implied, self.weight)


@dataclasses.dataclass(frozen=True)
class Parts:
    """A decision's parts as arrays, by index; `Decision` holds them by name."""

    mixes: Mapping[str, FittedMix] = dataclasses.field(default_factory=dict)
    tau: float = 0.0
    bias: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1))  # of the headline
    temperature: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def decide(self, logits: Arrays) -> dict[str, np.ndarray]:
        """Return the logits with the parts in them; the headline is the first head."""
        # Each mix is of the heads as they are, not of what another mix has made of them.
        mixed = {n: mix.mixed(logits[n], logits[mix.finer]) for n, mix in self.mixes.items()}
        decided = {**logits, **mixed}
        headline = next(iter(logits))
        decided[headline] = decided[headline] + self.bias
        return {name: values / self.temperature.get(name, 1.0) for name, values in decided.items()}


def fit_parts(options: DecisionConfig, logits: Arrays, truth: Arrays, counts: Counts) -> Parts:
    """Fit the parts that are asked for; those that have no labelled photo to go by are left out."""
    headline = next(iter(logits))
    parts = Parts()
    if options.combine:
        found = {
            name: _best_mix(logits, truth[name], name, further)
            for name, further in counts.joint.items()
        }
        parts = Parts({name: mix for name, mix in found.items() if mix is not None})
    if options.class_bias:
        mixed = parts.decide(logits)[headline]
        tau = _tau(mixed, counts.log_prior, truth[headline], options)
        parts = dataclasses.replace(parts, tau=tau, bias=-tau * counts.log_prior)
    if options.temperature:
        decided = parts.decide(logits)
        temperature = {
            name: float(fit_temperature(decided[name], truth[name]))
            for name in logits
            if (truth[name] >= 0).any()
        }
        parts = dataclasses.replace(parts, temperature=temperature)
    return parts


def _is_finer(counts: np.ndarray) -> bool:
    return counts.sum() > 0 and counts.max(axis=1).sum() / counts.sum() >= _IMPLIES


def _best_mix(logits, truth, name, further) -> FittedMix | None:
    """Return the mix with a finer head that has the least NLL; None where none gains."""
    known = truth >= 0
    if not known.any():
        return None
    own, labelled = logits[name][known], truth[known]
    own_shares = softmax(own, axis=1)

    def loss(mixed):
        return negative_log_likelihood(mixed / fit_temperature(mixed, labelled), labelled)

    best, least = None, loss(own) - 1e-6
    for finer, counts in further.items():
        if not _is_finer(counts):
            continue
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        implied = softmax(logits[finer][known], axis=1) @ shares
        weight, found = _best_weight(own_shares, implied, loss)
        if found < least:
            best, least = FittedMix(finer, weight, shares), found
    return best


def _best_weight(own, implied, loss: Callable[[np.ndarray], float]) -> tuple[float, float]:
    """Return the weight above 0 of the least loss, and that loss."""
    losses: dict[float, float] = {}

    def best_of(weights):
        for weight in weights.tolist():
            if weight not in losses:
                losses[weight] = loss(_log_mean(own, implied, weight))
        return min(losses, key=losses.__getitem__)

    coarse = best_of(_WEIGHTS[_COARSE::_COARSE])
    beside = np.abs(_WEIGHTS - coarse) < _WEIGHTS[_COARSE] - 1e-9
    weight = best_of(_WEIGHTS[beside & (_WEIGHTS > 0)])
    return weight, losses[weight]


def _log_mean(own, implied, weight):
    return np.log(np.maximum((1 - weight) * own + weight * implied, _SMALLEST))


def _tau(logits, log_prior, truth, options) -> float:
    """Return the tau with the best macro-F1 among those that cost little else; 0: none gains."""
    if not (truth >= 0).any():
        return 0.0
    accuracy, macro_f1 = accuracy_and_f1(logits, truth)
    gains = []
    for tau in _TAUS[1:]:
        shifted_accuracy, shifted_f1 = accuracy_and_f1(logits - tau * log_prior, truth)
        if shifted_f1 > macro_f1 + 1e-9 and shifted_accuracy >= accuracy - _ACCURACY_LOSS:
            gains.append((-shifted_f1, float(tau)))
    least = _coverage(logits, truth, options) - _COVERAGE_LOSS if gains else 0.0
    # The coverage takes longest: it is looked at from the best tau on.
    for _, tau in sorted(gains):
        if _coverage(logits - tau * log_prior, truth, options) >= least:
            return tau
    return 0.0


def _coverage(logits, truth, options) -> float:
    if options.temperature:  # it changes the order of how sure two photos are
        logits = logits / fit_temperature(logits, truth)
    accept = acceptance(logits, truth, options.target_error)
    return 0.0 if accept is None else accept.coverage


def acceptance(logits: np.ndarray, truth: np.ndarray, target_error: float) -> Acceptance | None:
    """Return the threshold on how sure a head is of its class; None where none is good enough."""
    known = truth >= 0
    probabilities = softmax(logits[known], axis=1)
    right = probabilities.argmax(axis=1) == truth[known]
    return threshold_for(probabilities.max(axis=1), right, target_error)


def log_prior_of(train_counts: Sequence[int]) -> np.ndarray:
    """Return the logarithm of each class's share of the training products."""
    counts = np.maximum(np.asarray(train_counts, np.float64), 1.0)
    return np.log(counts / counts.sum())


def accuracy_and_f1(logits: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return accuracy and macro-F1 of the photos with a label."""
    found = scores_of_classes(truth, logits.argmax(axis=1), logits.shape[1])
    return found.accuracy, found.macro_f1
