"""TensorFlow and Keras in, without lines that no user can act on, and with settings that work."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import sys
import tempfile
import threading
import warnings

from fashion_keras.errors import UserError

# What keras.json may say, the default first.
_KNOWN = {
    "image_data_format": ("channels_last", "channels_first"),
    "floatx": ("float32", "float16", "float64"),
    "backend": ("tensorflow", "jax", "torch", "numpy", "openvino"),
}
_LOADING = threading.Lock()  # two threads that turn the same descriptor aside would lose it


def load_tensorflow():
    """Import TensorFlow and look for devices with its start-up notes kept off the terminal.

    The notes come from C++ before any log level is read, so the file descriptor is turned
    aside. Where the import fails they are printed after all. Returns the module.
    """
    with _LOADING:
        return _load()


@contextlib.contextmanager
def notes_kept_off():
    """Keep off the terminal what is written to the file descriptor, unless a bug ends the block."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except UserError:
            raise
        except BaseException:
            notes.seek(0)
            os.write(saved, notes.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


@functools.cache
def _load():
    ours = "tensorflow" not in sys.modules
    with notes_kept_off():
        try:
            import tensorflow

            tensorflow.config.list_physical_devices()
        except BaseException as error:
            if wrong := _wrong_settings(error):  # TensorFlow reads Keras's, too
                raise wrong from error
            raise
    if ours:
        _keep_out_of_notebooks(tensorflow.get_logger())
    return tensorflow


def load_keras():
    """Import Keras and return it; `UserError` where somebody's settings make it another Keras."""
    if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true"):
        raise UserError(
            "TF_USE_LEGACY_KERAS has TensorFlow use Keras 2, and fashion_keras needs Keras 3: "
            "unset it"
        )
    try:
        import keras
    except Exception as error:
        if wrong := _wrong_settings(error):
            raise wrong from error
        raise
    for name, found, expected in (
        ("image_data_format", keras.config.image_data_format(), "channels_last"),
        ("floatx", keras.config.floatx(), "float32"),
    ):
        if found != expected:
            raise UserError(
                f"Keras's {name} is {found!r}, expected {expected!r}: change it in {_settings()}"
            )
    return keras


def _settings() -> str:
    return os.path.join(
        os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"), "keras.json"
    )


def _wrong_settings(error: BaseException) -> UserError | None:
    """Return the error of an import that the file of Keras's settings made fail, if it did."""
    try:
        with open(_settings(), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):  # none, or no JSON: Keras then takes its defaults
        return None
    if isinstance(found, dict) and all(
        found.get(name, known[0]) in known for name, known in _KNOWN.items()
    ):
        return None  # the import failed for another reason, which its traceback says
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(f"Keras does not start ({reason[:120]}): mend {_settings()}")


def _keep_out_of_notebooks(logger: logging.Logger) -> None:
    """Leave out of a cell's output what TensorFlow and KerasCV say in notebooks alone.

    There TensorFlow logs at INFO. It warns of retracing where several models predict in one
    process, as steps called one after another do. KerasCV imports bars that miss their widgets.
    """
    logger.setLevel(max(logger.level, logging.WARNING))
    logger.addFilter(lambda record: "tf.function retracing" not in record.getMessage())
    warnings.filterwarnings("ignore", "IProgress not found")
