"""Validation logits in; the `Decision` that they justify, and what each part gained, out.

`decision.parts` fits; here is put together what is fitted, and the thresholds are cross-fitted.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from fashion_keras.config import DecisionConfig
from fashion_keras.decision.calibration import (
    expected_calibration_error,
    negative_log_likelihood,
)
from fashion_keras.decision.parameters import Acceptance, Agreement, Decision, Mix
from fashion_keras.decision.parts import (
    Arrays,
    Counts,
    FittedMix,
    Parts,
    acceptance,
    accuracy_and_f1,
    are_doubtful,
    fit_parts,
    implication_matrix,
)

if TYPE_CHECKING:
    from fashion_keras.evaluation.predictions import Predictions

_FOLDS, _SEED = 5, 0


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
    counts: Counts,
    titles: Mapping[str, np.ndarray] | None = None,
    alone: tuple[Decision, Decision] | None = None,
) -> tuple[Decision, list[Step]]:
    """Fit the parts that `options` asks for; return the decision and the scores after each part.

    A head is mixed with the finer one and by the weight that give the least NLL (each weight at
    its own best temperature); the class bias, of the headline alone, is tau · −log prior (Menon
    et al., 2021, section 4.1), with the tau of [0, 1] that gives the best macro-F1 among those
    that cost at most 0.001 of accuracy and 0.01 of the photos that would be accepted at
    `options.target_error`; temperatures have the least NLL (Guo et al., 2017).

    Each label's threshold accepts the most photos at `options.target_error`. It is cross-fitted:
    what it is chosen on are the confidences of each fifth of the photos by parts that were fitted
    to the other four. Photos that the parts themselves were fitted to look surer than they are.

    Args:
        predictions: of the validation split, with `options.flip` in them already.
        labels: head to class names in index order, the headline first.
        counts: of the training products.
        titles: head to logits by the products' text, where photo and title are weighed.
        alone: the decisions by photo and by title alone, by which the two are held against each
            other.

    Raises:
        ValueError: a split other than validation, or one without a labelled photo.
    """
    headline = next(iter(labels))
    _check(predictions, headline)
    truth = {name: predictions.truth[name] for name in labels}
    logits = {name: predictions.logits[name].astype(np.float64) for name in labels}
    if titles is not None:
        titles = {name: titles[name].astype(np.float64) for name in labels}
    if titles is None or alone is None:
        counts = dataclasses.replace(counts, shares={})  # only photo and title are weighed by them
    parts = fit_parts(options, logits, truth, counts, titles)
    doubtful = None
    if titles is not None and alone is not None:
        photo, title = map(functools.partial(parts_of, labels=labels), alone)
        doubtful = are_doubtful(photo.decide(logits), title.decide(titles), counts.shares)
    decision = Decision(
        headline,
        num_examples=int((truth[headline] >= 0).sum()),
        flip=options.flip,
        weights=parts.weights,
        combine={
            name: Mix(mix.finer, mix.weight, _named(mix.shares, labels[mix.finer], labels[name]))
            for name, mix in parts.mixes.items()
        },
        bias=dict(zip(labels[headline], parts.bias.tolist(), strict=True)) if parts.tau else {},
        agree=_agreements(parts, labels),
        temperature=parts.temperature,
        shares={name: tuple(shares.tolist()) for name, shares in counts.shares.items()},
        accept=_cross_fitted_acceptance(options, logits, truth, counts, titles, doubtful),
    )
    return decision, _steps(options, parts, logits, truth[headline], titles)


def _check(predictions, headline) -> None:
    if predictions.split != "validation":
        raise ValueError(f"Decisions are fitted on validation. Received: {predictions.split!r}")
    if not (predictions.truth[headline] >= 0).any():
        raise ValueError(f"No validation photo has a {headline}.")


def parts_of(decision: Decision, labels: Mapping[str, Sequence[str]]) -> Parts:
    """Return a decision's parts as arrays."""
    number = {head: {n: i for i, n in enumerate(names)} for head, names in labels.items()}
    return Parts(
        decision.weights,
        {name: np.array(shares) for name, shares in decision.shares.items()},
        {
            name: FittedMix(
                mix.finer,
                mix.weight,
                implication_matrix(mix.implies, labels[mix.finer], labels[name]),
            )
            for name, mix in decision.combine.items()
        },
        {
            agreement.labels: np.array(
                [
                    [number[head][n] for head, n in zip(agreement.labels, row, strict=True)]
                    for row in agreement.combinations
                ]
            )
            for agreement in decision.agree
        },
        bias=np.array([decision.bias.get(name, 0.0) for name in labels[decision.label]]),
        temperature=decision.temperature,
    )


def _cross_fitted_acceptance(
    options, logits, truth, counts, titles, doubtful
) -> dict[str, Acceptance]:
    """Choose each label's threshold on photos that no part was fitted to."""
    photos = len(next(iter(truth.values())))
    fold = np.random.default_rng(_SEED).permutation(photos) % _FOLDS
    decided = {name: np.empty_like(values) for name, values in logits.items()}
    for number in range(min(_FOLDS, photos)):
        held = fold == number
        others = None if titles is None else _rows(titles, ~held)
        parts = fit_parts(options, _rows(logits, ~held), _rows(truth, ~held), counts, others)
        own = None if titles is None else _rows(titles, held)
        doubts = None if doubtful is None else doubtful[held]
        for name, values in parts.decide(_rows(logits, held), own, doubts).items():
            decided[name][held] = values
    found = {name: acceptance(decided[name], truth[name], options.target_error) for name in logits}
    return {name: accept for name, accept in found.items() if accept is not None}


def _rows(arrays: Arrays, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in arrays.items()}


def _steps(options, parts, logits, truth, titles) -> list[Step]:
    """Score the headline with one part more at each step."""
    headline = next(iter(logits))

    def with_parts(name, **without):
        decided = dataclasses.replace(parts, **without).decide(logits, titles)
        return _step(name, decided[headline], truth)

    steps = [_step("flip" if options.flip else "logits", logits[headline], truth)]
    nothing: dict = {"mixes": {}, "agree": {}, "bias": np.zeros(1), "temperature": {}}
    if titles is not None:
        steps.append(_step("the title alone", titles[headline], truth))
        steps.append(with_parts("photo and title", **nothing))
    if mix := parts.mixes.get(headline):
        name = f"with {mix.finer} ({mix.weight:.2f})"
        steps.append(with_parts(name, **{**nothing, "mixes": parts.mixes}))
    if parts.tau:
        name = f"class bias (tau {parts.tau:.3f})"
        steps.append(with_parts(name, agree={}, temperature={}))
    if options.temperature:
        steps.append(with_parts("temperature", agree={}))
    if any(headline in together for together in parts.agree):
        steps.append(with_parts("labels that agree"))
    return steps


def _agreements(parts: Parts, labels: Mapping[str, Sequence[str]]) -> tuple[Agreement, ...]:
    """Return the combinations by name."""
    return tuple(
        Agreement(
            together,
            tuple(
                tuple(labels[name][i] for name, i in zip(together, row, strict=True))
                for row in rows.tolist()
            ),
        )
        for together, rows in parts.agree.items()
    )


def _named(shares, finer, headline):
    return {
        finer[row]: {headline[c]: float(shares[row, c]) for c in np.flatnonzero(shares[row])}
        for row in np.flatnonzero(shares.sum(axis=1))
    }


def _step(part, logits, truth) -> Step:
    return Step(
        part,
        *accuracy_and_f1(logits, truth),
        negative_log_likelihood(logits, truth),
        expected_calibration_error(softmax(logits, axis=1), truth),
    )
