"""A run in, its TensorBoard out: scalars, per-class F1, pictures, config and hyperparameters."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import yaml
from PIL import Image, ImageDraw, ImageFont
from tensorboard.plugins.hparams import api as hp

from fashion_keras.config import Config
from fashion_keras.metrics import METRICS
from fashion_keras.training.callbacks import BestModel
from fashion_keras.training.macro_f1 import MacroF1

_TILE_WIDTH = 150
_CAPTION_LINE = 13


def photo_sheet(
    photos: np.ndarray, captions: Sequence[Sequence[str]], *, columns: int = 8
) -> Image.Image:
    """Lay photos out in a grid, each over its caption.

    `photos` is `[N, height, width, 3]` in [0, 255], `captions` a few short lines a photo; what
    is too long for its line is cut, with an ellipsis.
    """
    photos = np.rint(np.clip(photos, 0, 255)).astype(np.uint8)
    height, width = photos.shape[1:3]
    scale = (_TILE_WIDTH - 10) / width
    size = (_TILE_WIDTH - 10, round(height * scale))
    lines = max((len(caption) for caption in captions), default=0)
    tile_height = size[1] + lines * _CAPTION_LINE + 14
    rows = -(-len(photos) // columns)
    sheet = Image.new("RGB", (columns * _TILE_WIDTH, max(rows, 1) * tile_height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for index, (photo, caption) in enumerate(zip(photos, captions, strict=True)):
        x, y = index % columns * _TILE_WIDTH + 5, index // columns * tile_height + 4
        sheet.paste(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC), (x, y))
        draw.rectangle((x - 1, y - 1, x + size[0], y + size[1]), outline="#cccccc")
        for line, text in enumerate(caption):
            position = (x, y + size[1] + 2 + line * _CAPTION_LINE)
            draw.text(position, _fit(text, font), fill="#333333", font=font)
    return sheet


def to_png(image: Image.Image) -> bytes:
    """Encode a picture as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _fit(text: str, font) -> str:
    text = " ".join(text.split())  # Pillow refuses to measure a line break
    while text and font.getlength(text) > _TILE_WIDTH - 8:
        text = text[:-2] + "…" if len(text) > 2 else ""
    return text


# How often the matrix's picture is drawn: it takes half a second, and a look is enough.
_PICTURE_EVERY = 5
# TensorBoard sorts groups of cards by name: first what one looks for, last the cards of each class.
_GROUPS = {
    **{metric.key: "1 macro-F1" for metric in METRICS},
    "accuracy": "2 accuracy and loss",
    "loss": "2 accuracy and loss",
    "learning_rate": "5 speed",
    "photos_per_second": "5 speed",
    "seconds": "5 speed",
}
_OTHERS = "3 other labels"  # what is in none of the groups above
_BEST = "4 best epoch"
_PICTURES = "6 pictures"
_CLASSES = "7 F1 of each class"
# The HParams table, which sorts its columns by name, begins with these; it shows five by default.
_FIRST_HPARAMS = (
    "model.arch",
    "optimizer.learning_rate",
    "data.label",
    "data.image_size",
    "training.epochs",
)
_METRICS = {"macro_f1": "macro-F1", "accuracy": "accuracy", "epoch": "best epoch"}


class RunBoard(keras.callbacks.Callback):
    """Write a run's curves and pictures for TensorBoard.

    Steps are epochs, counted from 1, so a resumed run goes on where it was. Scalars go to
    `train` and `validation` under the same names, so that TensorBoard lays them over each
    other; figures without such a pair (learning rate, photos/s) to `train`. The config's figures
    and the best epoch's scores so far go to `folder` itself, for the HParams table.

    Args:
        folder: where event files go, in the run's folder.
        config: written as text and as hyperparameters when training begins.
        macro_f1: the callback that has the validation's matrices.
        best: the callback before this one that says which epoch is the best.
        classes: class names of the headline label, in index order.
        draw_matrix: from matrix `[C, C]` and class names to PNG bytes; None leaves it out.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        config: Config,
        macro_f1: MacroF1,
        best: BestModel,
        classes: Sequence[str],
        draw_matrix: Callable[[np.ndarray, Sequence[str]], bytes] | None = None,
    ):
        super().__init__()
        self._folder = Path(folder)
        self._writers = {
            name: tf.summary.create_file_writer(os.fspath(self._folder / name))
            for name in ("", "train", "validation")
        }
        self._config = config
        self._macro_f1 = macro_f1
        self._best = best
        self._classes = list(classes)
        self._draw_matrix = draw_matrix
        self._began = False

    def on_train_begin(self, logs=None):
        """Write the config, as text and as hyperparameters; not again at each stage."""
        if self._began:
            return
        self._began = True
        raw = self._config.to_dict()
        with self._writers[""].as_default():
            text = yaml.safe_dump(raw, sort_keys=False)
            tf.summary.text("config", f"```yaml\n{text}```", step=0)
            _write_hyperparameters(_figures(raw), self._folder)
        self._flush()

    def on_epoch_end(self, epoch, logs=None):
        """Write the epoch's scalars and, now and then, the confusion matrix."""
        step = epoch + 1
        for name, value in logs.items():
            key = name.removeprefix("val_")
            with self._writers["train" if key == name else "validation"].as_default():
                tf.summary.scalar(f"{_GROUPS.get(key, _OTHERS)}/{key}", value, step=step)
        headline = next(iter(self._macro_f1.validation_scores))
        result = self._macro_f1.validation_scores[headline]
        with self._writers["validation"].as_default():
            for name, f1, support in zip(self._classes, result.f1, result.support, strict=True):
                if support:
                    tf.summary.scalar(f"{_CLASSES}/{name}", f1, step=step)
            last = step == self.params.get("epochs")
            matrix = self._macro_f1.validation_matrices.get(headline)  # not of too many classes
            due = step == 1 or step % _PICTURE_EVERY == 0 or last
            if self._draw_matrix and matrix is not None and due:
                _image("confusion_matrix", self._draw_matrix(matrix, self._classes), step)
        if self._best.best_epoch == epoch:
            scores = {name: logs[f"val_{name}"] for name in ("macro_f1", "accuracy")}
            self.write_best({**scores, "epoch": step}, step)
        self._flush()

    def write_best(self, scores: dict[str, float], step: int) -> None:
        """Write the run's best scores until `step`, for the HParams table."""
        with self._writers[""].as_default():
            for name, value in scores.items():
                tf.summary.scalar(f"{_BEST}/{name}", value, step=step)
        self._flush()

    def write_training_photos(self, dataset: tf.data.Dataset, vocabularies: dict) -> None:
        """Write a sheet of training photos as the model sees them, with their labels."""
        images, labels = next(iter(dataset))
        shown = min(32, int(images.shape[0]))
        captions = [
            [_text(one_hot[i], vocabularies[name]) for name, one_hot in labels.items()][:3]
            for i in range(shown)
        ]
        with self._writers["train"].as_default():
            sheet = photo_sheet(images[:shown].numpy(), captions)
            _image("training_photos", to_png(sheet), step=0)
        self._flush()

    def write_mistakes(self, photos: np.ndarray, captions: Sequence[Sequence[str]], step: int):
        """Write a sheet of the surest validation mistakes: photos and a few lines for each."""
        if len(photos):
            with self._writers["validation"].as_default():
                _image("worst_mistakes", to_png(photo_sheet(photos, captions)), step)
            self._flush()

    def _flush(self):
        for writer in self._writers.values():
            writer.flush()


def _write_hyperparameters(figures: dict, folder: Path) -> None:
    """Write the table's columns, and a run's row, called by the end of the run's path."""
    names = {name: f"{place} {name}" for place, name in enumerate(_FIRST_HPARAMS, 1)}
    columns = {name: hp.HParam(names.get(name, name), display_name=name) for name in figures}
    metrics = [hp.Metric(f"{_BEST}/{name}", display_name=text) for name, text in _METRICS.items()]
    hp.hparams_config(list(columns.values()), metrics)
    # Of the path two parts and not one: runs of the same name would be one row.
    trial = "/".join(folder.resolve().parent.parts[-2:])
    hp.hparams({columns[name]: value for name, value in figures.items()}, trial_id=trial)


def _figures(raw: dict) -> dict[str, bool | float | str]:
    """Return what a config's dict holds that a table can, by dotted key."""
    found = {
        f"{section}.{name}": value
        for section, values in raw.items()
        for name, value in values.items()
        if isinstance(value, bool | int | float | str) and name != "records"
    }
    return found | {"data.image_size": "×".join(map(str, raw["data"]["image_size"]))}


def _image(name: str, png: bytes, step: int) -> None:
    tf.summary.image(f"{_PICTURES}/{name}", tf.io.decode_png(png, channels=3)[None], step=step)


def _text(one_hot, vocabulary) -> str:
    one_hot = np.asarray(one_hot)
    named = [
        f"{vocabulary[i]} {one_hot[i]:.2f}" for i in np.argsort(-one_hot)[:2] if one_hot[i] > 0
    ]
    if len(named) == 1 and one_hot.max() > 0.999:
        return str(vocabulary[int(one_hot.argmax())])
    return " + ".join(named) or "—"
