"""Photo bytes in; each photo's best classes and scores, or why there are none, out.

Runs a SavedModel by itself: neither Keras nor the run that it was exported from is needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from fashion_keras.errors import UserError
from fashion_keras.serving.layout import ModelInfo
from fashion_keras.serving.photos import Photo
from fashion_keras.serving.prediction import Prediction

SIGNATURE = "serving_default"
INPUT = "image_bytes"
OUTPUTS = ("classes", "scores", "valid")
_DAMAGED = "damaged: its header is fine, its pixels cannot be decoded"
_NODE = re.compile(r"\s*\[\[.*")  # where in the graph: [[{{node map/while/…}}]] [Op:…]


class LocalModel:
    """A SavedModel of ours, loaded into this process.

    Args:
        version: the version folder; `layout.find_version` finds it.

    Raises `UserError` where it is not ours or cannot be loaded.
    """

    def __init__(self, version: Path):
        self.info = ModelInfo.load(version)
        try:
            self._loaded = tf.saved_model.load(str(version))
        except Exception as error:  # protobuf, TensorFlow and plain OS errors, by what is damaged
            reason = (str(error).splitlines() or [repr(error)])[0][:160]
            raise UserError(f"{version} is no SavedModel that can be loaded: {reason}") from error
        self._function = self._loaded.signatures.get(SIGNATURE)
        if self._function is None:
            raise UserError(f"{version} has no signature {SIGNATURE!r}: export the model again")
        inputs = self._function.structured_input_signature[1]
        missing = [name for name in OUTPUTS if name not in self._function.structured_outputs]
        if INPUT not in inputs or missing:
            raise UserError(
                f"{version}: its signature {SIGNATURE!r} takes {', '.join(inputs)}; expected one "
                f"that takes {INPUT!r} and returns {', '.join(OUTPUTS)}"
            )

    def classify(self, photos: Sequence[Photo]) -> list[Prediction]:
        """Classify a batch; a photo that cannot be decoded does not fail the others."""
        readable = [photo for photo in photos if not photo.error]
        answers = iter(self._classify(readable))
        return [
            Prediction(photo.path, error=photo.error) if photo.error else next(answers)
            for photo in photos
        ]

    def _classify(self, photos: Sequence[Photo]) -> list[Prediction]:
        if not photos:
            return []
        try:
            outputs = self._function(**{INPUT: tf.constant([photo.encoded for photo in photos])})
        except tf.errors.OpError as error:
            if len(photos) == 1:
                return [Prediction(photos[0].path, error=_reason(error))]
            # Halving finds the bad one of n in about 2 log n calls, and mends a batch that is
            # too large for the memory as well.
            half = len(photos) // 2
            return self._classify(photos[:half]) + self._classify(photos[half:])
        classes, scores, valid = (outputs[name].numpy() for name in OUTPUTS)
        rows = zip(photos, classes, scores, valid, strict=True)
        return [_prediction(photo.path, names, row, decoded) for photo, names, row, decoded in rows]


def _prediction(path, names, scores, decoded) -> Prediction:
    if not decoded:
        return Prediction(path, error=_DAMAGED)
    names = tuple(name.decode("utf-8") for name in names)
    return Prediction(path, names, tuple(map(float, scores)))


def _reason(error: tf.errors.OpError) -> str:
    # The cause is the last line; what stands above it is a trace of the graph.
    lines = [_NODE.sub("", line).strip() for line in error.message.splitlines()]
    cause = [line for line in lines if line] or [type(error).__name__]
    return f"cannot be decoded: {cause[-1][:160]}"
