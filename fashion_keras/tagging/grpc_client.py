"""Photo bytes in; their best classes and scores by TF Serving's gRPC API, out.

Its PredictionService is tensorflow-serving-api's.
"""

from __future__ import annotations

from collections.abc import Sequence

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
from fashion_keras.tagging.batches import Answer, BatchRefused
from fashion_keras.tagging.outputs import (
    VALID,
    check_signatures,
    heads_of,
    output_names,
    served_labels,
)
from fashion_keras.tagging.retries import Retries, Unavailable

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


class GrpcModel:
    """A model of ours behind TF Serving's gRPC API, without encryption.

    Args:
        target: `HOST:8500`.
        name: of the model.
        retries: what is done when the server does not answer.
        known: the model's labels, the headline's first; None takes what the server tells.
        labels: those that are wanted, in this order; None for all.
        titles: whether products have titles.

    Raises `UserError` where the server does not answer, or has no such model of ours or label, or
    takes no titles.
    """

    def __init__(
        self,
        target: str,
        name: str,
        retries: Retries,
        known: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        titles: bool = False,
    ):
        self._name, self._target, self._retries = name, target, retries
        self._channel = grpc.insecure_channel(target, options=[*_NO_LIMIT, *_RECONNECT])
        self._stub = PredictionServiceStub(self._channel)
        request = GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = name
        try:
            response = self._send(self._stub.GetModelMetadata, request)
        except BatchRefused as error:
            raise self._foreign(str(error)) from error
        signatures = SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        found = signatures.signature_def
        served = found[SIGNATURES["photo"].name].outputs
        self.heads = heads_of(known or served_labels(served), labels)
        told = {name: (one.inputs, one.outputs) for name, one in found.items()}
        check_signatures(self.heads, titles, told, f"grpc://{target}", self._foreign)
        self._outputs = output_names(self.heads)

    def ask(self, sees: str, *given: Sequence[bytes] | Sequence[str]) -> Answer:
        """Classify products; BatchRefused where the server refuses them as a batch."""
        request = PredictRequest(output_filter=self._outputs)
        request.model_spec.name = self._name
        request.model_spec.signature_name = SIGNATURES[sees].name
        for name, values in zip(SIGNATURES[sees].inputs, given, strict=True):
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values, tf.string))
        outputs = self._send(self._stub.Predict, request).outputs
        lost = [name for name in self._outputs if name not in outputs]
        if lost:
            raise self._foreign(f"its answer lacks {', '.join(lost)}")
        found = {name: tf.make_ndarray(outputs[name]).tolist() for name in self._outputs}
        for rows in found.values():
            if len(rows) != len(given[0]):
                raise self._foreign(f"it answers {len(given[0])} photos with {len(rows)} rows")
        names = {
            head.label: [[name.decode("utf-8") for name in row] for row in found[head.classes]]
            for head in self.heads
        }
        labels = {head.label: (names[head.label], found[head.scores]) for head in self.heads}
        return Answer(labels, found[VALID])

    def close(self) -> None:
        """Close the channel, and end waits for a server that does not answer."""
        self._retries.stop()
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
                raise self._foreign(reason) from error

        return self._retries.call(call)

    def _foreign(self, reason):
        return UserError(
            f"grpc://{self._target} is not as expected: {reason}.\n"
            "Expected TF Serving's gRPC API with a model that fashion-keras export has made"
        )


def _told(error) -> str:
    return " ".join((error.details() or "no reason given").split())[:160]
