"""An `OptimizerConfig` and the number of steps in, a Keras optimizer with its schedule out."""

from __future__ import annotations

import keras

from fashion_keras.config import OptimizerConfig


def learning_rate_schedule(
    config: OptimizerConfig, peak: float, steps_per_epoch: int, epochs: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return linear warm-up to `peak`, then a cosine to 0 (Loshchilov and Hutter, 2017) or flat."""
    warmup = min(round(config.warmup_epochs * steps_per_epoch), steps_per_epoch * epochs - 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else peak,
        decay_steps=max(1, steps_per_epoch * epochs - warmup),
        alpha=0.0 if config.schedule == "cosine" else 1.0,
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


def build_optimizer(
    config: OptimizerConfig, peak: float, steps_per_epoch: int, epochs: int
) -> keras.optimizers.Optimizer:
    """Build AdamW (Loshchilov and Hutter, 2019) for `epochs` epochs of `steps_per_epoch` steps.

    `peak` is the highest learning rate. Biases and normalisation are not decayed.
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate=learning_rate_schedule(config, peak, steps_per_epoch, epochs),
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip_norm or None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
