"""What happens around steps and epochs: scores, throughput, average, best model, a line."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops

from fashion_keras.errors import UserError
from fashion_keras.io import replacing
from fashion_keras.metrics import METRICS
from fashion_keras.progress import open_bar
from fashion_keras.training.macro_f1 import MacroF1


class RunScores(keras.callbacks.Callback):
    """Make an epoch's logs the columns that a run has: the losses, then each label's scores.

    The headline's are the logged ones of `METRICS`, with `val_` before them in validation;
    another label's carry its name, e.g. `val_articleType_macro_f1`. Keras's and `MacroF1`'s own
    names would depend on how many labels there are. For the trainer, whose other callbacks all
    come after it.

    Args:
        macro_f1: the callback before this one, which has the scores.
        labels: the model's outputs, the headline first.
    """

    def __init__(self, macro_f1: MacroF1, labels: Sequence[str]):
        super().__init__()
        self._macro_f1 = macro_f1
        self._labels = list(labels)

    def on_epoch_end(self, epoch, logs=None):
        """Replace what is in the logs."""
        columns = {name: logs[name] for name in ("loss", "val_loss") if name in logs}
        for part, scores in (
            ("", self._macro_f1.train_scores),
            ("val_", self._macro_f1.validation_scores),
        ):
            for label in self._labels:
                prefix = part if label == self._labels[0] else f"{part}{label}_"
                for metric in METRICS:
                    if metric.logged is True or (part and metric.logged):
                        columns[f"{prefix}{metric.key}"] = scores[label].values[metric.key]
        logs.clear()
        logs.update(columns)


class Throughput(keras.callbacks.Callback):
    """Write `photos_per_second` (of training alone), `seconds`, `learning_rate` into the logs."""

    def __init__(self, batch_size: int):
        super().__init__()
        self._batch_size = batch_size

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self._start = time.perf_counter()
        self._trained = None
        self._batches = 0

    def on_train_batch_begin(self, batch, logs=None):
        """Count the batch."""
        self._batches += 1

    def on_test_begin(self, logs=None):
        """Stop the training clock where validation begins."""
        self._trained = time.perf_counter() - self._start

    def on_epoch_end(self, epoch, logs=None):
        """Write the figures into the logs."""
        elapsed = time.perf_counter() - self._start
        logs["photos_per_second"] = self._batches * self._batch_size / (self._trained or elapsed)
        logs["seconds"] = elapsed
        logs["learning_rate"] = float(np.asarray(self.model.optimizer.learning_rate))


class StopOnNaN(keras.callbacks.Callback):
    """Stop with a `UserError` when the loss is no longer a number; checkpoints stay.

    The only callback here that looks at a batch's end. Keras then does so in another thread, and
    the next steps need not wait until the GPU has finished this one; what is raised, `fit` raises
    some steps later.
    """

    async_safe = True

    def on_train_batch_end(self, batch, logs=None):
        """Look at the running loss."""
        self._check("loss", (logs or {}).get("loss"), f"at batch {batch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        """Look at what the last step left, before anything saves it."""
        self._check("validation loss", (logs or {}).get("val_loss"), f"after epoch {epoch + 1}")
        total = sum(float(keras.ops.sum(v)) for v in self.model.trainable_variables)
        self._check("sum of the weights", total, f"after epoch {epoch + 1}")

    def _check(self, what, value, when):
        if value is not None and not math.isfinite(value):
            raise UserError(
                f"the {what} became {value} {when}: training stopped, the last checkpoint is "
                "kept.\nTry a lower optimizer.learning_rate, or training.precision=float32"
            )


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


class BestModel(keras.callbacks.Callback):
    """Save the model with the best score on validation, without optimizer or loss.

    What is saved is what was validated: the average where there is one. Written beside and
    renamed, so that a kill in mid-write leaves the last best. Loads with Keras alone.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        average: ExponentialMovingAverage | None,
        monitor: str = "val_macro_f1",
    ):
        super().__init__()
        self.path = Path(path)
        self.monitor = monitor
        self.best = -math.inf
        self.best_epoch = -1
        self._average = average

    def reset(self) -> None:
        """Forget the best score, so that the next epoch's model is kept whatever it scores."""
        self.best, self.best_epoch = -math.inf, -1

    def on_epoch_end(self, epoch, logs=None):
        """Save where this epoch is better than all before."""
        if logs[self.monitor] <= self.best:
            return
        self.best, self.best_epoch = logs[self.monitor], epoch
        with averaged(self._average), replacing(self.path) as partial:
            keras.Model(self.model.inputs, self.model.output, name=self.model.name).save(partial)


class EpochLine(keras.callbacks.Callback):
    """Report a line an epoch, and a bar within it where somebody watches."""

    def __init__(self, epochs: int, steps: int, say: Callable[[str], object], bars: bool):
        super().__init__()
        self._epochs, self._steps, self._say, self._bars = epochs, steps, say, bars
        self._bar = open_bar(steps, "", "batch", shown=False)
        self._seconds: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        """Open the bar."""
        phase = f"epoch {epoch + 1}/{self._epochs}"
        self._bar = open_bar(self._steps, phase, "batch", shown=self._bars, leave=False)

    def on_train_batch_begin(self, batch, logs=None):
        """Move the bar to the batches before this one."""
        self._bar.update(batch - self._bar.n)

    def on_test_begin(self, logs=None):
        """Say that validation runs."""
        self._bar.set_postfix_str("validating")

    def on_epoch_end(self, epoch, logs=None):
        """Close the bar and print the epoch's line."""
        self._bar.close()
        self._seconds.append(logs["seconds"])
        left = (self._epochs - epoch - 1) * float(np.mean(self._seconds))
        self._say(
            f"epoch {epoch + 1}/{self._epochs}  loss {logs['loss']:.4f}  "
            f"accuracy {logs['accuracy']:.4f}  val_loss {logs['val_loss']:.4f}  "
            f"val_accuracy {logs['val_accuracy']:.4f}  val_macro_f1 {logs['val_macro_f1']:.4f}  "
            f"{logs['photos_per_second']:.0f} photos/s  {_duration(left)} left"
        )

    def on_train_end(self, logs=None):
        """Close a bar that an early end left open."""
        if self._bar:
            self._bar.close()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}"
    return f"{minutes}m{seconds:02d}s"
