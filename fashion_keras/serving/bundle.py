"""Photo bytes in; the best classes of every head, and embeddings, of a SavedModel of ours out.

Needs neither Keras nor the run that the bundle was exported from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from fashion_keras.errors import UserError
from fashion_keras.run import BEST_MODEL_FILE
from fashion_keras.serving.layout import VARIABLES
from fashion_keras.serving.local import open_model

CLASSIFY, EMBED = "serving_default", "embed"
# Head to its best classes with their probabilities, best first; the headline's head first.
Heads = dict[str, tuple[tuple[str, float], ...]]


class Bundle:
    """A version folder that `fashion-keras export` has written, or a run, in this process.

    Raises `UserError` where it is not ours or cannot be loaded.

    Attributes:
        info: what the bundle says of itself.
    """

    def __init__(self, version: Path):
        self._version = Path(version)
        self._opened = open_model(self._version)
        self.info = self._opened.info
        signatures = self._opened.signatures
        if CLASSIFY not in signatures:
            raise UserError(f"{version} has no signature {CLASSIFY!r}: export the model again")
        self._classify, self._embed = signatures[CLASSIFY], signatures.get(EMBED)

    def classify(self, encoded: Sequence[bytes]) -> list[Heads | None]:
        """Return the best classes of each photo, JPEG or PNG; None for one that is damaged."""
        if not encoded:
            return []
        try:
            outputs = self._classify(image_bytes=tf.constant(list(encoded), tf.string))
        except tf.errors.OpError:
            if len(encoded) == 1:
                return [None]
            # What the graph could not catch spares the other photos all the same.
            return [self.classify([photo])[0] for photo in encoded]
        outputs = {name: value.numpy() for name, value in outputs.items()}
        return [
            self._heads(outputs, row) if outputs["valid"][row] else None
            for row in range(len(encoded))
        ]

    def embed(self, encoded: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Return float32 `[N, D]` of length 1, and bool `[N]`: False where a photo is damaged.

        Raises `UserError` where the bundle has no signature `embed`.
        """
        if self._embed is None:
            raise UserError(
                f"{self._version} has no signature {EMBED!r}, so its photos have no neighbours: "
                "export a model that fashion_keras has trained"
            )
        outputs = self._embed(image_bytes=tf.constant(list(encoded), tf.string))
        return outputs["embedding"].numpy(), outputs["valid"].numpy().astype(bool)

    def weights_sha256(self) -> str:
        """Return the sha256 of the weights: the same for two exports of one model."""
        digest = hashlib.sha256()
        files = sorted((self._version / VARIABLES).glob("variables.data-*"))
        for path in files or [self._version / BEST_MODEL_FILE]:
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def _heads(self, outputs, row) -> Heads:
        heads = {}
        for label in self.info.label_names:
            prefix = "" if label == self.info.label else f"{label}_"
            names, scores = outputs[f"{prefix}classes"][row], outputs[f"{prefix}scores"][row]
            heads[label] = tuple(
                (name.decode("utf-8"), float(score))
                for name, score in zip(names, scores, strict=True)
            )
        return heads
