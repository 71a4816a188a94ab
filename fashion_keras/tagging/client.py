"""Photo bytes in; their best classes and scores by a SavedModel in this process, out.

Runs a SavedModel by itself: neither Keras nor the run that it was exported from is needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from fashion_keras.errors import UserError
from fashion_keras.serving.layout import ModelInfo
from fashion_keras.tagging.batches import Answer, BatchRefused
from fashion_keras.tagging.outputs import INPUT, SIGNATURE, VALID, heads_of, missing_outputs

# No public function freezes a loaded signature; this one is what TensorFlow's converters use.


_NODE = re.compile(r"\s*\[\[.*")  # where in the graph: [[{{node map/while/…}}]] [Op:…]


class LocalModel:
    """A SavedModel of ours, loaded into this process.

    Args:
        version: the version folder; `layout.find_version` finds it.
        labels: those that are wanted, in this order; None for all.

    Raises `UserError` where it is not ours, has no such label or cannot be loaded.
    """

    def __init__(self, version: Path, labels: Sequence[str] | None = None):
        self.info = ModelInfo.load(version)
        self.heads = heads_of(self.info.label_names, labels)
        self.info.check_files(version)
        try:
            self._loaded = tf.saved_model.load(str(version))
        except Exception as error:  # protobuf, TensorFlow and plain OS errors, by what is damaged
            reason = (str(error).splitlines() or [repr(error)])[0][:160]
            raise UserError(f"{version} is no SavedModel that can be loaded: {reason}") from error
        self._function = self._loaded.signatures.get(SIGNATURE)
        if self._function is None:
            raise UserError(f"{version} has no signature {SIGNATURE!r}: export the model again")
        inputs = self._function.structured_input_signature[1]
        missing = missing_outputs(self.heads, self._function.structured_outputs)
        if INPUT not in inputs or missing:
            raise UserError(
                f"{version}: its signature {SIGNATURE!r} takes {', '.join(inputs)}; expected one "
                f"that takes {INPUT!r} and returns {', '.join(missing) or VALID}"
            )
        names = [name for head in self.heads for name in (head.classes, head.scores)]
        self._ask = _frozen(self._function, [VALID, *names])

    def ask(self, encoded: Sequence[bytes]) -> Answer:
        """Classify encoded photos; BatchRefused where TensorFlow fails on them."""
        try:
            outputs = self._ask(tf.constant(encoded))
        except tf.errors.OpError as error:
            raise BatchRefused(error_reason(error)) from error
        valid, *found = (output.numpy().tolist() for output in outputs)
        pairs = zip(found[::2], found[1::2], strict=True)
        return Answer(
            {
                head.label: ([[name.decode("utf-8") for name in row] for row in classes], scores)
                for head, (classes, scores) in zip(self.heads, pairs, strict=True)
            },
            valid,
        )

    def close(self) -> None:
        """Do nothing: it waits for nothing."""


def _frozen(signature, names):
    """Return a function of photos that computes the named outputs alone, its weights constants.

    So TensorFlow folds each batch normalisation into the convolution before it; docs/serving.md
    says what that gains.
    """
    frozen = convert_variables_to_constants_v2(signature)
    # Outputs of a signature lie in the order of their names.
    outputs = dict(zip(sorted(signature.structured_outputs), frozen.outputs, strict=True))
    return frozen.prune(frozen.inputs[0], [outputs[name] for name in names])


def error_reason(error: tf.errors.OpError) -> str:
    """Return what a failed graph says was wrong with a photo."""
    # The cause is the last line; what stands above it is a trace of the graph.
    lines = [_NODE.sub("", line).strip() for line in error.message.splitlines()]
    cause = [line for line in lines if line] or [type(error).__name__]
    return f"cannot be decoded: {cause[-1][:160]}"
