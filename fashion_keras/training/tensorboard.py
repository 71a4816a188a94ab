"""A run in, its TensorBoard out: scalars, per-class F1, pictures, config and hyperparameters."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import yaml
from tensorboard.plugins.hparams import api as hp

from fashion_keras.config import Config
from fashion_keras.training.callbacks import MacroF1
from fashion_keras.training.sheets import photo_sheet, to_png

# How often the matrix's picture is drawn: it takes half a second, and a look is enough.
_PICTURE_EVERY = 5


class RunBoard(keras.callbacks.Callback):
    """Write a run's curves and pictures for TensorBoard.

    Steps are epochs, counted from 1, so a resumed run goes on where it was. Scalars go to
    `train` and `validation` under the same names, so that TensorBoard lays them over each
    other; figures without such a pair (learning rate, photos/s) to `train`.

    Args:
        folder: where event files go.
        config: written as text, and as hyperparameters at the end.
        macro_f1: the callback that has the validation's matrices.
        classes: class names of the headline label, in index order.
        draw_matrix: from matrix `[C, C]` and class names to PNG bytes; None leaves it out.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        config: Config,
        macro_f1: MacroF1,
        classes: Sequence[str],
        draw_matrix: Callable[[np.ndarray, Sequence[str]], bytes] | None = None,
    ):
        super().__init__()
        self._train = tf.summary.create_file_writer(os.fspath(Path(folder) / "train"))
        self._validation = tf.summary.create_file_writer(os.fspath(Path(folder) / "validation"))
        self._config = config
        self._macro_f1 = macro_f1
        self._classes = list(classes)
        self._draw_matrix = draw_matrix

    def on_train_begin(self, logs=None):
        """Write the config."""
        text = yaml.safe_dump(self._config.to_dict(), sort_keys=False)
        with self._train.as_default():
            tf.summary.text("config", f"```yaml\n{text}```", step=0)

    def on_epoch_end(self, epoch, logs=None):
        """Write the epoch's scalars and, now and then, the confusion matrix."""
        step = epoch + 1
        for name, value in logs.items():
            writer = self._validation if name.startswith("val_") else self._train
            with writer.as_default():
                tf.summary.scalar(f"epoch/{name.removeprefix('val_')}", value, step=step)
        headline = next(iter(self._macro_f1.validation_scores))
        result = self._macro_f1.validation_scores[headline]
        with self._validation.as_default():
            for name, f1, support in zip(self._classes, result.f1, result.support, strict=True):
                if support:
                    tf.summary.scalar(f"class_f1/{name}", f1, step=step)
            last = step == self.params.get("epochs")
            if self._draw_matrix and (step == 1 or step % _PICTURE_EVERY == 0 or last):
                matrix = self._macro_f1.validation_matrices[headline]
                _image("confusion_matrix", self._draw_matrix(matrix, self._classes), step)
        self._train.flush()
        self._validation.flush()

    def write_training_photos(self, dataset: tf.data.Dataset, vocabularies: dict) -> None:
        """Write a sheet of training photos as the model sees them, with their labels."""
        images, labels = next(iter(dataset))
        shown = min(32, int(images.shape[0]))
        captions = [
            [_text(one_hot[i], vocabularies[name]) for name, one_hot in labels.items()][:3]
            for i in range(shown)
        ]
        with self._train.as_default():
            sheet = photo_sheet(images[:shown].numpy(), captions)
            _image("training_photos", to_png(sheet), step=0)
        self._train.flush()

    def write_mistakes(self, photos: np.ndarray, captions: Sequence[Sequence[str]], step: int):
        """Write a sheet of the surest validation mistakes: photos and a few lines for each."""
        if len(photos):
            with self._validation.as_default():
                _image("worst_mistakes", to_png(photo_sheet(photos, captions)), step)
            self._validation.flush()

    def write_hyperparameters(self, metrics: dict[str, float], step: int) -> None:
        """Write the config's figures with the run's best metrics, for the HParams table."""
        flat = {
            f"{section}.{name}": value
            for section, values in self._config.to_dict().items()
            for name, value in values.items()
            if isinstance(value, bool | int | float | str) and name != "records"
        }
        with self._train.as_default():
            hp.hparams(flat)
            for name, value in metrics.items():
                tf.summary.scalar(f"best/{name}", value, step=step)
        self._train.flush()


def _image(name: str, png: bytes, step: int) -> None:
    tf.summary.image(name, tf.io.decode_png(png, channels=3)[None], step=step)


def _text(one_hot, vocabulary) -> str:
    one_hot = np.asarray(one_hot)
    named = [
        f"{vocabulary[i]} {one_hot[i]:.2f}" for i in np.argsort(-one_hot)[:2] if one_hot[i] > 0
    ]
    if len(named) == 1 and one_hot.max() > 0.999:
        return str(vocabulary[int(one_hot.argmax())])
    return " + ".join(named) or "—"
