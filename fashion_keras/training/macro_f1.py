"""A compiled classifier in `fit`; macro-F1 of each epoch's training and validation photos out."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from fashion_keras.training.head_counts import Asked, HeadCounts, count_heads
from fashion_keras.training.metrics import Scores


class MacroF1(keras.callbacks.Callback):
    """Write macro-F1 into the logs of each epoch, beside whatever a model was compiled with.

    `macro_f1` is of the training photos as they were seen, like Keras's own metrics. In epochs
    with validation come `val_macro_f1`, the mean over the classes that occur in truth or
    predictions, as scikit-learn's `f1_score(average="macro")`, and `val_macro_f1_all`, where a
    class that never occurs counts 0. A model of several outputs has them for each:
    `val_category_macro_f1`. Counted while `fit` runs, so without a second pass.

    Labels are one-hot or class indices, outputs logits or probabilities `[N, C]`, or `[N, 1]`
    with a binary cross-entropy. `sample_weight` counts, and `class_weight` with it, which Keras
    applies to training alone. Photos of weight 0 and those without a label (a row of zeros, an
    index of -1) are left out. Other outputs, such as a regression's, are not scored.

    Stands before the callbacks that monitor it. The last epoch's `Scores` are in `train_scores`
    and `validation_scores`, dicts by the output's name; `validation_matrices` has the matrices
    `[C, C]` of outputs of at most `confusion.MATRIX_CLASSES` classes.

    Args:
        heads: names of the outputs to score. Defaults to every classifier among them.
        threshold: above it, an output of one column stands for class 1. Defaults to 0.5, and to
            0 where its loss takes logits.

    Raises:
        UserError: in `fit`, where there is nothing to score, or targets are no classes.

    Example:

        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x, y, validation_data=(vx, vy), callbacks=[MacroF1()])
    """

    def __init__(self, heads: Sequence[str] | None = None, threshold: float | None = None):
        super().__init__()
        self._asked = Asked(None if heads is None else tuple(heads), threshold)
        self._counts: HeadCounts | None = None
        self._in_epoch = self._trained = False
        self.train_scores: dict[str, Scores] = {}
        self.validation_scores: dict[str, Scores] = {}
        self.validation_matrices: dict[str, np.ndarray] = {}

    def set_model(self, model):
        """Let the model count from its next step on."""
        super().set_model(model)
        self._in_epoch = False
        self._counts = count_heads(model, self._asked)
        self._counts.before_reset = self._read_training

    def on_epoch_begin(self, epoch, logs=None):
        """Forget the epoch before."""
        self._in_epoch, self._trained = True, False
        self.train_scores, self.validation_scores, self.validation_matrices = {}, {}, {}

    def on_test_begin(self, logs=None):
        """Read what training has counted, before validation counts from zero."""
        self._read_training()

    def on_test_end(self, logs=None):
        """Read what validation has counted."""
        found = self._counts.read()
        self.validation_scores = {name: matrix.scores() for name, matrix in found.items()}
        self.validation_matrices = {
            name: np.asarray(matrix.matrix)
            for name, matrix in found.items()
            if matrix.matrix is not None
        }

    def on_epoch_end(self, epoch, logs=None):
        """Write the scores into the logs."""
        self._read_training()
        self._in_epoch = False
        for name, found in self.train_scores.items():
            logs[f"{self._counts.prefix(name)}macro_f1"] = found.macro_f1
        for name, found in self.validation_scores.items():
            prefix = f"val_{self._counts.prefix(name)}"
            logs[f"{prefix}macro_f1"] = found.macro_f1
            logs[f"{prefix}macro_f1_all"] = found.macro_f1_all

    def _read_training(self):
        """Read the epoch's training once, whoever evaluates first: that sets the counts to zero."""
        if self._in_epoch and not self._trained:
            self._trained = True
            found = self._counts.read()
            self.train_scores = {name: matrix.scores() for name, matrix in found.items()}
