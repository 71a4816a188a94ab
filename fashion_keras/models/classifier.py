"""An architecture and label vocabularies in, one Keras model with a head a label out.

A model trained in half precision becomes one that computes in float32.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping

import keras

from fashion_keras.models.registry import build_backbone

BACKBONE = "backbone"
_TAKEN = ("image", "upsampling", BACKBONE, "features", "head_dropout")


def build_classifier(
    arch: str,
    image_size: tuple[int, int],
    num_classes: Mapping[str, int],
    *,
    dropout: float = 0.0,
    upsampling: int = 1,
    imagenet: bool = False,
) -> keras.Model:
    """Build backbone, average pooling, dropout and a dense head a label.

    The backbone sees the photos enlarged `upsampling` times, bilinearly.

    Args:
        arch: a name of `models.registry.ARCHITECTURES`.
        image_size: height and width in pixels, at least 32 each.
        num_classes: label to number of classes.

    Returns:
        A model from uint8 or float RGB `[N, height, width, 3]` in [0, 255] to a dict of
        float32 logits `[N, C]` a label. Logits and not probabilities: the loss is exact on
        them, and calibration and ensembling work on them; `serving` applies the softmax.
    """
    height, width = (upsampling * size for size in image_size)
    backbone = build_backbone(arch, (height, width), imagenet=imagenet)
    photos = inputs = keras.Input((*image_size, 3), name="image")
    if upsampling > 1:
        # float32: bfloat16 has no room for the brightnesses between two of 256.
        photos = keras.layers.UpSampling2D(
            upsampling, interpolation="bilinear", dtype="float32", name="upsampling"
        )(photos)
    features = keras.layers.GlobalAveragePooling2D(name="features")(backbone(photos))
    features = keras.layers.Dropout(dropout, name="head_dropout")(features)
    # float32 whatever the policy: half-precision logits lose the softmax's tail, and TF
    # Serving's REST API cannot print them.
    logits = {
        label: keras.layers.Dense(count, dtype="float32", name=head_name(label))(features)
        for label, count in num_classes.items()
    }
    return keras.Model(inputs, logits, name=arch)


def head_name(label: str) -> str:
    """Return the name of a label's layer: the label itself, where TensorFlow takes it for a name.

    A shop's `Product Type` or `Größe` has a space or a letter that no scope may have, and
    `features` is a layer already.
    """
    if re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\-]*", label) and label not in _TAKEN:
        return label
    plain = re.sub(r"[^A-Za-z0-9]+", "_", label).strip("_")
    return f"head_{plain}_{zlib.crc32(label.encode('utf-8')):08x}"


def set_trainable(model: keras.Model, trains: str) -> None:
    """Free what is to be trained, and freeze the rest; compile afterwards.

    `trains` is `all` or `heads` (backbone frozen, batch normalisation included). A layer whose
    `trainable` is False runs BatchNormalization with its moving statistics and leaves them
    alone. Calling the backbone with `training=False` would not do: `fit` overrides that for the
    layers inside.
    """
    model.get_layer(BACKBONE).trainable = trains == "all"


def layers_of(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a model and of the models within it, not those models themselves."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer


def compute_in_float32(model: keras.Model) -> keras.Model:
    """Switch every layer of mixed precision to float32, in place; return the model.

    Its weights are float32 already. What was quick where it was trained is three times slower
    on a processor that has to emulate bfloat16, and answers are to be the same everywhere.
    """
    for layer in layers_of(model):
        if layer.dtype_policy.name.startswith("mixed_"):
            layer.dtype_policy = "float32"
    return model
