"""A compiled model in; the same one, counting what each classifier's head takes for what, out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

import keras

from fashion_keras.errors import UserError
from fashion_keras.training.confusion import ConfusionMatrix


@dataclasses.dataclass(frozen=True)
class Asked:
    """Which heads are to be counted (None: every classifier), and where one column says yes."""

    heads: tuple[str, ...] | None = None
    threshold: float | None = None


@dataclasses.dataclass(frozen=True)
class _Compiled:
    """What a model was when counting began."""

    name: str
    loss: object
    output_names: tuple[str, ...]


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
        counts = compute_metrics.counts
        counts.told = False
        logs = original(x, y, y_pred, sample_weight)
        if not counts.counts_for(model):
            counts.passed_over = True  # compiled anew, perhaps for other labels
        elif not counts.told:  # some models tell each of their metrics themselves
            counts.update_state(y, y_pred, sample_weight)
        return logs

    compute_metrics.counts = counts
    return compute_metrics


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
        # In one object: Keras would wrap a dict of losses in one of its own.
        self._model = _Compiled(
            model.name, model.loss, tuple(getattr(model, "output_names", None) or ())
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
        found = {}
        for name in wanted:
            shape, loss = outputs[name].shape, _Loss(losses.get(name))
            if len(shape) == 2 and shape[-1] > 1:
                found[name] = ConfusionMatrix(shape[-1], name=f"counts_{len(found)}")
            elif len(shape) == 2 and (loss.is_binary or self.asked.threshold is not None):
                threshold = self.asked.threshold
                threshold = loss.threshold if threshold is None else threshold
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


class _Loss:
    """What a loss, however it was given to `compile`, says of a head with one column."""

    def __init__(self, loss):
        loss = keras.losses.get(loss) if isinstance(loss, str) else loss
        name = getattr(loss, "__name__", type(loss).__name__)
        self.is_binary = "binary" in name.lower()
        self.threshold = 0.0 if getattr(loss, "from_logits", False) else 0.5


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
