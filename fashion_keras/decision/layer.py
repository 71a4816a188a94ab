"""A classifier and a `Decision` in, a Keras model that has the decision built in out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from fashion_keras.decision.parameters import Decision

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
    decision.check_heads(labels)
    inputs = keras.Input(model.input_shape[1:], name="image")
    logits = model(inputs)
    if decision.flip:
        mirrored = model(ops.flip(inputs, axis=2))
        logits = {name: (logits[name] + mirrored[name]) / 2.0 for name in labels}
    logits = {name: logits[name] for name in labels}
    # Each mix is of the heads as they are, not of what another mix has made of them.
    mixed = {
        name: _mixed(logits[name], logits[mix.finer], mix, labels[mix.finer], labels[name])
        for name, mix in decision.combine.items()
    }
    logits |= mixed
    if decision.bias:
        bias = [decision.bias.get(name, 0.0) for name in labels[decision.label]]
        logits[decision.label] = logits[decision.label] + np.array(bias, np.float32)
    for name, temperature in decision.temperature.items():
        logits[name] = logits[name] / temperature
    return keras.Model(inputs, logits, name=model.name)


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


def _mixed(coarser_logits, finer_logits, mix, finer, coarser):
    implied = ops.matmul(ops.softmax(finer_logits), implication_matrix(mix.implies, finer, coarser))
    mixed = (1.0 - mix.weight) * ops.softmax(coarser_logits) + mix.weight * implied
    return ops.log(ops.maximum(mixed, _SMALLEST))
