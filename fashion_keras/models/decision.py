"""A classifier and a `Decision` in, a Keras model that has the decision built in out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from fashion_keras.decision import Decision
from fashion_keras.errors import UserError

_SMALLEST = 1e-12  # a probability whose logarithm float32 can hold


def apply_decision(
    model: keras.Model, labels: Mapping[str, Sequence[str]], decision: Decision
) -> keras.Model:
    """Build a model with the same inputs and heads whose logits already carry the decision.

    `model` gives a dict of logits `[N, C]`, `labels` the class names of each head. The result's
    outputs are logits too: their softmax is the decided probability and their maximum the
    decided class, so that evaluation and every export format need to know of nothing else.
    Raises `UserError` where the decision names heads or classes that the model has not.
    """
    _check(labels, decision)
    inputs = keras.Input(model.input_shape[1:], name="image")
    logits = model(inputs)
    if decision.flip:
        mirrored = model(ops.flip(inputs, axis=2))
        logits = {name: (logits[name] + mirrored[name]) / 2.0 for name in labels}
    logits = {name: logits[name] for name in labels}
    headline = decision.label
    if decision.combine:
        logits[headline] = _combined(logits, labels, decision)
    if decision.bias:
        bias = [decision.bias.get(name, 0.0) for name in labels[headline]]
        logits[headline] = logits[headline] + np.array(bias, np.float32)
    for name, temperature in decision.temperature.items():
        logits[name] = logits[name] / temperature
    return keras.Model(inputs, logits, name=model.name)


def implication_matrix(
    implies: Mapping[str, Mapping[str, float]], finer: Sequence[str], headline: Sequence[str]
) -> np.ndarray:
    """Lay out `Decision.combine`'s shares as float32 `[finer classes, headline classes]`."""
    column = {name: index for index, name in enumerate(headline)}
    matrix = np.zeros((len(finer), len(headline)), np.float32)
    for row, name in enumerate(finer):
        for implied, share in implies.get(name, {}).items():
            matrix[row, column[implied]] = share
    return matrix


def _combined(logits, labels, decision):
    headline = decision.label
    left = 1.0 - sum(weight for weight, _ in decision.combine.values())
    mixed = left * ops.softmax(logits[headline])
    for name, (weight, implies) in decision.combine.items():
        matrix = implication_matrix(implies, labels[name], labels[headline])
        mixed = mixed + weight * ops.matmul(ops.softmax(logits[name]), matrix)
    return ops.log(ops.maximum(mixed, _SMALLEST))


def _check(labels, decision):
    for name in (decision.label, *decision.combine, *decision.temperature):
        if name not in labels:
            heads = ", ".join(labels)
            raise UserError(f"the decision names a head {name!r}, the model has {heads}")
    known = set(labels[decision.label])
    named = set(decision.bias)
    for head, (_, implies) in decision.combine.items():
        named |= {implied for row in implies.values() for implied in row}
        if foreign := sorted(set(implies) - set(labels[head])):
            raise UserError(f"the decision names a {head} {foreign[0]!r} that the model has not")
    if foreign := sorted(named - known):
        raise UserError(
            f"the decision names a {decision.label} {foreign[0]!r} that the model has not"
        )
