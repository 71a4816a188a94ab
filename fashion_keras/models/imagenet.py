"""ImageNet weights from the libraries that host them."""

from __future__ import annotations

import contextlib
import re

import keras
import numpy as np

from fashion_keras.errors import UserError


@contextlib.contextmanager
def imagenet_download(host: str):
    """Turn a failed download inside the block into a `UserError` that says what to do."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # each host wraps network failures in a class of its own
        raise UserError(
            f"cannot download ImageNet weights from {host}: {str(error).splitlines()[0][:160]}\n"
            "Go online once (they are cached), or use --weights none or --weights PATH"
        ) from error


def carry_resnet18(trunk: keras.Model) -> None:
    """Copy KerasHub's `resnet_18_imagenet` into KerasCV's ResNet18, in place.

    Raises `UserError` where keras-hub is not installed or the download fails.
    """
    try:
        import keras_hub
    except ImportError:
        raise UserError(
            "--weights imagenet for resnet18 needs KerasHub: pip install 'fashion-keras[imagenet]'"
        ) from None
    with imagenet_download("KerasHub"):
        source = keras_hub.models.ResNetBackbone.from_preset("resnet_18_imagenet")
    copy_resnet18(source, trunk)


def copy_efficientnet(source: keras.Model, target: keras.Model) -> None:
    """Copy Keras Applications' EfficientNet with ImageNet weights into one built without, in place.

    The source divides by the square root of ImageNet's deviation in a Rescaling of its own after
    its Normalization; here that goes into the Normalization's variance.
    """
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


def copy_resnet18(source: keras.Model, trunk: keras.Model) -> None:
    """Copy convolutions and batch normalisations of one ResNet18 into another, in place.

    Both libraries name a block's layers by stack, block and position; they differ in the
    words. The outputs are the same where every stage has an odd size; at an even one KerasCV pads
    a strided convolution on the right and below alone, KerasHub on both sides, so the weights
    see the photo shifted by a pixel, which fine-tuning makes up for. `ValueError` where a layer
    has no counterpart of the same shapes.
    """
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
