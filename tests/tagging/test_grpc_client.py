"""TF Serving's gRPC API as a client sees it, on the loopback, with its own messages and stub."""

import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import tensorflow as tf
from serving.http_stand_in import answer
from serving.tiny import photo
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc as service

from fashion_keras.errors import UserError
from fashion_keras.predict import main
from fashion_keras.tagging.batches import BatchRefused
from fashion_keras.tagging.loading import connect
from fashion_keras.tagging.server_api import Retries

PHOTOS = [bytes(range(256)), b"abc", b"", b"x no photo"]


class Service(service.PredictionServiceServicer):
    """Answers as `http_stand_in` does; `failures` are the statuses to come."""

    def __init__(self):
        self.failures, self.filters = [], []
        self.outputs = {"classes", "scores", "valid", "gender_scores"}

    def GetModelMetadata(self, request, context):
        assert list(request.metadata_field) == ["signature_def"]
        if request.model_spec.name != "shop":
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found")
        signatures = get_model_metadata_pb2.SignatureDefMap()
        signature = signatures.signature_def["serving_default"]
        signature.inputs["image_bytes"].SetInParent()
        for name in self.outputs:
            signature.outputs[name].SetInParent()
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(signatures)
        return response

    def Predict(self, request, context):
        if self.failures:
            context.abort(self.failures.pop(0), "busy\nindeed")
        assert request.model_spec.signature_name == "serving_default"
        self.filters.append(set(request.output_filter))
        found = [answer(each) for each in tf.make_ndarray(request.inputs["image_bytes"])]
        response = predict_pb2.PredictResponse()
        for name in request.output_filter:
            values = [each[name] for each in found]
            response.outputs[name].CopyFrom(tf.make_tensor_proto(values))
        return response


@pytest.fixture
def shop(monkeypatch):
    monkeypatch.setattr("fashion_keras.tagging.server_api._FIRST_WAIT", 0.01)
    servicer = Service()
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        service.add_PredictionServiceServicer_to_server(servicer, server)
        servicer.url = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield servicer
        server.stop(None).wait()


@pytest.fixture
def connected():
    """Connects, and closes what it has connected."""
    opened = []

    def connect_to(url, name="shop", retries=3):
        opened.append(connect(url, name, Retries(retries, url, lambda line: None), 2))
        return opened[-1]

    yield connect_to
    for each in opened:
        each.close()


def test_photos_are_answered_in_order_and_no_more_is_asked_than_is_used(shop, connected):
    found = connected(shop.url).ask("photo", PHOTOS)
    expected = [answer(each) for each in PHOTOS]
    classes, found_scores = found.labels["class"]
    assert classes == [each["classes"] for each in expected]
    for scores, each in zip(found_scores, expected, strict=True):
        assert scores == pytest.approx(each["scores"])
    assert found.valid == [1, 1, 1, 0]
    assert shop.filters == [{"classes", "scores", "valid"}]


def test_a_busy_server_is_asked_again(shop, connected):
    model = connected(shop.url)
    shop.failures = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert len(model.ask("photo", PHOTOS).valid) == 4


def test_a_refused_batch_says_why(shop, connected):
    model = connected(shop.url)
    shop.failures = [grpc.StatusCode.INVALID_ARGUMENT]
    with pytest.raises(BatchRefused, match="refused by the server: busy indeed"):
        model.ask("photo", PHOTOS)


def test_what_will_not_change_is_not_asked_again(shop, connected):
    model = connected(shop.url)
    shop.failures = [grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNIMPLEMENTED]
    with pytest.raises(UserError, match="UNIMPLEMENTED, busy indeed"):
        model.ask("photo", PHOTOS)
    assert len(shop.failures) == 1


def test_no_server_is_an_error(connected):
    with socket.create_server(("127.0.0.1", 0)) as found:
        url = f"grpc://127.0.0.1:{found.getsockname()[1]}"
    with pytest.raises(UserError, match=f"{url} does not answer: UNAVAILABLE") as error:
        connected(url, retries=0)
    assert len(str(error.value).splitlines()) == 2


def test_a_model_that_the_server_has_not_is_an_error(shop, connected):
    with pytest.raises(UserError, match=r"no model 'shoes'.*--name"):
        connected(shop.url, name="shoes")


def test_a_model_of_another_kind_is_an_error(shop, connected):
    shop.outputs = {"scores"}
    with pytest.raises(UserError, match="has no valid, classes"):
        connected(shop.url)


def test_the_command_takes_such_an_address(shop, tmp_path, capsys):
    (tmp_path / "a.jpg").write_bytes(photo())
    assert main(["--server", shop.url, "--name", "shop", str(tmp_path / "a.jpg")]) == 0
    assert answer(photo())["classes"][0] in capsys.readouterr().out
