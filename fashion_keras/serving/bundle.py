"""A photo, a title or both in; the best classes of every head, and embeddings of photos, out.

An exported model needs neither Keras nor the run that it was exported from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from fashion_keras.errors import UserError
from fashion_keras.reading import sha256_of
from fashion_keras.run import BEST_MODEL_FILE, load_run
from fashion_keras.serving.layout import (
    INPUT,
    SIGNATURES,
    TITLE,
    TOP,
    VARIABLES,
    ModelInfo,
    is_run,
    seen,
)

EMBED = "embed"
# Head to its best classes with their probabilities, best first; the headline's head first.
Heads = dict[str, tuple[tuple[str, float], ...]]


class Bundle:
    """A version folder that `fashion-keras export` has written, or a run, in this process.

    Raises `UserError` where it is not ours or cannot be loaded.

    Attributes:
        info: what the bundle says of itself.
        run: the run that it is, None for an exported model.
        signatures: its functions by their names.
    """

    def __init__(self, version: Path):
        self._version = Path(version)
        self.run = load_run(self._version) if is_run(self._version) else None
        # What the signatures use is kept alive.
        if self.run is None:
            self.info = ModelInfo.load(self._version)
            self.info.check_files(self._version)
            self._owner = _loaded(self._version)
            self.signatures = self._owner.signatures
        else:
            from fashion_keras.serving.savedmodel import signatures, terms_of

            self.info = ModelInfo.of(self.run, TOP)
            self._owner = terms_of(self.run)
            self.signatures = signatures(self.run, TOP, self._owner)
        for name in (SIGNATURES[sees].name for sees in ("photo", *self.info.takes)):
            if name not in self.signatures:
                raise UserError(f"{version} has no signature {name!r}: export the model again")

    def classify(self, encoded: bytes | None, title: str = "") -> Heads | None:
        """Return the best classes of a product; None for a photo that is damaged.

        Args:
            encoded: a photo, JPEG or PNG; None for a product that has a title alone.
            title: "" for a product that has none: it is answered by its photo.

        Raises `UserError` where the model does not take that.
        """
        sees = seen(encoded, title)
        if sees not in self.info.takes:
            raise UserError(f"{self._version} takes no titles: it was trained on photos alone")
        given = {INPUT: encoded, TITLE: title}
        inputs = {name: tf.constant([given[name]], tf.string) for name in SIGNATURES[sees].inputs}
        try:
            outputs = self.signatures[SIGNATURES[sees].name](**inputs)
        except tf.errors.OpError:  # what the graph could not catch
            return None
        outputs = {name: value.numpy()[0] for name, value in outputs.items()}
        if not outputs["valid"]:
            return None
        heads = {}
        for label in self.info.label_names:
            prefix = "" if label == self.info.label else f"{label}_"
            pairs = zip(outputs[f"{prefix}classes"], outputs[f"{prefix}scores"], strict=True)
            heads[label] = tuple((name.decode("utf-8"), float(score)) for name, score in pairs)
        return heads

    def embed(self, encoded: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Return float32 `[N, D]` of length 1, and bool `[N]`: False where a photo is damaged.

        Raises `UserError` where the bundle has no signature `embed`.
        """
        if EMBED not in self.signatures:
            raise UserError(
                f"{self._version} has no signature {EMBED!r}, so its photos have no neighbours: "
                "export a model that fashion_keras has trained"
            )
        outputs = self.signatures[EMBED](image_bytes=tf.constant(list(encoded), tf.string))
        return outputs["embedding"].numpy(), outputs["valid"].numpy().astype(bool)

    def weights_sha256(self) -> str:
        """Return the sha256 of the weights: the same for two exports of one model."""
        digest = hashlib.sha256()
        files = sorted((self._version / VARIABLES).glob("variables.data-*"))
        for path in files or [self._version / BEST_MODEL_FILE]:
            digest.update(bytes.fromhex(sha256_of(path)))
        return digest.hexdigest()


def _loaded(version: Path):
    try:
        return tf.saved_model.load(str(version))
    except Exception as error:  # protobuf, TensorFlow and plain OS errors, by what is damaged
        reason = (str(error).splitlines() or [repr(error)])[0][:160]
        raise UserError(f"{version} is no SavedModel that can be loaded: {reason}") from error
