"""A version folder of any format in; the model, loaded into this process, out."""

from __future__ import annotations

from pathlib import Path

from fashion_keras.serving.batches import Model
from fashion_keras.serving.client import LocalModel
from fashion_keras.serving.layout import SAVED_MODEL_FILE
from fashion_keras.serving.small_client import SmallModel


def load_local(version: Path) -> Model:
    """Load a SavedModel, LiteRT or ONNX model; `UserError` where it cannot be."""
    return (LocalModel if (version / SAVED_MODEL_FILE).is_file() else SmallModel)(version)
