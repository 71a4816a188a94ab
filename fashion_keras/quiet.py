"""TensorFlow in, without a dozen lines about drivers and rounding that no user can act on."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import threading

_LOADING = threading.Lock()  # two threads that turn the same descriptor aside would lose it


def load_tensorflow():
    """Import TensorFlow and look for devices with its start-up notes kept off the terminal.

    The notes come from C++ before any log level is read, so the file descriptor is turned
    aside. Where the import fails they are printed after all. Returns the module.
    """
    with _LOADING:
        return _load()


@functools.cache
def _load():
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow

            tensorflow.config.list_physical_devices()
        except BaseException:
            notes.seek(0)
            os.write(saved, notes.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
    return tensorflow
