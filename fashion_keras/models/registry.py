"""The names of the architectures, known without loading TensorFlow.

A further architecture is a file `models/backbones/NAME.py` with `build_backbone`, which imports
Keras when it is called; with ImageNet weights, who has them as `IMAGENET`, and their host's
stand-in in `tests/models/hosted_weights.py`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from fashion_keras.data.schema import did_you_mean
from fashion_keras.errors import UserError
from fashion_keras.models import backbones
from fashion_keras.quiet import load_keras

if TYPE_CHECKING:
    import keras

ARCHITECTURES = {
    module.name: f"{backbones.__name__}.{module.name}"
    for module in pkgutil.iter_modules(backbones.__path__)
}


def check_arch(arch: str) -> str:
    """Return `arch` if it is registered; `UserError` with the nearest name if not."""
    if arch not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(
            f"unknown arch {arch!r}: expected one of {known}{did_you_mean(arch, ARCHITECTURES)}"
        )
    return arch


def imagenet_host(arch: str) -> str | None:
    """Return who has ImageNet weights for a registered architecture, `None` if nobody."""
    return getattr(importlib.import_module(ARCHITECTURES[arch]), "IMAGENET", None)


def check_imagenet(arch: str) -> None:
    """Raise `UserError` where there are no ImageNet weights for a registered architecture."""
    if imagenet_host(arch) is None:
        having = ", ".join(name for name in ARCHITECTURES if imagenet_host(name))
        raise UserError(
            f"there are no ImageNet weights for {arch}, only for {having}: "
            "use --weights none or --weights PATH"
        )


def build_backbone(arch: str, image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """Build an architecture without its top.

    Returns a `keras.Model` named `backbone` from float RGB `[N, height, width, 3]` in [0, 255]
    (it normalises inside) to features `[N, h, w, channels]`, with ImageNet weights or random
    ones. Raises `UserError` for an unknown name, and where ImageNet weights cannot be had.
    """
    module = importlib.import_module(ARCHITECTURES[check_arch(arch)])
    load_keras()
    if imagenet:
        check_imagenet(arch)
    return module.build_backbone(image_size, imagenet=imagenet)
