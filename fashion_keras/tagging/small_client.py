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


class SmallModel:
    """A small model that `fashion-keras export --format` has written, loaded into this process.

    Args:
        version: the version folder; `layout.find_version` with `small` finds it.

    Raises `UserError` where it is not ours, cannot be loaded, or its runtime is not installed.
    """

    def __init__(self, version: Path):
        self.info = ModelInfo.load(version)
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

    def ask(self, encoded: Sequence[bytes]) -> Answer:
        """Classify encoded photos; BatchRefused where TensorFlow fails on them."""
        try:
            pixels, valid = (output.numpy() for output in self._decode(tf.constant(encoded)))
        except tf.errors.OpError as error:
            raise BatchRefused(error_reason(error)) from error
        with self._lock:
            logits = self._classify(pixels)[self.info.label]
        probabilities = softmax(logits.astype(np.float64), axis=1)
        names = self.info.labels[self.info.label]
        # The first of equals, as TensorFlow's top_k.
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, : self.info.top]
        scores = np.take_along_axis(probabilities, best, axis=1) * valid[:, None]
        classes = [
            [names[index] if good else "" for index in row]
            for row, good in zip(best, valid, strict=True)
        ]
        return Answer(classes, scores.tolist(), valid.astype(int).tolist())

    def close(self) -> None:
        """Do nothing: it waits for nothing."""
