"""One-hot labels and logits in, a confusion matrix accumulated over an epoch out."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("fashion_keras")
class ConfusionMatrix(keras.metrics.Metric):
    """Accumulate a `[C, C]` confusion matrix (rows truth, columns prediction).

    `result()` is the accuracy, a scalar that the logs can hold; the callback reads `matrix`.
    One matrix an epoch gives every score exactly, where averaging a macro-F1 over batches
    would not. A product without the label (a row of zeros) is left out.
    """

    def __init__(self, num_classes: int, name: str = "accuracy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        self.matrix = self.add_weight(
            shape=(num_classes, num_classes), initializer="zeros", name="matrix"
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch: `y_true` one-hot or soft `[N, C]`, `y_pred` logits `[N, C]`."""
        known = ops.cast(ops.sum(y_true, axis=-1) > 0, "float32")
        truth = ops.one_hot(ops.argmax(y_true, axis=-1), self.num_classes, dtype="float32")
        predicted = ops.one_hot(ops.argmax(y_pred, axis=-1), self.num_classes, dtype="float32")
        self.matrix.assign_add(ops.matmul(ops.transpose(truth * known[:, None]), predicted))

    def result(self):
        """Return the accuracy so far, 0 before the first photo."""
        total = ops.sum(self.matrix)
        return ops.trace(self.matrix) / ops.maximum(total, 1.0)

    def get_config(self):
        """Return what rebuilds the metric."""
        return {**super().get_config(), "num_classes": self.num_classes}
