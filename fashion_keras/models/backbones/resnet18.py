"""ResNet18 (He et al., 2015) by KerasCV's `ResNetBackbone` with basic blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

IMAGENET = "KerasHub's preset resnet_18_imagenet"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def build_backbone(image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """Build ResNet18 from float RGB in [0, 255] to features `[N, h/32, w/32, 512]`.

    `imagenet` carries KerasHub's `resnet_18_imagenet` over; see `models/imagenet.py` for what
    that raises. Normalises by ImageNet's mean and deviation either way.
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
        from fashion_keras.models.imagenet import carry_resnet18

        carry_resnet18(trunk)
    inputs = keras.Input((*image_size, 3), name="image")
    normalised = keras.layers.Rescaling(
        scale=[1 / (255 * std) for std in IMAGENET_STD],
        offset=[-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)],
        name="normalisation",
    )(inputs)
    return keras.Model(inputs, trunk(normalised), name="backbone")
