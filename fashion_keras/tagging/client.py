"""Photo bytes and titles in; their best classes and scores by a model in this process, out.

A SavedModel runs by itself: neither Keras nor the run that it was exported from is needed. A small
model takes pixels and gives logits: TensorFlow decodes the photos as a SavedModel does.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy.special import softmax
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from fashion_keras.errors import UserError
from fashion_keras.serving.bundle import Bundle
from fashion_keras.serving.decoding import decode_photos
from fashion_keras.serving.layout import LITERT_FILE, ONNX_FILE, SIGNATURES, ModelInfo
from fashion_keras.serving.small_formats import classifier
from fashion_keras.tagging.batches import (
    Answer,
    BatchRefused,
    Model,
    answer_of,
    heads_of,
    missing,
    no_titles,
    output_names,
)

_NODE = re.compile(r"\s*\[\[.*")  # where in the graph: [[{{node map/while/…}}]] [Op:…]


class LocalModel(Model):
    """A SavedModel of ours, or a run, in this process.

    Args:
        path: the version folder or the run; `serving.layout.find_model` finds it.
        labels: those that are wanted, in this order; None for all.
        titles: whether products have titles.

    Raises `UserError` where it is not ours, has no such label, takes no titles or cannot be loaded.
    """

    def __init__(self, path: Path, labels: Sequence[str] | None = None, titles: bool = False):
        self._bundle = Bundle(path)
        self.heads = heads_of(self._bundle.info.label_names, labels)
        self._ask = {
            sees: self._asking(sees, path) for sees in (SIGNATURES if titles else ("photo",))
        }

    def _asking(self, sees, path):
        name = SIGNATURES[sees].name
        if name not in self._bundle.signatures:
            raise no_titles(path)
        signature = self._bundle.signatures[name]
        inputs = signature.structured_input_signature
        inputs = inputs[1] or {spec.name: spec for spec in inputs[0]}
        if lost := missing(self.heads, sees, inputs, signature.structured_outputs):
            raise UserError(
                f"{path}: its signature {name!r} takes {', '.join(inputs)}; expected one that "
                f"takes {' and '.join(SIGNATURES[sees].inputs)} and returns {', '.join(lost)}"
            )
        return _frozen(signature, SIGNATURES[sees].inputs, output_names(self.heads))

    def ask(self, sees: str, *given: Sequence[bytes] | Sequence[str]) -> Answer:
        """Classify products; BatchRefused where TensorFlow fails on them."""
        try:
            outputs = self._ask[sees](*(tf.constant(values, tf.string) for values in given))
        except tf.errors.OpError as error:
            raise BatchRefused(_error_reason(error)) from error
        rows = (output.numpy().tolist() for output in outputs)
        return answer_of(self.heads, dict(zip(output_names(self.heads), rows, strict=True)))


class SmallModel(Model):
    """A small model that `fashion-keras export --format` has written, loaded into this process.

    Args:
        version: the version folder; `layout.find_model` with `small` finds it.
        labels: those that are wanted, in this order; None for all.
        titles: whether products have titles, which it does not take.

    Raises `UserError` where it is not ours, has no such label, cannot be loaded, or its runtime is
    not installed.
    """

    def __init__(self, version: Path, labels: Sequence[str] | None = None, titles: bool = False):
        if titles:
            raise no_titles(version)
        self.info = ModelInfo.load(version)
        self.heads = heads_of(self.info.label_names, labels)
        self.info.check_files(version)
        is_onnx = (version / ONNX_FILE).is_file()
        file = version / (ONNX_FILE if is_onnx else LITERT_FILE)
        try:
            self._classify = classifier("onnx" if is_onnx else "litert", file.read_bytes())
        except UserError:
            raise
        except Exception as error:  # each runtime raises its own
            reason = (str(error).splitlines() or [repr(error)])[0][:160]
            raise UserError(f"{file} is no model that can be loaded: {reason}") from error
        # LiteRT's interpreter serves one caller; meanwhile another's photos are decoded.
        self._lock = threading.Lock()
        self._decode = tf.function(
            lambda encoded: decode_photos(encoded, self.info.image_size, self.info.resize),
            input_signature=[tf.TensorSpec([None], tf.string)],
        )

    def ask(self, sees: str, *given: Sequence[bytes] | Sequence[str]) -> Answer:
        """Classify encoded photos; BatchRefused where TensorFlow fails on them."""
        (encoded,) = given  # it takes no titles
        try:
            pixels, valid = (output.numpy() for output in self._decode(tf.constant(encoded)))
        except tf.errors.OpError as error:
            raise BatchRefused(_error_reason(error)) from error
        with self._lock:
            logits = self._classify(pixels)
        found = {head.label: self._best(logits[head.label], head.label) for head in self.heads}
        return Answer(found, valid.astype(int).tolist())

    def _best(self, logits, label):
        """Return class names and scores, best first; those of a damaged photo go unread."""
        probabilities = softmax(logits.astype(np.float64), axis=1)
        names = self.info.labels[label]
        # The first of equals, as TensorFlow's top_k.
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, : self.info.top]
        scores = np.take_along_axis(probabilities, best, axis=1)
        return [[names[index] for index in row] for row in best], scores.tolist()


def _frozen(signature, inputs, names):
    """Return a function of `inputs` that computes the named outputs alone, its weights constants.

    So TensorFlow folds each batch normalisation into the convolution before it; docs/serving.md
    says what that gains. No public function freezes a loaded signature; this one is what
    TensorFlow's converters use.
    """
    with _without_warnings():
        frozen = convert_variables_to_constants_v2(signature)
    # Outputs of a signature lie in the order of their names.
    outputs = dict(zip(sorted(signature.structured_outputs), frozen.outputs, strict=True))
    given = {tensor.op.name: tensor for tensor in frozen.inputs}
    # What is no variable stays an input: the table of characters that a title is read with.
    held = {inner.op.name: outer for outer, inner in signature.graph.captures}
    tables = [name for name in given if name not in inputs]
    pruned = frozen.prune([given[k] for k in (*inputs, *tables)], [outputs[k] for k in names])
    return lambda *values: pruned(*values, *(held[name] for name in tables))


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep TensorFlow from saying that a table cannot be stored, which nobody wants to."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _error_reason(error: tf.errors.OpError) -> str:
    """Return what a failed graph says was wrong with a photo."""
    # The cause is the last line; what stands above it is a trace of the graph.
    lines = [_NODE.sub("", line).strip() for line in error.message.splitlines()]
    cause = [line for line in lines if line] or [type(error).__name__]
    return f"cannot be decoded: {cause[-1][:160]}"
