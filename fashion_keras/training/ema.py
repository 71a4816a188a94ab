"""A model in, the moving average of its weights beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

# Under JAX each blend brings the training state into the variables and out again first.
_EVERY = {"tensorflow": 4}.get(keras.backend.backend(), 16)


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

    def __init__(self, momentum: float, every: int = _EVERY):
        super().__init__()
        self.momentum = momentum
        self.every = every
        self.step = 0
        self._averages: list[keras.Variable] = []
        self._is_stepping = False

    def set_model(self, model):
        """Start the average at the model's weights, unless a checkpoint has restored one."""
        super().set_model(model)
        if not self._averages:
            self._averages = [_variable(np.array(v)) for v in self._variables()]
        self._update = _updater(self._variables(), self._averages)

    def on_train_batch_begin(self, batch, logs=None):
        """Blend in what the step before has made, and know that there will be another."""
        # And not at the batch's end: there Keras reads the losses first, and waits for the GPU.
        self._blend_step()
        self._is_stepping = True

    def _blend_step(self):
        if not self._is_stepping:
            return
        self._is_stepping = False
        self.step += 1
        if self.step % self.every == 0:
            momentum = min(self.momentum, (1 + self.step) / (10 + self.step))
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()  # `fit` keeps the weights to itself within an epoch
            self._update(momentum**self.every)

    def on_test_begin(self, logs=None):
        """Validate with the average."""
        self._blend_step()
        self.swap()

    def on_test_end(self, logs=None):
        """Go on training with the weights themselves."""
        self.swap()

    def swap(self) -> None:
        """Exchange the model's weights and their average; a second call undoes it."""
        for variable, average in zip(self._variables(), self._averages, strict=True):
            held = np.array(variable)
            variable.assign(average)
            average.assign(held)

    def get_state(self) -> dict:
        """Return the averages (NumPy arrays) and the step."""
        return {"step": self.step, "averages": [np.array(a) for a in self._averages]}

    def set_state(self, state: dict) -> None:
        """Take back what `get_state` returned; before or after `set_model`."""
        self.step = int(state["step"])
        self._averages = [_variable(a) for a in state["averages"]]

    def _variables(self):
        # Seed generators and counters are integers: they have no average.
        return [v for v in self.model.variables if v.dtype.startswith(("float", "bfloat"))]


def _variable(value) -> keras.Variable:
    return keras.Variable(
        value, dtype=keras.backend.standardize_dtype(value.dtype), trainable=False
    )


def _updater(variables, averages):
    """Return a function of the momentum that blends the variables into their averages."""

    def blended(average, value, momentum):
        return average + (ops.cast(value, average.dtype) - average) * (1.0 - momentum)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
        def update(momentum):
            for variable, average in zip(variables, averages, strict=True):
                average.assign(blended(average.value, variable.value, momentum))

        return update

    import jax

    together = jax.jit(
        lambda old, new, momentum: [
            blended(average, value, momentum) for average, value in zip(old, new, strict=True)
        ]
    )

    def update_at_once(momentum):
        values = together([a.value for a in averages], [v.value for v in variables], momentum)
        for average, value in zip(averages, values, strict=True):
            average.assign(value)

    return update_at_once


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
