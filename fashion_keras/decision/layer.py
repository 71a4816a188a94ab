"""Models and a `Decision` in, a Keras model that has the decision built in out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from fashion_keras.decision.parameters import Agreement, Decision
from fashion_keras.decision.parts import BEHIND, LEAST_AGREEMENT, implication_matrix

_SMALLEST = 1e-12  # a probability whose logarithm float32 can hold
Labels = Mapping[str, Sequence[str]]  # the class names of each head


def apply_decision(model: keras.Model, labels: Labels, decision: Decision) -> keras.Model:
    """Build a model with the same input and heads whose logits already carry the decision.

    `model` gives a dict of logits `[N, C]`, `labels` the class names of each head. The result's
    outputs are logits too: their softmax is the decided probability and their maximum the
    decided class, so that evaluation and every export format need to know of nothing else.
    Raises `UserError` where the decision names heads or classes that the model has not.
    """
    decision.check_heads(labels)
    inputs = _input_like(model)
    logits = _decided(_logits(model, inputs, decision.flip), labels, decision)
    return keras.Model(inputs, logits, name=model.name)


def apply_decision_of_both(
    photo: keras.Model,
    title: keras.Model,
    labels: Labels,
    alone: tuple[Decision | None, Decision | None],
    decision: Decision,
) -> keras.Model:
    """Build a model of `image` and `title_ids` from the models of photo and title.

    `decision` is that of both; `alone` are those of the photo, which decides where a product has
    no text, and of the title.
    """
    decision.check_heads(labels)
    image, ids = _input_like(photo), _input_like(title)
    seen = _logits(photo, image, decision.flip)
    said = title(ids)
    both = {
        name: weights.photo * _without_prior(seen[name], weights.prior, decision.shares.get(name))
        + weights.title * said[name]
        for name, weights in decision.weights.items()
    }
    both = _decided({name: both.get(name, seen[name]) for name in labels}, labels, decision)
    by_photo, by_title = alone
    if by_photo is not None and by_photo.flip != decision.flip:
        seen = _logits(photo, image, by_photo.flip)
    fallback = _decided(seen, labels, by_photo) if by_photo is not None else seen
    if decision.shares:
        said = _decided(said, labels, by_title) if by_title is not None else said
        doubtful = _are_doubtful(fallback, said, decision.shares)
        both = {name: ops.where(doubtful, _doubted(z), z) for name, z in both.items()}
    has_text = ops.any(ops.not_equal(ids, 0), axis=1, keepdims=True)
    logits = {name: ops.where(has_text, both[name], fallback[name]) for name in labels}
    return keras.Model([image, ids], logits, name=photo.name)


def _input_like(model: keras.Model) -> keras.KerasTensor:
    (tensor,) = model.inputs
    name = "image" if len(tensor.shape) == 4 else tensor.name
    return keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)


def _logits(model, inputs, flip: bool):
    logits = model(inputs)
    if not flip:
        return logits
    mirrored = model(ops.flip(inputs, axis=2))
    return {name: (logits[name] + mirrored[name]) / 2.0 for name in logits}


def _without_prior(logits, prior: float, shares: Sequence[float] | None):
    if not prior:
        return logits
    return logits - np.array(prior * np.log(np.array(shares)), np.float32)


def _decided(logits, labels: Labels, decision: Decision):
    """Return logits with everything of a decision in them but flip and weights."""
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
    for agreement in decision.agree:
        logits |= _agreed(logits, labels, agreement)
    return logits


def _mixed(coarser_logits, finer_logits, mix, finer, coarser):
    implied = ops.matmul(ops.softmax(finer_logits), implication_matrix(mix.implies, finer, coarser))
    mixed = (1.0 - mix.weight) * ops.softmax(coarser_logits) + mix.weight * implied
    return ops.log(ops.maximum(mixed, _SMALLEST))


def _agreed(logits, labels: Labels, agreement: Agreement):
    """Return the logits of an agreement's labels, no class above that of the best combination."""
    names = agreement.labels
    number = [{name: i for i, name in enumerate(labels[label])} for label in names]
    rows = [[of[n] for of, n in zip(number, row, strict=True)] for row in agreement.combinations]
    indices = np.array(rows)
    total = sum(
        ops.take(ops.log_softmax(logits[label]), indices[:, column], axis=1)
        for column, label in enumerate(names)
    )
    # Not argmax: Keras's has an operation that ONNX and LiteRT lack.
    best = ops.top_k(total, k=1)[1][:, 0]
    agreed = {}
    for column, label in enumerate(names):
        chosen = ops.one_hot(ops.take(indices[:, column], best), len(labels[label]))
        most = ops.sum(chosen * logits[label], axis=1, keepdims=True) - BEHIND
        agreed[label] = ops.where(chosen > 0, logits[label], ops.minimum(logits[label], most))
    return agreed


def _are_doubtful(photo, title, shares):
    """Return whether photo and title are likelier of two products than of one, bool `[N, 1]`."""
    total = 0.0
    for label, share in shares.items():
        product = ops.softmax(photo[label]) * ops.softmax(title[label]) / np.array(share, "float32")
        total -= ops.log10(ops.sum(product, axis=1, keepdims=True) + LEAST_AGREEMENT)
    return total > 0


def _doubted(logits):
    """Return logits in which the second class is just behind the first."""
    count = logits.shape[1]
    if count < 2:
        return logits
    values, order = ops.top_k(logits, k=2)
    second = ops.one_hot(order[:, 1], count)
    return ops.where(second > 0, values[:, :1] - BEHIND, logits)
