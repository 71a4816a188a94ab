"""Photo bytes in; their best classes and scores by a LiteRT or ONNX model in this process, out.

Such a model takes pixels and gives logits: TensorFlow decodes the photos as a SavedModel does.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy.special import softmax

from fashion_keras.errors import UserError
from fashion_keras.serving.decoding import decode_photos
from fashion_keras.serving.layout import LITERT_FILE, ONNX_FILE, ModelInfo
from fashion_keras.serving.litert import litert_classifier
from fashion_keras.serving.onnx import onnx_classifier
from fashion_keras.tagging.batches import Answer, BatchRefused
from fashion_keras.tagging.client import error_reason
from fashion_keras.tagging.outputs import heads_of, no_titles


class SmallModel:
    """A small model that `fashion-keras export --format` has written, loaded into this process.

    Args:
        version: the version folder; `layout.find_version` with `small` finds it.
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
        load = onnx_classifier if is_onnx else litert_classifier
        try:
            self._classify = load(file.read_bytes())
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
            raise BatchRefused(error_reason(error)) from error
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

    def close(self) -> None:
        """Do nothing: it waits for nothing."""
