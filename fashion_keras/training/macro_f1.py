"""A compiled classifier in `fit`; macro-F1 of each epoch's training and validation photos out.

A metric that counts which class was taken for which is added to each head of the compiled model;
the callback turns the counts into scores when an epoch ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import types
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from fashion_keras.errors import UserError
from fashion_keras.metrics import Scores, scores, scores_of_counts

# Above so many classes a matrix costs more than it shows: 8,000 take 256 MB and 200 ms a step.
MATRIX_CLASSES = 1000


@keras.saving.register_keras_serializable("fashion_keras")
class ConfusionMatrix(keras.metrics.Metric):
    """Accumulate a `[C, C]` confusion matrix (rows truth, columns prediction).

    `result()` is the accuracy, a scalar that the logs can hold; `scores()` are all the others.
    One matrix an epoch gives every score exactly, where averaging a macro-F1 over batches
    would not. With more than `MATRIX_CLASSES` classes only its diagonal and the sums of its rows
    and columns are kept, which give the same scores, and `matrix` is None.

    Args:
        num_classes: C, 2 for a head with one column.
        threshold: above it, one column stands for class 1.
    """

    def __init__(self, num_classes: int, threshold: float = 0.5, name: str = "accuracy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        self.threshold = threshold
        # float32 whatever Keras's default: half precision does not count beyond 2,048.
        options = {"initializer": "zeros", "dtype": "float32"}
        self.matrix: keras.Variable | None = None
        if num_classes <= MATRIX_CLASSES:
            self.matrix = self.add_weight(
                shape=(num_classes, num_classes), name="matrix", **options
            )
        else:
            self._margins = self.add_weight(shape=(3, num_classes), name="margins", **options)
        self._rows = self.add_weight(shape=(2,), name="rows", **options)  # all, and the odd ones

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch.

        `y_true` are one-hot or soft `[N, C]`, or class indices `[N]` or `[N, 1]`. A row of zeros
        and an index that is no class (-1, say) are photos without the label: left out. `y_pred`
        are logits or probabilities, `[N, C]`, or `[N, 1]` of two classes. `sample_weight` is
        `[N]` or `[N, 1]`: what a photo counts for, 1 by default.
        """
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if y_pred.shape[-1] == 1:
            predicted = ops.cast(ops.reshape(y_pred, [-1]) > self.threshold, "int32")
        else:
            predicted = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        if len(y_true.shape) > 1 and y_true.shape[-1] == self.num_classes:
            y_true = ops.cast(y_true, "float32")
            mass = ops.sum(y_true, axis=-1)
            known = mass > 0
            truth = ops.cast(ops.argmax(y_true, axis=-1), "int32")
            odd = ops.logical_or(mass > 1.5, ops.min(y_true, axis=-1) < 0)
        else:
            truth = ops.cast(ops.reshape(y_true, [-1]), "int32")
            known = ops.logical_and(truth >= 0, truth < self.num_classes)
            truth = ops.clip(truth, 0, self.num_classes - 1)
            odd = ops.zeros_like(known)
        rows = ops.stack([ops.ones_like(odd), odd])
        self._rows.assign_add(ops.sum(ops.cast(rows, "float32"), axis=-1))
        weight = ops.cast(known, "float32")
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight)
            weight = weight * ops.reshape(ops.cast(sample_weight, "float32"), [-1])
        self._add(truth, predicted, weight)

    def _add(self, truth, predicted, weight):
        count = self.num_classes
        if self.matrix is not None:
            cells = ops.segment_sum(weight, truth * count + predicted, count * count)
            self.matrix.assign_add(ops.reshape(cells, (count, count)))
        else:
            right = weight * ops.cast(ops.equal(truth, predicted), "float32")
            margins = [(right, truth), (weight, truth), (weight, predicted)]
            self._margins.assign_add(
                ops.stack([ops.segment_sum(some, of, count) for some, of in margins])
            )

    def result(self):
        """Return the accuracy so far, 0 before the first photo."""
        if self.matrix is not None:
            hits, total = ops.trace(self.matrix), ops.sum(self.matrix)
        else:
            hits, total = ops.sum(self._margins[0]), ops.sum(self._margins[1])
        return hits / ops.maximum(total, 1e-12)

    def scores(self) -> Scores:
        """Return all scores so far, from the variables as they are: not within a graph."""
        if self.matrix is not None:
            return scores(np.asarray(self.matrix))
        return scores_of_counts(*np.asarray(self._margins))

    def rows(self) -> tuple[int, int]:
        """Return how many photos there were, and of how many `y_true` was no one-hot.

        That is, negative, or of several classes at once.
        """
        every, odd = np.asarray(self._rows)
        return int(every), int(odd)

    def get_config(self):
        """Return what rebuilds the metric."""
        own = {"num_classes": self.num_classes, "threshold": self.threshold}
        return {**super().get_config(), **own}


@dataclasses.dataclass(frozen=True)
class Asked:
    """Which heads are to be counted (None: every classifier), and where one column says yes."""

    heads: tuple[str, ...] | None = None
    threshold: float | None = None


def count_heads(model: keras.Model, asked: Asked) -> HeadCounts:
    """Let `fit` and `evaluate` count a compiled model's predictions; return the counts.

    The model goes on counting until it is compiled with another loss, so that a later `fit`
    need not be traced anew. Raises `UserError` where there is no classifier among its outputs.
    """
    counts = getattr(model.compute_metrics, "counts", None)
    if counts is not None:
        if counts.asked == asked and counts.counts_for(model) and not counts.passed_over:
            return counts
        model._metrics.remove(counts)
        counts = HeadCounts(model, asked)
        model.compute_metrics.counts = counts
    else:
        counts = HeadCounts(model, asked)
        # The method that Keras gives subclasses for metrics of their own.
        model.compute_metrics = _counting(model, counts)
    # Private, since a built model takes no more attributes with state. Keras then resets the
    # counts with its own metrics, and JAX carries them from step to step.
    model._metrics.append(counts)
    if not any(metric is counts for metric in model.metrics):
        raise UserError(
            f"MacroF1 cannot count: the property `metrics` of {type(model).__name__} leaves it "
            "out.\nLet it return *super().metrics too"
        )
    model.train_function = model.test_function = None  # they may have been traced without it
    return counts


def _counting(model, counts):
    original = model.compute_metrics

    def compute_metrics(x=None, y=None, y_pred=None, sample_weight=None):
        counts = counting.counts
        counts.told = False
        logs = original(x, y, y_pred, sample_weight)
        if not counts.counts_for(model):
            counts.passed_over = True  # compiled anew, perhaps for other labels
        elif not counts.told:  # some models tell each of their metrics themselves
            counts.update_state(y, y_pred, sample_weight)
        return logs

    counting: Any = compute_metrics  # a function, with an attribute
    counting.counts = counts
    return counting


class HeadCounts(keras.metrics.Metric):
    """A confusion matrix for each head that is counted; adds nothing to the logs itself.

    `before_reset` is called each time before the counts are set to zero.
    """

    def __init__(self, model: keras.Model, asked: Asked):
        super().__init__(name="head_counts")
        self.asked = asked
        self.told = self.passed_over = False
        self.before_reset: Callable[[], None] | None = None
        self.matrices: dict[str, ConfusionMatrix] = {}
        # As it was when counting began. In one object: Keras would wrap a dict of losses.
        self._model = types.SimpleNamespace(
            name=model.name,
            loss=model.loss,
            output_names=tuple(getattr(model, "output_names", None) or ()),
        )
        self._names: tuple[str, ...] = ()  # in the model's order
        self._order: tuple[str, ...] = ()  # in which lists of labels come
        outputs = _output_specs(model)
        if outputs is not None:
            # A strategy's replicas each count, and are summed.
            strategy = getattr(model, "distribute_strategy", None)
            with strategy.scope() if strategy else contextlib.nullcontext():
                self._create(outputs)
        elif keras.backend.backend() != "tensorflow":
            raise UserError(
                f"MacroF1 cannot tell the outputs of {type(model).__name__} before it has run: "
                "build it of keras.Input, or with one input"
            )

    def counts_for(self, model: keras.Model) -> bool:
        """Say whether a model is still compiled as it was when counting began."""
        return self._model.loss is model.loss

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch, of the structures that `fit` was given; labels of some heads may lack."""
        self.told = True
        if not self.matrices:  # a model that is built by its first batch
            import tensorflow as tf

            with tf.init_scope():
                self._create(y_pred)
        y_true, y_pred = self._by_head(y_true), self._by_head(y_pred)
        weights = self._by_head(sample_weight)
        for name, matrix in self.matrices.items():
            if y_true.get(name) is not None:
                matrix.update_state(y_true[name], y_pred[name], weights.get(name))

    def result(self):
        """Return nothing: macro-F1 is no mean over batches."""
        return {}

    def reset_state(self):
        """Set the counts to zero."""
        if self.before_reset is not None:
            self.before_reset()
        super().reset_state()

    def read(self) -> dict[str, ConfusionMatrix]:
        """Return the matrices of the heads that were told of photos since the last reset.

        Raises `UserError` where there is none, or where targets were no classes.
        """
        rows = {name: matrix.rows() for name, matrix in self.matrices.items()}
        for name, (_, odd) in rows.items():
            if odd:
                raise UserError(
                    f"MacroF1: {odd} targets of {name!r} have negative numbers or several classes "
                    "at once, and are no one-hot labels.\nName the heads that are classifiers: "
                    "MacroF1(heads=[...])"
                )
        found = {name: self.matrices[name] for name, (seen, _) in rows.items() if seen}
        if not found:
            raise UserError(
                f"MacroF1 was told of no photo: does a step of {self._model.name} of your own "
                "leave out self.compute_metrics(x, y, y_pred, sample_weight)?"
            )
        return found

    def prefix(self, name: str) -> str:
        """Return what stands before a score's name in the logs, as Keras does it."""
        return f"{name}_" if len(self._names) > 1 else ""

    def _create(self, outputs):
        self._names, self._order = _output_order(outputs, self._model.output_names)
        outputs, losses = self._by_head(outputs), self._by_head(self._model.loss)
        wanted = self._names if self.asked.heads is None else self.asked.heads
        for name in wanted:
            if name not in self._names:
                raise UserError(f"MacroF1: no output {name!r} among {', '.join(self._names)}")
        found: dict[str, ConfusionMatrix] = {}
        for name in wanted:
            shape, threshold = outputs[name].shape, self.asked.threshold
            if threshold is None:
                threshold = _threshold(losses.get(name))
            if len(shape) == 2 and shape[-1] > 1:
                found[name] = ConfusionMatrix(shape[-1], name=f"counts_{len(found)}")
            elif len(shape) == 2 and threshold is not None:
                found[name] = ConfusionMatrix(2, threshold, name=f"counts_{len(found)}")
        if not found:
            shapes = ", ".join(f"{name} {tuple(outputs[name].shape)}" for name in wanted)
            raise UserError(
                f"MacroF1 finds no classifier among the outputs {shapes}: expected logits or "
                "probabilities (N, C),\nor (N, 1) with a binary cross-entropy or "
                "MacroF1(threshold=...)"
            )
        self.matrices = found

    def _by_head(self, structure) -> dict:
        """Map the heads to their parts of a structure; a single thing is of all of them."""
        if isinstance(structure, dict):
            return structure
        if isinstance(structure, list | tuple):
            return dict(zip(self._order, structure, strict=False))
        return dict.fromkeys(self._names, structure)


def _threshold(loss) -> float | None:
    """Return from where one column says yes by a loss of `compile`; None of no binary one."""
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    if "binary" not in getattr(loss, "__name__", type(loss).__name__).lower():
        return None
    return 0.0 if getattr(loss, "from_logits", False) else 0.5


def _output_specs(model):
    """Return things with the shapes of the model's outputs, None where they are not known yet."""
    try:
        return model.output
    except AttributeError:  # of layers called in order or in a method
        pass
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if shape is None:
        return None
    try:
        return model.compute_output_spec(keras.tree.map_shape_structure(keras.KerasTensor, shape))
    except Exception:  # whatever a method of someone else's does with a symbolic input
        return None


def _output_order(outputs, output_names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the outputs' names in their own order, and in that of lists of labels."""
    if isinstance(outputs, dict):
        in_lists = output_names if set(output_names) == set(outputs) else sorted(outputs)
        return tuple(outputs), tuple(in_lists)
    count = len(outputs) if isinstance(outputs, list | tuple) else 1
    names = tuple(output_names)
    if len(names) != count:
        names = tuple(f"output_{number}" for number in range(count))
    return names, names


class MacroF1(keras.callbacks.Callback):
    """Write macro-F1 into the logs of each epoch, beside whatever a model was compiled with.

    `macro_f1` is of the training photos as they were seen, like Keras's own metrics. In epochs
    with validation come `val_macro_f1`, the mean over the classes that occur in truth or
    predictions, as scikit-learn's `f1_score(average="macro")`, and `val_macro_f1_all`, where a
    class that never occurs counts 0. A model of several outputs has them for each:
    `val_category_macro_f1`. Counted while `fit` runs, so without a second pass.

    Labels are one-hot or class indices, outputs logits or probabilities `[N, C]`, or `[N, 1]`
    with a binary cross-entropy. `sample_weight` counts, and `class_weight` with it, which Keras
    applies to training alone. Photos of weight 0 and those without a label (a row of zeros, an
    index of -1) are left out. Other outputs, such as a regression's, are not scored.

    Stands before the callbacks that monitor it. The last epoch's `Scores` are in `train_scores`
    and `validation_scores`, dicts by the output's name; `validation_matrices` has the matrices
    `[C, C]` of outputs of at most `confusion.MATRIX_CLASSES` classes.

    Args:
        heads: names of the outputs to score. Defaults to every classifier among them.
        threshold: above it, an output of one column stands for class 1. Defaults to 0.5, and to
            0 where its loss takes logits.

    Raises:
        UserError: in `fit`, where there is nothing to score, or targets are no classes.

    Example:

        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x, y, validation_data=(vx, vy), callbacks=[MacroF1()])
    """

    def __init__(self, heads: Sequence[str] | None = None, threshold: float | None = None):
        super().__init__()
        self._asked = Asked(None if heads is None else tuple(heads), threshold)
        self._counts: HeadCounts  # from `set_model` on
        self._in_epoch = self._trained = False
        self.train_scores: dict[str, Scores] = {}
        self.validation_scores: dict[str, Scores] = {}
        self.validation_matrices: dict[str, np.ndarray] = {}

    def set_model(self, model):
        """Let the model count from its next step on."""
        super().set_model(model)
        self._in_epoch = False
        self._counts = count_heads(model, self._asked)
        self._counts.before_reset = self._read_training

    def on_epoch_begin(self, epoch, logs=None):
        """Forget the epoch before."""
        self._in_epoch, self._trained = True, False
        self.train_scores, self.validation_scores, self.validation_matrices = {}, {}, {}

    def on_test_begin(self, logs=None):
        """Read what training has counted, before validation counts from zero."""
        self._read_training()

    def on_test_end(self, logs=None):
        """Read what validation has counted."""
        found = self._counts.read()
        self.validation_scores = {name: matrix.scores() for name, matrix in found.items()}
        self.validation_matrices = {
            name: np.asarray(matrix.matrix)
            for name, matrix in found.items()
            if matrix.matrix is not None
        }

    def on_epoch_end(self, epoch, logs=None):
        """Write the scores into the logs."""
        self._read_training()
        self._in_epoch = False
        for name, found in self.train_scores.items():
            logs[f"{self._counts.prefix(name)}macro_f1"] = found.macro_f1
        for name, found in self.validation_scores.items():
            prefix = f"val_{self._counts.prefix(name)}"
            logs[f"{prefix}macro_f1"] = found.macro_f1
            logs[f"{prefix}macro_f1_all"] = found.macro_f1_all

    def _read_training(self):
        """Read the epoch's training once, whoever evaluates first: that sets the counts to zero."""
        if self._in_epoch and not self._trained:
            self._trained = True
            found = self._counts.read()
            self.train_scores = {name: matrix.scores() for name, matrix in found.items()}
