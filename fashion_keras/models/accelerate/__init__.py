"""Faster ways to compute the same, which lean on private parts of Keras and TensorFlow.

This folder may be deleted, and `FASHION_KERAS_ACCELERATE=0` does without it: training is then
slower, and the same to float rounding. So does a Keras whose private parts nobody has tried.
"""

import logging
import os

import keras

_TRIED = ((3, 15), (3, 15))  # the first and last minor version of Keras


def accelerate(computing: keras.Model | keras.optimizers.Optimizer) -> None:
    """Make a model or an optimizer compute the same by faster kernels, unless switched off."""
    if os.environ.get("FASHION_KERAS_ACCELERATE", "1") == "0":
        return
    version = tuple(int(part) for part in keras.__version__.split(".")[:2])
    if not _TRIED[0] <= version <= _TRIED[1]:
        logging.getLogger(__name__).warning(
            "Keras %s is newer or older than what the faster kernels were tried with: training "
            "does without them",
            keras.__version__,
        )
        return
    from fashion_keras.models.accelerate import kernels

    if isinstance(computing, keras.Model):
        kernels.use_fast_kernels(computing)
    else:
        kernels.use_fused_update(computing)
