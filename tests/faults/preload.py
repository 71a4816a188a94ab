"""Imported once by the fork server: all that the commands import, and the tiny architecture.

A fork of it is a process that has TensorFlow already, so that a hundred runs and kills of the
commands take minutes. TensorFlow starts its threads at the first operation: none runs here.
"""

import encodings.cp437
import encodings.utf_8_sig  # noqa: F401

import h5py  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import pandas  # noqa: F401
import pyarrow.parquet  # noqa: F401
import pytest  # noqa: F401 (multiprocessing imports the parent's main module in each child)
import sklearn.metrics  # noqa: F401

from fashion_keras.quiet import load_tensorflow

load_tensorflow()

from fashion_keras.models.registry import ARCHITECTURES  # noqa: E402

ARCHITECTURES["tiny"] = "tiny_arch"
