"""The GPUs that Keras's backend would train on."""

from __future__ import annotations

import os
from typing import NamedTuple

import keras


class GPU(NamedTuple):
    """A GPU: its name, and its compute capability as (major, minor), (0, 0) where not known."""

    name: str
    compute_capability: tuple[int, int]


def gpus() -> list[GPU]:
    """Return the GPUs that TensorFlow, or JAX where that is Keras's backend, sees."""
    if keras.backend.backend() == "jax":
        import jax

        devices = [device for device in jax.devices() if device.platform == "gpu"]
        return [GPU(device.device_kind, _version(device)) for device in devices]
    import tensorflow as tf

    found = []
    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        capability = details.get("compute_capability", (0, 0))
        found.append(GPU(details.get("device_name", "GPU"), tuple(capability)))
    return found


def describe() -> str:
    """Name what will be trained on, for a line to the user."""
    return ", ".join(gpu.name for gpu in gpus()) or f"CPU, {os.cpu_count()} cores"


def jit_compile(replicas: int = 1) -> str | bool:
    """Return the `jit_compile` that `compile` is to have.

    XLA on a CPU made TensorFlow's training of ResNet18 18 times slower; JAX has nothing else.
    And TensorFlow cannot compile what several devices do together.
    """
    if keras.backend.backend() == "jax":
        return "auto"
    return False if replicas > 1 or not gpus() else "auto"


def _version(device) -> tuple[int, int]:
    major, _, minor = str(getattr(device, "compute_capability", "0.0")).partition(".")
    return int(major), int(minor or 0)
