"""Settings and hardware in; a Keras optimizer, its schedule, a dtype policy, XLA or not, out."""

from __future__ import annotations

import importlib.util
import math
import os
from pathlib import Path
from typing import NamedTuple

import keras
from keras import ops

from fashion_keras.config import OptimizerConfig

_PROCESSOR = Path("/proc/cpuinfo")
_GPU_WITH_BFLOAT16 = (8, 0)
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


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


def describe_devices() -> str:
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


def resolve_precision(precision: str) -> str:
    """Return the Keras dtype policy that `auto` stands for: bfloat16 where the hardware has it.

    That is a GPU of compute capability 8.0 or more, or without a GPU a processor with bfloat16
    instructions; others emulate them in three times the time of float32.
    """
    if precision != "auto":
        return precision
    found = gpus()
    if any(gpu.compute_capability >= _GPU_WITH_BFLOAT16 for gpu in found):
        return "mixed_bfloat16"
    return "mixed_bfloat16" if not found and has_bfloat16() else "float32"


def is_emulated(policy: str) -> bool:
    """Return whether there is no GPU, and no bfloat16 instruction, for a policy of half precision.

    Processors with float16 instructions are not told apart: `mixed_float16` counts as emulated.
    """
    if policy == "float32" or gpus():
        return False
    return policy != "mixed_bfloat16" or not has_bfloat16()


def has_bfloat16(processor: Path = _PROCESSOR) -> bool:
    """Return whether Linux's description of the processor names bfloat16 instructions."""
    try:
        lines = processor.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return False
    for line in lines:
        name, _, flags = line.partition(":")
        if name.strip() == "flags":
            return not _BFLOAT16_FLAGS.isdisjoint(flags.split())
    return False


@keras.saving.register_keras_serializable("fashion_keras")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Rise from peak / 25 along a cosine for 30% of `steps`, then fall along one to almost 0.

    The learning rate's part of Smith's 1cycle policy (Smith and Topin, 2018), with the shape and
    the numbers that fastai made usual.
    """

    def __init__(self, peak: float, steps: int):
        self.peak, self.steps = peak, steps

    def __call__(self, step):
        """Return the learning rate of a step, a float32 scalar."""
        step = ops.cast(step, "float32")
        rise = max(1.0, 0.3 * self.steps)
        fall = max(1.0, self.steps - rise)
        up = self._between(self.peak / 25.0, self.peak, step / rise)
        down = self._between(self.peak, self.peak / 25e4, (step - rise) / fall)
        return ops.where(step < rise, up, down)

    def get_config(self):
        """Return what rebuilds the schedule."""
        return {"peak": self.peak, "steps": self.steps}

    @staticmethod
    def _between(start, end, share):
        share = ops.clip(share, 0.0, 1.0)
        return end + (start - end) * (1.0 + ops.cos(math.pi * share)) / 2.0


def learning_rate_schedule(
    config: OptimizerConfig, peak: float, steps_per_epoch: int, epochs: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the schedule that the config names, over `epochs` epochs of `steps_per_epoch` steps.

    `cosine` and `constant` warm up linearly to `peak`, then fall along a cosine to 0 (Loshchilov
    and Hutter, 2017) or stay; `one-cycle` is `OneCycle`.
    """
    if config.schedule == "one-cycle":
        return OneCycle(peak, steps_per_epoch * epochs)
    warmup = min(round(config.warmup_epochs * steps_per_epoch), steps_per_epoch * epochs - 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else peak,
        decay_steps=max(1, steps_per_epoch * epochs - warmup),
        alpha=0.0 if config.schedule == "cosine" else 1.0,
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


def build_optimizer(
    config: OptimizerConfig,
    peak: float,
    steps_per_epoch: int,
    epochs: int,
    *,
    accumulation: int = 1,
) -> keras.optimizers.Optimizer:
    """Build AdamW (Loshchilov and Hutter, 2019) for `epochs` epochs of `steps_per_epoch` steps.

    `peak` is the highest learning rate; the gradients of `accumulation` steps are averaged to
    one update. Biases and normalisation are not decayed.
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate=learning_rate_schedule(config, peak, steps_per_epoch, epochs),
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip_norm or None,
        gradient_accumulation_steps=accumulation if accumulation > 1 else None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    accelerated(optimizer)
    return optimizer


def create_variables(model: keras.Model) -> None:
    """Create the variables of the optimizer and of the losses' means.

    Left to Keras they are made by the first step, and a `tf.function` that makes variables is
    traced a second time. Targets are as the outputs, `[N, C]`; the model is functional.
    """
    nothing = keras.tree.map_structure(
        lambda output: keras.ops.zeros((1, *output.shape[1:])), model.output
    )
    model.compute_loss(y=nothing, y_pred=nothing)
    model.optimizer.build(model.trainable_variables)


def accelerated(computing: keras.Model | keras.optimizers.Optimizer) -> None:
    """Make a model or an optimizer faster by `models/accelerate`, where that folder is there."""
    if importlib.util.find_spec("fashion_keras.models.accelerate") is None:
        return
    from fashion_keras.models.accelerate import accelerate

    accelerate(computing)
