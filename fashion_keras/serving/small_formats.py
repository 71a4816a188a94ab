"""A run in; a LiteRT or ONNX model as bytes out; and such bytes, run.

Imports no TensorFlow until then, so that a wrong option is answered at once.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import tempfile
import warnings
from collections.abc import Callable

import numpy as np

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
INPUT = "image"
OPSET = 18  # of ONNX: what ONNX Runtime reads since 1.14
_ONNX_MODULES = ("tf2onnx", "onnxruntime")
_INSTALL_ONNX = 'Install it: pip install "fashion-keras[onnx]"'
_SIGNATURE = "serving_default"  # of LiteRT


def check_installed(format: str) -> None:
    """Raise `UserError` where a format's converter or runtime is not installed."""
    if format != "onnx":  # TensorFlow brings LiteRT's converter, and an interpreter
        return
    missing = [name for name in _ONNX_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--format onnx needs {' and '.join(missing)}, which is not installed.\n{_INSTALL_ONNX}"
        )


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


def litert_model(run: Run, representative: np.ndarray | None = None, sees: str = "photo") -> bytes:
    """Convert a run's predictor to LiteRT: weights in float16, or all of it in INT8.

    https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_quantization

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
    import tensorflow as tf

    from fashion_keras.models.title_model import in_float32

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
    return lambda *given: dict(run_signature(**_inputs(*given)))


def _interpreter_class():
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        # It says at every start that it will be removed one day.
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter")
        import tensorflow as tf

        return tf.lite.Interpreter
    return Interpreter


def onnx_model(run: Run, sees: str = "photo") -> bytes:
    """Convert a run's predictor to ONNX, in float32; what is looked up stays in half precision.

    `sees` is `photo`, or `both` for a model of photo and title. Returns the model. It takes what
    `small_graph` says and gives the logits of each head by name, float32 `[N, C]`. Raises
    `UserError` where tf2onnx is not installed or cannot convert the model.
    """
    tf2onnx = _onnx_module("tf2onnx")
    function = small_graph(run, sees)
    try:
        model, _ = tf2onnx.convert.from_function(
            function, input_signature=function.input_signature, opset=OPSET
        )
    except Exception as error:  # tf2onnx raises whatever the operation's handler does
        reason = (str(error).splitlines() or [repr(error)])[0][:200]
        raise UserError(f"{run.path} cannot be converted to ONNX: {reason}") from error
    taken = {spec.name for spec in function.input_signature}
    _fill_in_constants(model.graph, function.get_concrete_function(), taken)
    return model.SerializeToString()


def onnx_classifier(model: bytes) -> Callable[..., dict[str, np.ndarray]]:
    """Return a function from photos, and titles' numbers if it takes them, to each head's logits.

    Runs on the CPU, on all cores. Raises `UserError` where ONNX Runtime is not installed.
    """
    onnxruntime = _onnx_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    # A thread that waits by spinning takes the core on which the next photos are decoded.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda *given: dict(zip(names, session.run(None, _inputs(*given)), strict=True))


def _onnx_module(name: str):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"ONNX needs {name}, which is not installed ({error}).\n{_INSTALL_ONNX}"
        ) from None


def _fill_in_constants(graph, function, taken) -> None:
    """Make constants of what a Keras model's function has captured, a Normalization layer's mean.

    tf2onnx takes captured tensors for inputs of the model and leaves their values behind.
    """
    from onnx.numpy_helper import from_array

    values = {inner.name: outer for outer, inner in function.graph.captures}
    surplus = [value.name for value in graph.input if value.name not in taken]
    read = {name for node in graph.node for name in node.input}
    graph.initializer.extend(
        from_array(np.asarray(values[name]), name) for name in surplus if name in read
    )
    kept = [value for value in graph.input if value.name in taken]
    del graph.input[:]
    graph.input.extend(kept)


def classifier(format: str, model: bytes) -> Callable[..., dict[str, np.ndarray]]:
    """Return the function that runs a converted model: what it takes to each head's logits."""
    return onnx_classifier(model) if format == "onnx" else litert_classifier(model)


def _inputs(photos, title_ids=None) -> dict:
    """Return by its name what a small model is given."""
    return {INPUT: photos} if title_ids is None else {INPUT: photos, TITLE_IDS: title_ids}
