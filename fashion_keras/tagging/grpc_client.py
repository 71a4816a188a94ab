"""Photo bytes in; their best classes and scores by TF Serving's gRPC API, out.

Its PredictionService is tensorflow-serving-api's.
"""

from __future__ import annotations

import grpc
import tensorflow as tf
from tensorflow_serving.apis.get_model_metadata_pb2 import (
    GetModelMetadataRequest,
    SignatureDefMap,
)
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from fashion_keras.errors import UserError
from fashion_keras.serving.layout import SIGNATURES
from fashion_keras.tagging.batches import BatchRefused
from fashion_keras.tagging.server_api import Retries, ServerApi, Unavailable

_TIMEOUT = 120  # seconds: the first request to a model may load it
_LATER = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
)
_NO_LIMIT = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
# Else a channel that found no server waits for longer and longer, whatever our own waits.
_RECONNECT = [("grpc.max_reconnect_backoff_ms", 1000)]


class GrpcApi(ServerApi):
    """TF Serving's gRPC API for the model `name`, without encryption, at `HOST:8500`."""

    kind = "gRPC"

    def __init__(self, target: str, name: str, retries: Retries):
        self.address = f"grpc://{target}"
        self._name, self._target, self._retries = name, target, retries
        self._channel = grpc.insecure_channel(target, options=[*_NO_LIMIT, *_RECONNECT])
        self._stub = PredictionServiceStub(self._channel)

    def signatures(self):
        request = GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self._name
        try:
            response = self._send(self._stub.GetModelMetadata, request)
        except BatchRefused as error:
            raise self.foreign(str(error)) from error
        signatures = SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return {k: (one.inputs, one.outputs) for k, one in signatures.signature_def.items()}

    def predict(self, sees, given, outputs):
        request = PredictRequest(output_filter=outputs)
        request.model_spec.name = self._name
        request.model_spec.signature_name = SIGNATURES[sees].name
        for name, values in zip(SIGNATURES[sees].inputs, given, strict=True):
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values, tf.string))
        found = self._send(self._stub.Predict, request).outputs
        if lost := [name for name in outputs if name not in found]:
            raise self.foreign(f"its answer lacks {', '.join(lost)}")
        return {name: tf.make_ndarray(found[name]).tolist() for name in outputs}

    def close(self) -> None:
        self._channel.close()

    def _send(self, method, request):
        def call():
            try:
                return method(request, timeout=_TIMEOUT)
            except grpc.RpcError as error:
                reason = f"{error.code().name}, {_told(error)}"
                if error.code() in _LATER:
                    raise Unavailable(reason) from error
                if error.code() == grpc.StatusCode.NOT_FOUND:
                    raise UserError(
                        f"{self._target} has no model {self._name!r} ({_told(error)}): check --name"
                    ) from error
                if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                    raise BatchRefused(f"refused by the server: {_told(error)}") from error
                raise self.foreign(reason) from error

        return self._retries.call(call)


def _told(error) -> str:
    return " ".join((error.details() or "no reason given").split())[:160]
