"""A tiny two-headed model as a `Run`, and small photos of every kind, for the serving tests."""

import io
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from fashion_keras.config import load_config
from fashion_keras.run import Run, save_labels

LABELS = {
    "subCategory": ("Bags", "Flip Flops", "Shoes", "Topwear", "Wallets", "Watches", "Écharpes"),
    "gender": ("Men", "Women"),
}
IMAGE_SIZE = (40, 32)


def tiny_model(labels=LABELS) -> keras.Model:
    keras.utils.set_random_seed(7)
    inputs = keras.Input((*IMAGE_SIZE, 3), name="image")
    x = keras.layers.Rescaling(1 / 64, offset=-2)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten(name="features")(x))
    heads = {
        label: keras.layers.Dense(len(classes), name=label)(x) for label, classes in labels.items()
    }
    return keras.Model(inputs, heads)


def tiny_run(resize="stretch", labels=LABELS) -> Run:
    label = next(iter(labels))
    return Run(Path("run"), tiny_model(labels), labels, label, IMAGE_SIZE, resize, None)


def save_tiny_run(folder: Path, labels=LABELS) -> Path:
    """Write a run's folder as training leaves it."""
    folder.mkdir(parents=True)
    tiny_model(labels).save(folder / "best.keras")
    save_labels(folder, labels)
    sizes = {"data.image_size": list(IMAGE_SIZE), "data.resize": "pad"}
    load_config(None, sizes).save(folder / "config.yaml")
    return folder


def skip_unless_installed(format: str) -> None:
    """Skip a test of a small model whose converter or runtime is not installed."""
    for name in ("tf2onnx", "onnxruntime") if format == "onnx" else ():
        pytest.importorskip(name, reason="needs the extra [onnx]")


def photo(width=60, height=80, mode="RGB", format="JPEG", seed=0) -> bytes:
    """Encode a smooth random picture."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 4, bands), np.uint8)
    layers = [Image.fromarray(coarse[..., band]).resize((width, height)) for band in range(bands)]
    picture = Image.merge(mode, layers) if bands > 1 else layers[0]
    file = io.BytesIO()
    picture.save(file, format)
    return file.getvalue()


PHOTOS = {
    "jpeg": photo(seed=1),
    "png": photo(format="PNG", seed=2),
    "grey jpeg": photo(mode="L", seed=3),
    "transparent png": photo(mode="RGBA", format="PNG", seed=4),
    "one pixel": photo(1, 1, format="PNG", seed=5),
    "wide": photo(333, 47, seed=6),
    "the model's size": photo(32, 40, seed=7),
}
