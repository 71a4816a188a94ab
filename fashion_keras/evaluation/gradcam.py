"""A model and photos in; where in the photo the model found each photo's class out."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from fashion_keras.errors import UserError
from fashion_keras.run import FEATURES  # what enters this layer is the backbone's output


def grad_cam(
    model: keras.Model,
    label: str,
    images: np.ndarray,
    classes: Sequence[int],
    *,
    batch_size: int = 16,
) -> np.ndarray:
    """Return a Grad-CAM heat map a photo (Selvaraju et al., ICCV 2017, equations 1 and 2).

    Each channel of the backbone's output is weighted by the mean gradient of the class's logit,
    and what speaks for the class is kept. The map shows where, at the backbone's resolution (a
    thirty-second of the photo's), and not why.

    Args:
        model: a run's `model`, with a dict of logits and a layer named `features`.
        label: the head that is asked.
        images: uint8 or float `[N, H, W, 3]` in [0, 255].
        classes: the class asked about, one a photo: an index of the head.

    Returns:
        float32 `[N, h, w]` in [0, 1], each photo's largest value 1; all 0 where nothing speaks
        for the class.

    Raises:
        UserError: the model has no layer of that name.
    """
    backbone, head = _parts(model, label)
    maps = []
    for start in range(0, len(images), batch_size):
        photos = images[start : start + batch_size]
        asked = tf.constant(list(classes[start : start + batch_size]))
        # The backbone's output is a constant here: only the way from it to the logit is derived.
        features = backbone(photos, training=False)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            logits = head(features, training=False)
            # Photos do not touch each other, so the sum's gradient holds each photo's own.
            asked_logits = tf.reduce_sum(tf.gather(logits, asked, axis=1, batch_dims=1))
        weights = tf.reduce_mean(tape.gradient(asked_logits, features), axis=(1, 2), keepdims=True)
        maps.append(tf.nn.relu(tf.reduce_sum(weights * features, axis=-1)).numpy())
    if not maps:
        return np.zeros((0, *backbone.output.shape[1:3]), np.float32)
    found = np.concatenate(maps).astype(np.float32)
    peak = found.max(axis=(1, 2), keepdims=True)
    return np.divide(found, peak, out=np.zeros_like(found), where=peak > 0)


def _parts(model, label):
    """Cut a model at its pooling: photos to features, and features to a head's logits."""
    try:
        features = model.get_layer(FEATURES).input
    except ValueError as error:
        raise UserError(
            f"the model {model.name!r} has no layer {FEATURES!r}, so Grad-CAM cannot look into "
            "it: expected a model trained by fashion_keras"
        ) from error
    return keras.Model(model.inputs[0], features), keras.Model(features, model.output[label])
