"""The formats of small models by name, and the function that they are converted from.

Imports no TensorFlow until that is made, so that a wrong option is answered at once.
"""

from __future__ import annotations

import importlib.util

from fashion_keras.errors import UserError
from fashion_keras.run import Run
from fashion_keras.serving.layout import LITERT_FILE, ONNX_FILE

SAVED_MODEL = "saved_model"
INT8 = "litert-int8"
# By format the model's file, in OUTPUT/<format>/<version>/.
SMALL_FORMATS = {"litert": LITERT_FILE, INT8: LITERT_FILE, "onnx": ONNX_FILE}
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


def small_graph(run: Run):
    """Return a function from `image`, uint8 `[N, height, width, 3]`, to each head's logits.

    The run's decision is in it. Decoding and resizing are not: neither LiteRT nor ONNX decodes
    photos. Logits and not probabilities, so that INT8 does not round these to 1/256.
    """
    import tensorflow as tf

    from fashion_keras.models.classifier import head_name

    spec = tf.TensorSpec([None, *run.image_size, 3], tf.uint8, name=INPUT)

    @tf.function(input_signature=[spec])
    def classify(image):
        logits = run.predictor(image, training=False)
        # A name of its own each, or a converter may call two heads' outputs by one tensor.
        return {
            label: tf.identity(tf.cast(logits[label], tf.float32), name=head_name(label))
            for label in run.labels
        }

    return classify
