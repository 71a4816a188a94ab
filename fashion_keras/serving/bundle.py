"""A photo, a title or both in; the best classes of every head, and embeddings of photos, out.

An exported model needs neither Keras nor the run that it was exported from.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from fashion_keras.errors import UserError
from fashion_keras.run import BEST_MODEL_FILE, Run, load_run
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


@dataclasses.dataclass(frozen=True)
class Opened:
    """A model in this process: its signatures by name; `run` where it is one.

    `owner` keeps what the signatures use alive.
    """

    info: ModelInfo
    signatures: Mapping[str, tf.types.experimental.ConcreteFunction]
    owner: object
    run: Run | None = None


def open_model(path: Path) -> Opened:
    """Load a run or a SavedModel; `UserError` where it is not ours or cannot be loaded."""
    if is_run(path):
        from fashion_keras.serving.savedmodel import signatures, terms_of

        run = load_run(path)
        terms = terms_of(run)
        return Opened(ModelInfo.of(run, TOP), signatures(run, TOP, terms), terms, run)
    info = ModelInfo.load(path)
    info.check_files(path)
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # protobuf, TensorFlow and plain OS errors, by what is damaged
        reason = (str(error).splitlines() or [repr(error)])[0][:160]
        raise UserError(f"{path} is no SavedModel that can be loaded: {reason}") from error
    return Opened(info, loaded.signatures, loaded)


class Bundle:
    """A version folder that `fashion-keras export` has written, or a run, in this process.

    Raises `UserError` where it is not ours or cannot be loaded.

    Attributes:
        info: what the bundle says of itself.
        run: the run that it is, None for an exported model.
    """

    def __init__(self, version: Path):
        self._version = Path(version)
        self._opened = open_model(self._version)
        self.info, self.run = self._opened.info, self._opened.run
        signatures = self._opened.signatures
        self._classify, self._embed = {}, signatures.get(EMBED)
        for sees in self.info.takes:
            name = SIGNATURES[sees].name
            if name not in signatures:
                raise UserError(f"{version} has no signature {name!r}: export the model again")
            self._classify[sees] = signatures[name]

    def classify(self, encoded: bytes | None, title: str = "") -> Heads | None:
        """Return the best classes of a product; None for a photo that is damaged.

        Args:
            encoded: a photo, JPEG or PNG; None for a product that has a title alone.
            title: "" for a product that has none: it is answered by its photo.

        Raises `UserError` where the model does not take that.
        """
        sees = seen(encoded, title)
        if sees not in self._classify:
            raise UserError(f"{self._version} takes no titles: it was trained on photos alone")
        given = {INPUT: encoded, TITLE: title}
        inputs = {name: tf.constant([given[name]], tf.string) for name in SIGNATURES[sees].inputs}
        try:
            outputs = self._classify[sees](**inputs)
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
