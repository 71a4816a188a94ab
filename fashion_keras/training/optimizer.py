"""An `OptimizerConfig` and the number of steps in, a Keras optimizer with its schedule out."""

from __future__ import annotations

import math

import keras
from keras import ops

from fashion_keras.config import OptimizerConfig
from fashion_keras.training.fused_adam import use_fused_update


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
    use_fused_update(optimizer)
    return optimizer
