"""A model in, the moving average of its weights beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf


class ExponentialMovingAverage(keras.callbacks.Callback):
    """Keep an average of all weights, and validate and save with it (Polyak averaging).

    Unlike the optimizer's `use_ema`, it averages the batch-normalisation statistics too, which
    the averaged weights need, and warms up: at step t the momentum is
    min(momentum, (1 + t) / (10 + t)) (TensorFlow's `ExponentialMovingAverage` with
    `num_updates`), so that a short run is not held at its random start.

    Args:
        momentum: share of the old average that stays at each step, in (0, 1).
        every: steps between updates; the momentum is raised to that power.
    """

    def __init__(self, momentum: float, every: int = 4):
        super().__init__()
        self.momentum = momentum
        self.every = every
        self.step = 0
        self._averages: list[tf.Variable] | None = None
        self._swapped = False

    def set_model(self, model):
        """Start the average at the model's weights, unless a checkpoint has restored one."""
        super().set_model(model)
        if self._averages is None:
            self._averages = [tf.Variable(v.value, trainable=False) for v in self._variables()]
        self._update = tf.function(self._blend)

    def on_train_batch_end(self, batch, logs=None):
        """Blend the new weights in."""
        self.step += 1
        if self.step % self.every == 0:
            momentum = min(self.momentum, (1 + self.step) / (10 + self.step))
            self._update(tf.constant(momentum**self.every, tf.float32))

    def on_test_begin(self, logs=None):
        """Validate with the average."""
        self.swap()

    def on_test_end(self, logs=None):
        """Go on training with the weights themselves."""
        self.swap()

    def swap(self) -> None:
        """Exchange the model's weights and their average; a second call undoes it."""
        for variable, average in zip(self._variables(), self._averages, strict=True):
            held = tf.identity(variable.value)
            variable.assign(average)
            average.assign(held)

    def get_state(self) -> dict:
        """Return the averages (NumPy arrays) and the step."""
        return {"step": self.step, "averages": [a.numpy() for a in self._averages]}

    def set_state(self, state: dict) -> None:
        """Take back what `get_state` returned; before or after `set_model`."""
        self.step = int(state["step"])
        self._averages = [tf.Variable(a, trainable=False) for a in state["averages"]]

    def _variables(self):
        # Seed generators and counters are integers: they have no average.
        return [v for v in self.model.variables if v.dtype.startswith(("float", "bfloat"))]

    def _blend(self, momentum):
        for variable, average in zip(self._variables(), self._averages, strict=True):
            value = tf.cast(variable.value, average.dtype)
            average.assign(average + (value - average) * tf.cast(1.0 - momentum, average.dtype))


@contextlib.contextmanager
def averaged(average: ExponentialMovingAverage | None) -> Iterator[None]:
    """Swap the averaged weights in for the length of a `with` block; None does nothing."""
    if average:
        average.swap()
    try:
        yield
    finally:
        if average:
            average.swap()
