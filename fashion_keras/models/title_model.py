"""A linear model's weights in; a Keras model from the numbers of a title's terms to logits, out.

A title is the TF-IDF weights of its terms, those of words and those of characters each at length 1;
each class has a weight for each term. It stands beside the photo's model and shares nothing with
it: what is known of a product is put together afterwards, by `decision.layer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from fashion_keras.data.title_terms import COUNTS, TERMS, TITLE_IDS, of_families

_BIAS = TERMS  # the row of weights after those of the terms
_SMALLEST = 1e-6  # of a length: a title without terms has none


def build_title_model(
    columns: int, labels: Mapping[str, Sequence[str]], rarity: np.ndarray, kernel: np.ndarray
) -> keras.Model:
    """Build the model from int32 `[N, columns * sum(COUNTS)]` to float32 logits `[N, C]` a label.

    Args:
        columns: of text that a product has.
        labels: label to class names, in the order of the kernel's columns.
        rarity: float `[TERMS]`, each term's inverse document frequency; that of 0 is 0.
        kernel: float `[TERMS + 1, all classes]`, its last row the bias. Kept in half precision.
    """
    ids = keras.Input([columns * sum(COUNTS)], dtype="int32", name=TITLE_IDS)
    terms = keras.layers.Embedding(*kernel.shape, dtype="float16", name="terms")
    squares = keras.layers.Embedding(TERMS, 1, dtype="float32", name="squares")
    logits = ops.cast(terms(ops.full_like(ids[:, 0], _BIAS)), "float32")
    for parts in of_families(ids, columns):
        family = ops.concatenate(parts, axis=1)
        length = ops.sqrt(ops.sum(squares(family), axis=1))
        total = ops.sum(ops.cast(terms(family), "float32"), axis=1)
        logits = logits + total / ops.maximum(length, _SMALLEST)
    outputs, start = {}, 0
    for label, names in labels.items():
        outputs[label] = logits[:, start : start + len(names)]
        start += len(names)
    model = keras.Model(ids, outputs, name="title")
    rarity = np.asarray(rarity, np.float32)
    squares.set_weights([rarity[:, None] ** 2])
    weights = np.array(kernel, np.float32)
    weights[:TERMS] *= rarity[:, None]
    terms.set_weights([weights.astype(np.float16)])
    return model


def in_float32(model: keras.Model) -> keras.Model:
    """Return a copy of a title's model whose weights, half precision in it, are float32."""

    def same(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.Embedding):
            config["dtype"] = "float32"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=same)
    copy.set_weights([weights.astype(np.float32) for weights in model.get_weights()])
    return copy


def takes_our_terms(model: keras.Model) -> bool:
    """Return whether a title's model was made for the numbers that `data.title_terms` makes."""
    sizes = {layer.input_dim for layer in model.layers if layer.name in ("terms", "squares")}
    return sizes == {TERMS, TERMS + 1} and model.inputs[0].shape[1] % sum(COUNTS) == 0


def title_columns(model: keras.Model) -> int:
    """Return how many columns of text a title's model takes."""
    return model.inputs[0].shape[1] // sum(COUNTS)
