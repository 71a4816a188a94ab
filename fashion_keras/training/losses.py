"""The loss of a head, and the weights of its classes."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from fashion_keras.training.distribution import sum_over_replicas

CLASS_WEIGHTS = ("none", "balanced", "effective-number")


@keras.saving.register_keras_serializable("fashion_keras")
class HeadLoss(keras.losses.Loss):
    """Softmax cross-entropy on logits with label smoothing, class weights and missing labels.

    Takes one-hot or soft labels `[N, C]` and logits `[N, C]`. A row of zeros (a product that
    lacks this label) costs nothing, and the mean is over the labelled products. Smoothing moves
    its share to all classes evenly (Szegedy et al., 2016). `offsets`, one a class, are added to
    the logits in training only: see `logit_offsets`. On several devices the mean is over the
    products of all.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: Iterable[float] | None = None,
        offsets: Iterable[float] | None = None,
        name: str = "head_loss",
        **kwargs,
    ):
        kwargs.setdefault("reduction", "sum")
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]
        self.offsets = None if offsets is None else [float(offset) for offset in offsets]

    def call(self, y_true, y_pred):
        """Return the loss of each photo, divided by the labelled ones: `[N]`, to be summed."""
        y_true = ops.cast(y_true, "float32")
        logits = ops.cast(y_pred, "float32")
        if self.offsets is not None:
            logits = logits + ops.convert_to_tensor(self.offsets, dtype="float32")
        log_probabilities = ops.log_softmax(logits, axis=-1)
        mass = ops.sum(y_true, axis=-1)
        hit = -ops.sum(y_true * log_probabilities, axis=-1)
        even = -ops.mean(log_probabilities, axis=-1) * mass
        loss = (1.0 - self.label_smoothing) * hit + self.label_smoothing * even
        if self.class_weights is not None:
            weights = ops.convert_to_tensor(self.class_weights, dtype="float32")
            loss = loss * ops.sum(y_true * weights, axis=-1)
        return loss / ops.maximum(sum_over_replicas(ops.sum(mass)), 1.0)

    def get_config(self):
        """Return what rebuilds the loss."""
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "class_weights": self.class_weights,
            "offsets": self.offsets,
        }


def class_weights(rule: str, counts: ArrayLike, beta: float = 0.999) -> np.ndarray | None:
    """Compute a weight a class from its training count, float64 `[C]`, or None for `none`.

    `balanced` is n / (C · count), as scikit-learn's; `effective-number` is
    (1 − beta) / (1 − beta^count) (Cui et al., 2019, eq. 4). Both are scaled so that the mean
    over the training photos is 1; a class without a training photo gets 1.
    """
    if rule not in CLASS_WEIGHTS:
        raise ValueError(
            f"Invalid class weights. Expected one of {CLASS_WEIGHTS}. Received: {rule!r}"
        )
    if rule == "none":
        return None
    counts = np.asarray(counts, np.float64)
    weights = np.ones_like(counts)
    seen = counts > 0
    if rule == "balanced":
        weights[seen] = counts.sum() / (seen.sum() * counts[seen])
    else:
        weights[seen] = (1 - beta) / (1 - beta ** counts[seen])
    weights[seen] *= counts.sum() / (weights[seen] * counts[seen]).sum()
    return weights


def logit_offsets(tau: float, counts: ArrayLike) -> np.ndarray | None:
    """Compute tau · log prior of each class, float64 `[C]`, or None for tau 0.

    Added to the logits in the loss it makes the classifier minimise the balanced error at
    tau = 1 (Menon et al., 2021, eq. 10). `counts` are how often each class is drawn in training;
    a class that never is counts as drawn once.
    """
    if not tau:
        return None
    counts = np.maximum(np.asarray(counts, np.float64), 1.0)
    return tau * np.log(counts / counts.sum())
