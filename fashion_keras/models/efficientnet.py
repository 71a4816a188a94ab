"""EfficientNetB0 (Tan and Le, 2019) by Keras Applications."""

from __future__ import annotations

import keras

from fashion_keras.models.imagenet import imagenet_download

# Keras Applications trains with batches of 4,096, where 0.99 settles within an epoch. With
# batches of 64 and a few hundred steps the moving statistics would still hold their start.
BATCH_NORM_MOMENTUM = 0.9


def build_backbone(image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """Build EfficientNetB0 from float RGB in [0, 255] to features `[N, h/32, w/32, 1280]`.

    `imagenet` downloads Keras Applications' weights; `UserError` where that fails. It
    normalises inside: Keras Applications puts one more Rescaling layer before ImageNet
    weights than before random ones, so weights saved with one stem do not fit the other.
    """
    with imagenet_download("Keras Applications"):
        backbone = keras.applications.EfficientNetB0(
            include_top=False,
            weights="imagenet" if imagenet else None,
            input_shape=(*image_size, 3),
            name="backbone",
        )
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return backbone
