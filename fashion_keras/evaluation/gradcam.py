"""A model and photos in; where in the photo the model found each photo's class out."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from fashion_keras.errors import UserError
from fashion_keras.models.classifier import head_name
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
    and what speaks for the class is kept. Of a head that is linear in the pooled features the
    gradient is its weight (section 3.1), so nothing is derived, and any backend will do. The map
    shows where, at the backbone's resolution (a thirty-second of the photo's), and not why.

    Args:
        model: a run's `model`, with a dict of logits and a layer named `features`.
        label: the head that is asked.
        images: uint8 or float `[N, H, W, 3]` in [0, 255].
        classes: the class asked about, one a photo: an index of the head.

    Returns:
        float32 `[N, h, w]` in [0, 1], each photo's largest value 1; all 0 where nothing speaks
        for the class.

    Raises:
        UserError: the model has no layer of that name, or the head is not linear in it.
    """
    backbone, kernel = _parts(model, label)
    maps = []
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        # Called and not `predict`: tracing the new model takes longer than one photo does.
        features = keras.ops.convert_to_numpy(backbone(images[part], training=False))
        maps.append(_map(features, kernel[:, list(classes[part])]))
    if not maps:
        return np.zeros((0, *backbone.output.shape[1:3]), np.float32)
    found = np.concatenate(maps).astype(np.float32)
    peak = found.max(axis=(1, 2), keepdims=True)
    return np.divide(found, peak, out=np.zeros_like(found), where=peak > 0)


def _map(features, weights):
    """Return `[N, h, w]` of features `[N, h, w, D]` and the asked class's weights `[D, N]`."""
    # The pooling's gradient is the same at every place: 1 / (h · w), and the mean's is that too.
    height, width = features.shape[1:3]
    return np.maximum(np.einsum("nhwd,dn->nhw", features, weights) / (height * width), 0.0)


def _parts(model, label):
    """Return what gives the features that are pooled, and the kernel `[D, C]` of a head."""
    expected = "expected a model trained by fashion_keras"
    try:
        features = model.get_layer(FEATURES).input
    except ValueError as error:
        raise UserError(
            f"the model {model.name!r} has no layer {FEATURES!r}, so Grad-CAM cannot look into "
            f"it: {expected}"
        ) from error
    head = model.get_layer(head_name(label))
    if not isinstance(head, keras.layers.Dense) or head.input.shape[-1] != features.shape[-1]:
        raise UserError(
            f"head {label!r} of the model {model.name!r} is not linear in the layer {FEATURES!r}, "
            f"so Grad-CAM cannot look into it: {expected}"
        )
    return keras.Model(model.inputs[0], features), np.asarray(head.kernel)
