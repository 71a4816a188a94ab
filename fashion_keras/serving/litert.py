"""A run in; a LiteRT model (`.tflite`), float16 or INT8, as bytes out; and such bytes, run.

https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_quantization
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import warnings
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from fashion_keras.errors import UserError
from fashion_keras.models.title_model import in_float32
from fashion_keras.run import Run
from fashion_keras.serving.small_formats import INPUT, inputs, small_graph

_SIGNATURE = "serving_default"


def litert_model(run: Run, representative: np.ndarray | None = None, sees: str = "photo") -> bytes:
    """Convert a run's predictor to LiteRT: weights in float16, or all of it in INT8.

    Args:
        run: a trained model.
        representative: photos of the training split, uint8 `[N, height, width, 3]`, from which
            the ranges of the activations are measured. Given, weights and activations become
            INT8; without, weights are stored as float16 and computed in float32.
        sees: `photo`, or `both` for a model of photo and title.

    Returns:
        The flatbuffer. Its signature takes what `small_graph` says and gives the logits of each
        head by name, float32 `[N, C]`.

    Raises:
        UserError: the converter cannot convert the model.
    """
    if sees == "both" and run.title is not None:
        # LiteRT looks nothing up in half precision; its converter stores them so all the same.
        run = dataclasses.replace(run, title=in_float32(run.title))
    function = small_graph(run, sees)
    module = tf.Module()
    module.weights = list(function.get_concrete_function().variables)
    with tempfile.TemporaryDirectory() as folder:
        # By way of a SavedModel, for only that keeps the names of inputs and outputs.
        tf.saved_model.save(module, folder, signatures={_SIGNATURE: function})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[_SIGNATURE])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if representative is None:
            converter.target_spec.supported_types = [tf.float16]
        else:
            converter.representative_dataset = lambda: (
                {INPUT: photo[None]} for photo in representative
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.uint8
        try:
            return converter.convert()
        except Exception as error:  # the converter raises a class a stage
            reason = (str(error).splitlines() or [repr(error)])[0][:200]
            raise UserError(f"{run.path} cannot be converted to LiteRT: {reason}") from error


def litert_classifier(model: bytes) -> Callable[..., dict[str, np.ndarray]]:
    """Return a function from photos, and titles' numbers if it takes them, to each head's logits.

    Runs on all cores, in `ai-edge-litert`, or in TensorFlow's own interpreter without it.
    """
    interpreter = _interpreter_class()(model_content=model, num_threads=os.cpu_count())
    run_signature = interpreter.get_signature_runner(_SIGNATURE)
    return lambda *given: dict(run_signature(**inputs(*given)))


def _interpreter_class():
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        # It says at every start that it will be removed one day.
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter")
        return tf.lite.Interpreter
    return Interpreter
