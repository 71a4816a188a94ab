"""ResNet18 (He et al., 2015) by KerasCV's `ResNetBackbone` with basic blocks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fashion_keras.errors import UserError

if TYPE_CHECKING:
    import keras

IMAGENET = "KerasHub's preset resnet_18_imagenet"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def build_backbone(image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """Build ResNet18 from float RGB in [0, 255] to features `[N, h/32, w/32, 512]`.

    `imagenet` carries KerasHub's `resnet_18_imagenet` over; `UserError` where keras-hub is not
    installed or the download fails. Normalises by ImageNet's mean and deviation either way.
    """
    import keras

    # keras_cv.models.ResNet18Backbone() would ask Kaggle for its preset even without weights;
    # the class with the same numbers does not.
    from keras_cv.models import ResNetBackbone

    trunk = ResNetBackbone(
        stackwise_filters=[64, 128, 256, 512],
        stackwise_blocks=[2, 2, 2, 2],
        stackwise_strides=[1, 2, 2, 2],
        block_type="basic_block",
        include_rescaling=False,
        input_shape=(*image_size, 3),
    )
    # The same layers as a plain Keras model: a saved one then opens without KerasCV.
    trunk = keras.Model(trunk.input, trunk.output, name="resnet18")
    if imagenet:
        _carry_weights(trunk)
    inputs = keras.Input((*image_size, 3), name="image")
    normalised = keras.layers.Rescaling(
        scale=[1 / (255 * std) for std in IMAGENET_STD],
        offset=[-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)],
        name="normalisation",
    )(inputs)
    return keras.Model(inputs, trunk(normalised), name="backbone")


def _carry_weights(trunk: keras.Model) -> None:
    """Copy convolutions and batch normalisations of KerasHub's ResNet18 into KerasCV's, in place.

    Both libraries name a block's layers by stack, block and position; they differ in the
    words. The outputs are the same where every stage has an odd size; at an even one KerasCV pads
    a strided convolution on the right and below alone, KerasHub on both sides, so the weights
    see the photo shifted by a pixel, which fine-tuning makes up for.
    """
    from fashion_keras.models.weights import imagenet_download

    try:
        import keras_hub
    except ImportError:
        raise UserError(
            "--weights imagenet for resnet18 needs KerasHub: pip install 'fashion-keras[imagenet]'"
        ) from None
    with imagenet_download("KerasHub"):
        source = keras_hub.models.ResNetBackbone.from_preset("resnet_18_imagenet")
    targets = _by_place(trunk)
    sources = _by_place(source)
    if targets.keys() != sources.keys():
        odd = sorted(targets.keys() ^ sources.keys())
        raise ValueError(f"The two ResNet18 differ in layers: {odd}")
    for place, layer in targets.items():
        layer.set_weights(sources[place].get_weights())


def _by_place(model: keras.Model) -> dict[tuple, keras.layers.Layer]:
    """Map (stack, block, position, kind) to the layer there; the stem is stack -1."""
    kinds = {"Conv2D": "conv", "BatchNormalization": "bn"}
    layers = [(layer, kinds[type(layer).__name__]) for layer in model.layers if layer.weights]
    places: dict[tuple, keras.layers.Layer] = {
        (*_place(layer.name), kind): layer for layer, kind in layers
    }
    # KerasCV counts blocks from 1, KerasHub from 0.
    first = min(block for stack, block, *_ in places if stack >= 0)
    return {
        (stack, block - first if stack >= 0 else block, *rest): layer
        for (stack, block, *rest), layer in places.items()
    }


def _place(name: str) -> tuple[int, ...]:
    # KerasCV: conv1_conv, v2_stack_0_block1_0_conv. KerasHub: conv1_conv, stack0_block0_1_bn.
    numbers = [int(number) for number in re.findall(r"\d+", name)]
    return tuple(numbers[-3:]) if "stack" in name else (-1, 0, numbers[0])
