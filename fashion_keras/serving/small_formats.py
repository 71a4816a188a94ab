"""The formats of small models by name, and the function that they are converted from.

Imports no TensorFlow until that is made, so that a wrong option is answered at once.
"""

from __future__ import annotations

import importlib.util

from fashion_keras.data.title_terms import TITLE_IDS
from fashion_keras.errors import UserError
from fashion_keras.run import Run
from fashion_keras.serving.layout import (
    LITERT_FILE,
    LITERT_TITLE_FILE,
    ONNX_FILE,
    ONNX_TITLE_FILE,
)

SAVED_MODEL = "saved_model"
INT8 = "litert-int8"
# By format the model's file, in OUTPUT/<format>/<version>/.
SMALL_FORMATS = {"litert": LITERT_FILE, INT8: LITERT_FILE, "onnx": ONNX_FILE}
# The file beside it that takes photo and title; an INT8 model sees the photo alone.
TITLE_FORMATS = {"litert": LITERT_TITLE_FILE, "onnx": ONNX_TITLE_FILE}
FORMATS = (SAVED_MODEL, *SMALL_FORMATS)
_ONNX_MODULES = ("tf2onnx", "onnxruntime")


def check_installed(format: str) -> None:
    """Raise `UserError` where a format's converter or runtime is not installed."""
    if format != "onnx":  # TensorFlow brings LiteRT's converter, and an interpreter
        return
    missing = [name for name in _ONNX_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--format onnx needs {' and '.join(missing)}, which is not installed.\n"
            'Install it: pip install "fashion-keras[onnx]"'
        )


INPUT = "image"


def small_graph(run: Run, sees: str = "photo"):
    """Return a function from `image`, uint8 `[N, height, width, 3]`, to each head's logits.

    Where it `sees` `both`, it takes `title_ids` as well, int32 `[N, columns * sum(COUNTS)]` of
    `data.title_terms`. The run's decision is in it. Decoding and resizing are not: neither LiteRT
    nor ONNX decodes photos. Logits and not probabilities, so that INT8 does not round these to
    1/256.
    """
    import tensorflow as tf

    from fashion_keras.models.classifier import head_name

    predictor = run.predictor_for(sees)
    spec = [tf.TensorSpec([None, *run.image_size, 3], tf.uint8, name=INPUT)]
    if sees == "both":
        ids = predictor.inputs[1].shape[1]
        spec.append(tf.TensorSpec([None, ids], tf.int32, name=TITLE_IDS))

    @tf.function(input_signature=spec)
    def classify(image, *title_ids):
        logits = predictor([image, *title_ids] if title_ids else image, training=False)
        # A name of its own each, or a converter may call two heads' outputs by one tensor.
        return {
            label: tf.identity(tf.cast(logits[label], tf.float32), name=head_name(label))
            for label in run.labels
        }

    return classify


def inputs(photos, title_ids=None) -> dict:
    """Return by its name what a small model is given."""
    return {INPUT: photos} if title_ids is None else {INPUT: photos, TITLE_IDS: title_ids}
