"""A version folder, a run or the name of a model in; what it is, and its signatures, out.

A run is served as it is, without being exported first. Imports no TensorFlow at module level, so
that a wrong path is answered at once.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fashion_keras.errors import UserError
from fashion_keras.released import model_place
from fashion_keras.run import BEST_MODEL_FILE, load_run
from fashion_keras.serving.layout import ModelInfo, find_version

if TYPE_CHECKING:
    import tensorflow as tf

    from fashion_keras.run import Run

TOP = 5  # classes that a run gives a photo


@dataclasses.dataclass(frozen=True)
class Opened:
    """A model in this process: its signatures by name; `run` where it is one.

    `owner` keeps what the signatures use alive.
    """

    info: ModelInfo
    signatures: Mapping[str, tf.types.experimental.ConcreteFunction]
    owner: object
    run: Run | None = None


def find_model(path: str | os.PathLike, *, small: bool = False) -> Path:
    """Return the run or version folder at `path`, or the highest version in it.

    `path` may be the name of a model that comes with the package. `small` takes LiteRT and ONNX
    models too. Raises `UserError` where there is none.
    """
    found = model_place(path)
    return found if is_run(found) else find_version(found, small=small)


def is_run(path: Path) -> bool:
    """Say whether a path is a run's folder."""
    return (path / BEST_MODEL_FILE).is_file()


def info_of(path: Path) -> ModelInfo:
    """Return what a model says of itself, without loading it; `path` is of `find_model`."""
    return ModelInfo.of_folder(path, TOP) if is_run(path) else ModelInfo.load(path)


def open_model(path: Path) -> Opened:
    """Load a run or a SavedModel; `UserError` where it is not ours or cannot be loaded."""
    import tensorflow as tf

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
