"""A run in; an ONNX model as bytes out; and such bytes, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fashion_keras.errors import UserError
from fashion_keras.run import Run
from fashion_keras.serving.small_formats import inputs, small_graph

OPSET = 18  # what ONNX Runtime reads since 1.14
EXTRA = 'pip install "fashion-keras[onnx]"'


def onnx_model(run: Run, sees: str = "photo") -> bytes:
    """Convert a run's predictor to ONNX, in float32; what is looked up stays in half precision.

    `sees` is `photo`, or `both` for a model of photo and title. Returns the model. It takes what
    `small_graph` says and gives the logits of each head by name, float32 `[N, C]`. Raises
    `UserError` where tf2onnx is not installed or cannot convert the model.
    """
    try:
        import tf2onnx
    except ImportError as error:
        raise UserError(
            f"ONNX needs tf2onnx, which is not installed ({error}).\nInstall it: {EXTRA}"
        ) from None
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
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"ONNX needs onnxruntime, which is not installed ({error}).\nInstall it: {EXTRA}"
        ) from None
    options = onnxruntime.SessionOptions()
    # A thread that waits by spinning takes the core on which the next photos are decoded.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda *given: dict(zip(names, session.run(None, inputs(*given)), strict=True))


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
