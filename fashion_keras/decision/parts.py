"""Validation logits and training counts in; a decision's parts, as arrays, out.

A candidate costs milliseconds; TensorFlow is not needed. The formulas are those of
`decision.layer`, which builds them into a model.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, softmax

from fashion_keras.config import DecisionConfig
from fashion_keras.decision.automation import threshold_for
from fashion_keras.decision.calibration import fit_temperature, negative_log_likelihood
from fashion_keras.decision.parameters import Acceptance, Weights
from fashion_keras.metrics import scores_of_classes

# A head is finer than the headline where its class leaves this share of products no choice.
_IMPLIES = 0.98
_WEIGHTS = np.linspace(0.0, 1.0, 21)
# Every fourth weight is tried, then those beside the best: the NLL is all but convex in it.
_COARSE = 4
_TAUS = np.linspace(0.0, 1.0, 41)
_PRIORS = (0.0, 0.5, 1.0)  # how much of the classes' frequency is taken out of the photo's logits
# What accuracy a class bias may cost: one photo in a thousand.
_ACCURACY_LOSS = 0.001
_WEIGHING_LOSS = 0.001  # and the weights of photo and title
# And what share of the photos a class bias may hand back to a person, since it blurs who is sure.
_COVERAGE_LOSS = 0.01
_SMALLEST = 1e-12
# What a label adds to a disagreement at most, as a probability: no model is surer than that.
LEAST_AGREEMENT = 1e-4
BEHIND = 1e-3  # how far a likelier class is brought below the one that is answered
Arrays = Mapping[str, np.ndarray]  # by head


@dataclasses.dataclass(frozen=True)
class Counts:
    """What the training split says.

    `joint` has the products of each pair of classes, `log_prior` the log shares of the headline's
    classes, `combinations` the classes that occur together of labels that go together, by these
    labels: int `[K, labels]`, `shares` each class's share by label.
    """

    joint: Mapping[str, Mapping[str, np.ndarray]]
    log_prior: np.ndarray
    combinations: Mapping[tuple[str, ...], np.ndarray] = dataclasses.field(default_factory=dict)
    shares: Arrays = dataclasses.field(default_factory=dict)


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

    weights: Mapping[str, Weights] = dataclasses.field(default_factory=dict)
    shares: Arrays = dataclasses.field(default_factory=dict)  # of the classes, for `weights`
    mixes: Mapping[str, FittedMix] = dataclasses.field(default_factory=dict)
    agree: Mapping[tuple[str, ...], np.ndarray] = dataclasses.field(default_factory=dict)
    tau: float = 0.0
    bias: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1))  # of the headline
    temperature: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def decide(
        self,
        logits: Arrays,
        titles: Arrays | None = None,
        doubtful: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the logits with the parts in them; the headline is the first head.

        `titles` are the logits by the products' text, where `weights` say how to add them;
        `doubtful`, bool `[N]`, says where photo and title are not of one product.
        """
        if titles is not None:
            logits = {
                name: weighed(weights, logits[name], titles[name], self.shares.get(name))
                for name, weights in self.weights.items()
            }
        # Each mix is of the heads as they are, not of what another mix has made of them.
        mixed = {n: mix.mixed(logits[n], logits[mix.finer]) for n, mix in self.mixes.items()}
        decided = {**logits, **mixed}
        headline = next(iter(logits))
        decided[headline] = decided[headline] + self.bias
        decided = {n: values / self.temperature.get(n, 1.0) for n, values in decided.items()}
        for labels, combinations in self.agree.items():
            decided |= agreed(decided, labels, combinations)
        if doubtful is not None:
            decided = {name: doubted(values, doubtful) for name, values in decided.items()}
        return decided


def fit_parts(
    options: DecisionConfig,
    logits: Arrays,
    truth: Arrays,
    counts: Counts,
    titles: Arrays | None = None,
) -> Parts:
    """Fit the parts that are asked for; those that have no labelled photo to go by are left out."""
    headline = next(iter(logits))
    parts = Parts()
    if titles is not None:
        weights = {
            name: _weights(logits[name], titles[name], truth[name], counts.shares.get(name))
            for name in logits
        }
        parts = Parts(weights, counts.shares)
        logits = parts.decide(logits, titles)
    if options.combine:
        found = {
            name: _best_mix(logits, truth[name], name, further)
            for name, further in counts.joint.items()
        }
        mixes = {name: mix for name, mix in found.items() if mix is not None}
        parts = dataclasses.replace(parts, mixes=mixes)
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
    if options.agree:
        parts = dataclasses.replace(parts, agree=counts.combinations)
    return parts


def agreed(logits: Arrays, labels: Sequence[str], combinations: np.ndarray) -> Arrays:
    """Return the labels' logits where only some combinations of classes are answered.

    That is the one with the highest sum of its classes' log p. A class that is likelier than the
    chosen one is brought just behind it: then neither is above one half, and a person looks. Where
    the likeliest classes agree, nothing changes. `combinations` are class indices, int
    `[K, labels]`.
    """
    total = sum(
        log_softmax(logits[label], axis=1)[:, combinations[:, column]]
        for column, label in enumerate(labels)
    )
    best = combinations[total.argmax(axis=1)]
    found = {}
    for column, label in enumerate(labels):
        values, chosen = logits[label], best[:, column, None]
        most = np.take_along_axis(values, chosen, axis=1) - BEHIND
        others = np.arange(values.shape[1]) != chosen
        found[label] = np.where(others, np.minimum(values, most), values)
    return found


def disagreement(photo: np.ndarray, title: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return how far two answers of one label are apart, float `[N]`.

    `photo` and `title` are probabilities `[N, C]`, `shares` each class's share of all products.
    The decimal logarithm of how much likelier photo and title are of two products, drawn at
    random, than of one: 0 where one of them says nothing, 2 for a hundred times, at most 4.
    """
    return -np.log10((photo * title / shares).sum(axis=1) + LEAST_AGREEMENT)


def are_doubtful(photo: Arrays, title: Arrays, shares: Arrays) -> np.ndarray:
    """Return whether photo and title are likelier of two products than of one, bool `[N]`.

    `photo` and `title` are decided logits of each alone.
    """
    apart = [
        disagreement(softmax(photo[k], axis=1), softmax(title[k], axis=1), shares[k]) for k in photo
    ]
    return np.sum(apart, axis=0) > 0


def class_shares(counts: ArrayLike) -> np.ndarray:
    """Return each class's share of the training products, from their counts; no share is 0."""
    found = 1.0 + np.asarray(counts, np.float64)
    return found / found.sum()


def doubted(logits: np.ndarray, doubtful: np.ndarray) -> np.ndarray:
    """Return logits in which the second class of doubtful rows is just behind the first.

    So no score there is above one half, and a person looks. `doubtful` is bool `[N]`.
    """
    if logits.shape[1] < 2:
        return logits
    rows = np.flatnonzero(doubtful)
    found = logits.copy()
    order = np.argsort(-logits[rows], axis=1, kind="stable")
    found[rows, order[:, 1]] = logits[rows, order[:, 0]] - BEHIND
    return found


def implication_matrix(
    implies: Mapping[str, Mapping[str, float]], finer: Sequence[str], coarser: Sequence[str]
) -> np.ndarray:
    """Lay out a `Mix`'s shares as float32 `[finer classes, coarser classes]`."""
    column = {name: index for index, name in enumerate(coarser)}
    matrix = np.zeros((len(finer), len(coarser)), np.float32)
    for row, name in enumerate(finer):
        for implied, share in implies.get(name, {}).items():
            matrix[row, column[implied]] = share
    return matrix


def combinations_known(
    indices: np.ndarray, labels: Sequence[str]
) -> dict[tuple[str, ...], np.ndarray]:
    """Return the classes that occur together, by the labels that go together.

    Labels go together where the class of one leaves that of the other no choice in 98% of the
    products, such as a subcategory and its category. `indices` are the training products' classes,
    int `[N, labels]`, -1 where there is none. Example:

        >>> combinations_known(np.array([[0, 0], [0, 1], [1, 2]]), ["kind", "article"])
        {('kind', 'article'): array([[0, 0], [0, 1], [1, 2]])}
    """
    groups: list[set[int]] = []
    for coarser, finer in itertools.permutations(range(len(labels)), 2):
        if _decides(indices[:, finer], indices[:, coarser]):
            touched = [group for group in groups if group & {coarser, finer}]
            groups = [group for group in groups if group not in touched]
            groups.append({coarser, finer}.union(*touched))
    found = {}
    for group in map(sorted, groups):
        rows = indices[:, group]
        rows = np.unique(rows[(rows >= 0).all(axis=1)], axis=0)
        if len(rows):  # else no product has them all
            found[tuple(labels[column] for column in group)] = rows
    return found


def _decides(finer: np.ndarray, coarser: np.ndarray) -> bool:
    both = (finer >= 0) & (coarser >= 0)
    if not both.any():
        return False
    counts = np.zeros((finer.max() + 1, coarser.max() + 1), np.int64)
    np.add.at(counts, (finer[both], coarser[both]), 1)
    # As many classes are another name for the same, or say nothing.
    return bool(counts.any(axis=1).sum() > counts.any(axis=0).sum()) and _is_finer(counts)


def weighed(
    weights: Weights, photo: np.ndarray, title: np.ndarray, shares: np.ndarray | None
) -> np.ndarray:
    """Return the sum of a label's logits of photo and title, `[N, C]`, as `Weights` says."""
    if weights.prior:
        assert shares is not None
        photo = photo - weights.prior * np.log(shares)
    return weights.photo * photo + weights.title * title


def _weights(
    photo: np.ndarray, title: np.ndarray, truth: np.ndarray, shares: np.ndarray | None
) -> Weights:
    """Return the weights of a label's logits of photo and title.

    Those of the least NLL among those that have all but the most accuracy: a support vector
    machine is unsure of its titles, so the NLL alone would give the photo too much weight. Each is
    brought to its own best temperature first. The title alone where nothing is known.
    """
    known = truth >= 0
    if not known.any():
        return Weights(0.0, 1.0)
    photo, title, truth = photo[known], title[known], truth[known]
    scales = [1 / fit_temperature(logits, truth) for logits in (photo, title)]
    found = [
        Weights(float(share * scales[0]), float((1 - share) * scales[1]), prior)
        for prior, share in itertools.product(_PRIORS if shares is not None else (0.0,), _WEIGHTS)
    ]
    right = [(weighed(w, photo, title, shares).argmax(axis=1) == truth).mean() for w in found]
    accurate = [
        w for w, share in zip(found, right, strict=True) if share >= max(right) - _WEIGHING_LOSS
    ]

    def loss(weights: Weights) -> float:  # takes far longer than the accuracy
        fused = weighed(weights, photo, title, shares)
        return negative_log_likelihood(fused / fit_temperature(fused, truth), truth)

    return min(accurate, key=loss)


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
