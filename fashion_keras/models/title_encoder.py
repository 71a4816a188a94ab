"""The numbers of a title's terms in, a vector beside the photo's features out.

A title is the sum of its terms' embeddings (Joulin et al., "Bag of tricks for efficient text
classification", 2017), words, pairs and characters each divided by the root of their number. The
photo's pooled features and the title's vector are each normalised and stand side by side before
the heads. What is left out, in training or in serving, is zeros before its normalisation, which
makes them the same constant however often it is left out.
"""

from __future__ import annotations

import keras
from keras import ops

from fashion_keras.data.title_terms import BUCKETS, COUNTS, TITLE_IDS

IMAGE = "image"  # the photo's input; the title's is TITLE_IDS
WIDTH = 64
ENCODER = "title_encoder"
PHOTO_FEATURES = "photo_features"
# Names that no head may have.
LAYERS = (
    *(TITLE_IDS, ENCODER, PHOTO_FEATURES),
    *(f"{part}_{done}" for part in ("photo", "title") for done in ("left_out", "normalised")),
)


def build_title_encoder(columns: int) -> keras.Model:
    """Build the model from int32 `[N, columns * sum(COUNTS)]` to float32 `[N, WIDTH]`.

    Zeros are no term; a text without terms gives zeros.
    """
    ids = inputs = keras.Input([columns * sum(COUNTS)], dtype="int32", name=TITLE_IDS)
    embedded = keras.layers.Embedding(1 + BUCKETS, WIDTH, dtype="float32", name="terms")(ids)
    there = ops.cast(ops.not_equal(ids, 0), "float32")
    total, start = 0.0, 0
    for count in COUNTS * columns:
        some = there[:, start : start + count, None]
        number = ops.maximum(ops.sum(some, axis=1), 1.0)
        total += ops.sum(embedded[:, start : start + count] * some, axis=1) / ops.sqrt(number)
        start += count
    return keras.Model(inputs, total, name=ENCODER)


def fuse(
    pooled: keras.KerasTensor, ids: keras.KerasTensor, *, photo_dropout: float, title_dropout: float
) -> keras.KerasTensor:
    """Return photo and title side by side, float32 `[N, D + WIDTH]`.

    In training each is left out for a share of the products: then the heads learn to answer with
    the other alone.
    """
    columns = ids.shape[1] // sum(COUNTS)
    parts = {"photo": pooled, "title": build_title_encoder(columns)(ids)}
    for name, share in (("photo", photo_dropout), ("title", title_dropout)):
        # A product's vector is dropped as a whole; its scale is lost in the normalisation.
        part = keras.layers.Dropout(share, (None, 1), dtype="float32", name=f"{name}_left_out")(
            parts[name]
        )
        parts[name] = keras.layers.LayerNormalization(
            epsilon=1e-6, dtype="float32", name=f"{name}_normalised"
        )(part)
    return keras.layers.Concatenate(dtype="float32", name="features")(list(parts.values()))


def has_title(model: keras.Model) -> bool:
    """Say whether a model takes a title beside the photo."""
    return TITLE_IDS in [tensor.name for tensor in model.inputs]


def title_columns(model: keras.Model) -> int:
    """Return how many columns of text a model takes, 0 where it takes none."""
    found = {tensor.name: tensor.shape[1] for tensor in model.inputs}
    return found.get(TITLE_IDS, 0) // sum(COUNTS)


def photo_alone(model: keras.Model, heads: dict[str, str] | None = None) -> keras.Model:
    """Build the model of the photo alone, which shares all weights with `model`.

    `heads` maps labels to the names of their layers; None gives the features before the heads.
    """
    photo = keras.Input(_input(model, IMAGE).shape[1:], name=IMAGE)
    x = photo
    for name in ("upsampling", "backbone", PHOTO_FEATURES):
        if name in [layer.name for layer in model.layers]:
            x = model.get_layer(name)(x)
    title = _nothing(x, WIDTH)
    return keras.Model(photo, _answers(model, x, title, heads), name=model.name)


def title_alone(model: keras.Model, heads: dict[str, str] | None = None) -> keras.Model:
    """Build the model of the title alone, as `photo_alone` that of the photo."""
    ids = keras.Input(_input(model, TITLE_IDS).shape[1:], dtype="int32", name=TITLE_IDS)
    title = model.get_layer(ENCODER)(ids)
    pooled = _nothing(title, model.get_layer(PHOTO_FEATURES).output.shape[1])
    return keras.Model(ids, _answers(model, pooled, title, heads), name=model.name)


def _input(model, name):
    return next(tensor for tensor in model.inputs if tensor.name == name)


def _nothing(like: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """Return zeros `[N, width]`, with as many rows as `like`."""
    zeros = ops.zeros([1, width], "float32")
    return ops.cast(ops.zeros_like(like[:, :1]), "float32") * zeros


def _answers(model, photo, title, heads):
    photo = model.get_layer("photo_normalised")(photo)
    title = model.get_layer("title_normalised")(title)
    features = model.get_layer("features")([photo, title])
    if heads is None:
        return features
    return {label: model.get_layer(name)(features) for label, name in heads.items()}
