"""The formats of small models by name: which file each writes, and what it needs.

Imports no TensorFlow, so that a wrong option is answered at once.
"""

from __future__ import annotations

import importlib.util

from fashion_keras.errors import UserError
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
