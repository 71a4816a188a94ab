"""Labels and a head's outputs in, how often which class was taken for which over an epoch out."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from fashion_keras.training.metrics import Scores, scores, scores_of_counts

# Above so many classes a matrix costs more than it shows: 8,000 take 256 MB and 200 ms a step.
MATRIX_CLASSES = 1000


@keras.saving.register_keras_serializable("fashion_keras")
class ConfusionMatrix(keras.metrics.Metric):
    """Accumulate a `[C, C]` confusion matrix (rows truth, columns prediction).

    `result()` is the accuracy, a scalar that the logs can hold; `scores()` are all the others.
    One matrix an epoch gives every score exactly, where averaging a macro-F1 over batches
    would not. With more than `MATRIX_CLASSES` classes only its diagonal and the sums of its rows
    and columns are kept, which give the same scores, and `matrix` is None.

    Args:
        num_classes: C, 2 for a head with one column.
        threshold: above it, one column stands for class 1.
    """

    def __init__(self, num_classes: int, threshold: float = 0.5, name: str = "accuracy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        self.threshold = threshold
        # float32 whatever Keras's default: half precision does not count beyond 2,048.
        options = {"initializer": "zeros", "dtype": "float32"}
        self.matrix = self._margins = None
        if num_classes <= MATRIX_CLASSES:
            self.matrix = self.add_weight(
                shape=(num_classes, num_classes), name="matrix", **options
            )
        else:
            self._margins = self.add_weight(shape=(3, num_classes), name="margins", **options)
        self._rows = self.add_weight(shape=(2,), name="rows", **options)  # all, and the odd ones

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch.

        `y_true` are one-hot or soft `[N, C]`, or class indices `[N]` or `[N, 1]`. A row of zeros
        and an index that is no class (-1, say) are photos without the label: left out. `y_pred`
        are logits or probabilities, `[N, C]`, or `[N, 1]` of two classes. `sample_weight` is
        `[N]` or `[N, 1]`: what a photo counts for, 1 by default.
        """
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if y_pred.shape[-1] == 1:
            predicted = ops.cast(ops.reshape(y_pred, [-1]) > self.threshold, "int32")
        else:
            predicted = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        if len(y_true.shape) > 1 and y_true.shape[-1] == self.num_classes:
            y_true = ops.cast(y_true, "float32")
            mass = ops.sum(y_true, axis=-1)
            known = mass > 0
            truth = ops.cast(ops.argmax(y_true, axis=-1), "int32")
            odd = ops.logical_or(mass > 1.5, ops.min(y_true, axis=-1) < 0)
        else:
            truth = ops.cast(ops.reshape(y_true, [-1]), "int32")
            known = ops.logical_and(truth >= 0, truth < self.num_classes)
            truth = ops.clip(truth, 0, self.num_classes - 1)
            odd = ops.zeros_like(known)
        rows = ops.stack([ops.ones_like(odd), odd])
        self._rows.assign_add(ops.sum(ops.cast(rows, "float32"), axis=-1))
        weight = ops.cast(known, "float32")
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight)
            weight = weight * ops.reshape(ops.cast(sample_weight, "float32"), [-1])
        self._add(truth, predicted, weight)

    def _add(self, truth, predicted, weight):
        count = self.num_classes
        if self.matrix is not None:
            cells = ops.segment_sum(weight, truth * count + predicted, count * count)
            self.matrix.assign_add(ops.reshape(cells, (count, count)))
        else:
            right = weight * ops.cast(ops.equal(truth, predicted), "float32")
            margins = [(right, truth), (weight, truth), (weight, predicted)]
            self._margins.assign_add(
                ops.stack([ops.segment_sum(some, of, count) for some, of in margins])
            )

    def result(self):
        """Return the accuracy so far, 0 before the first photo."""
        if self.matrix is not None:
            hits, total = ops.trace(self.matrix), ops.sum(self.matrix)
        else:
            hits, total = ops.sum(self._margins[0]), ops.sum(self._margins[1])
        return hits / ops.maximum(total, 1e-12)

    def scores(self) -> Scores:
        """Return all scores so far, from the variables as they are: not within a graph."""
        if self.matrix is not None:
            return scores(np.asarray(self.matrix))
        return scores_of_counts(*np.asarray(self._margins))

    def rows(self) -> tuple[int, int]:
        """Return how many photos there were, and of how many `y_true` was no one-hot.

        That is, negative, or of several classes at once.
        """
        every, odd = np.asarray(self._rows)
        return int(every), int(odd)

    def get_config(self):
        """Return what rebuilds the metric."""
        own = {"num_classes": self.num_classes, "threshold": self.threshold}
        return {**super().get_config(), **own}
