"""TF Serving's JSON, by its documentation: https://www.tensorflow.org/tfx/serving/api_rest.

"Specifying input tensors in row format", "Response format", "Output of binary values" and
"Encoding binary values".
"""

import base64
import json

import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse


def request_from_json(text: str, input_name: str, dtype: tf.DType) -> PredictRequest:
    """What the server makes of a request's body for a signature with one input.

    Where there are several, each instance is an object with a value for each, all of `dtype`.
    """
    body = json.loads(text)
    assert body.keys() <= {"signature_name", "instances"}
    request = PredictRequest()
    request.model_spec.signature_name = body.get("signature_name", "serving_default")
    first = body["instances"][0]
    if isinstance(first, dict) and first.keys() != {"b64"}:
        columns = {name: [row[name] for row in body["instances"]] for name in first}
    else:
        columns = {input_name: body["instances"]}
    for name, column in columns.items():
        values = [_value(instance) for instance in column]
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtype))
    return request


def response_to_json(response: PredictResponse) -> str:
    """The body that the server answers a request in row format with."""
    arrays = {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}
    sizes = {len(array) for array in arrays.values()}
    assert len(sizes) == 1, "row format needs the same first dimension of all outputs"
    columns = {name: [_text(name, row) for row in array.tolist()] for name, array in arrays.items()}
    if len(columns) == 1:
        (predictions,) = columns.values()
    else:
        predictions = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
    return json.dumps({"predictions": predictions})


def _value(instance):
    if isinstance(instance, dict) and instance.keys() == {"b64"}:
        return base64.b64decode(instance["b64"], validate=True)
    return instance


def _text(name, value):
    if isinstance(value, list):
        return [_text(name, part) for part in value]
    if not isinstance(value, bytes):
        return value
    if name.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode("ascii")}
    return value.decode("utf-8")
