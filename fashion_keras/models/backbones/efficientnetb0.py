"""EfficientNetB0 (Tan and Le, 2019) by Keras Applications."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

IMAGENET = "Keras Applications' efficientnetb0_notop.h5"
# Keras Applications trains with batches of 4,096, where 0.99 settles within an epoch. With
# batches of 64 and a few hundred steps the moving statistics would still hold their start.
BATCH_NORM_MOMENTUM = 0.9


def build_backbone(image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """Build EfficientNetB0 from float RGB in [0, 255] to features `[N, h/32, w/32, 1280]`.

    `imagenet` downloads Keras Applications' weights; `UserError` where that fails. They are
    carried into the same layers that random weights get: Keras Applications itself would build
    one more Rescaling for them, and weights saved from the one would load into the other
    without an error and compute something else.
    """
    import keras

    backbone = _build(image_size, weights=None, name="backbone")
    if imagenet:
        from fashion_keras.models.weights import imagenet_download

        with imagenet_download("Keras Applications"):
            # Under its own name: Keras takes the name of the file to download from the model's.
            source = _build(image_size, weights="imagenet")
        _copy(source, backbone)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return backbone


def _build(image_size, **options):
    import keras

    return keras.applications.EfficientNetB0(
        include_top=False, input_shape=(*image_size, 3), **options
    )


def _copy(source: keras.Model, target: keras.Model) -> None:
    """Copy Keras Applications' EfficientNet with ImageNet weights into one built without, in place.

    The source divides by the square root of ImageNet's deviation in a Rescaling of its own after
    its Normalization; here that goes into the Normalization's variance.
    """
    import keras

    extra = [layer for layer in source.layers if isinstance(layer, keras.layers.Rescaling)][1:]
    factors = np.prod([np.asarray(layer.scale) for layer in extra], axis=0) if extra else 1.0
    by_name = {layer.name: layer for layer in source.layers}
    (source_norm,) = (v for v in source.layers if isinstance(v, keras.layers.Normalization))
    for layer in target.layers:
        if isinstance(layer, keras.layers.Normalization):
            mean, variance, *count = source_norm.get_weights()
            layer.set_weights([mean, variance / np.square(factors), *count])
            layer.finalize_state()
        elif layer.weights:
            layer.set_weights(by_name[layer.name].get_weights())
