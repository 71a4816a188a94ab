"""TF Serving's REST API as a client sees it, on the loopback."""

import socket

import pytest
from serving.http_stand_in import answer, serving

from fashion_keras.errors import UserError
from fashion_keras.tagging.batches import BatchRefused, classify
from fashion_keras.tagging.loading import check_address, connect
from fashion_keras.tagging.server_api import Retries
from fashion_keras.tagging.sources import Photo

PHOTOS = [bytes(range(256)), b"abc", b"", b"x no photo"]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("fashion_keras.tagging.server_api._FIRST_WAIT", 0.01)
    with serving() as state:
        yield state


def model(url, name="shop", retries=3):
    return connect(url, name, Retries(retries, url, lambda line: None), 2)


def test_photos_are_sent_as_base64_and_answered_in_order(server):
    found = model(server.url).ask("photo", PHOTOS)
    expected = [answer(photo) for photo in PHOTOS]
    classes, scores = found.labels["class"]
    assert classes == [each["classes"] for each in expected]
    assert scores == [each["scores"] for each in expected]
    assert list(found.valid) == [1, 1, 1, 0]


def test_a_busy_server_is_asked_again(server):
    shop = model(server.url)
    server.failures = [503, 429, 504]
    assert len(shop.ask("photo", PHOTOS).valid) == 4
    assert server.failures == []


def test_an_answer_that_breaks_off_is_asked_for_again(server, monkeypatch):
    shop = model(server.url)
    server.cut = 2
    assert len(shop.ask("photo", PHOTOS).valid) == 4
    assert server.cut == 0


def test_a_server_that_stays_busy_is_an_error(server):
    shop = model(server.url, retries=2)
    server.failures = [503] * 9
    with pytest.raises(UserError, match="does not answer: status 503"):
        shop.ask("photo", PHOTOS)
    assert len(server.failures) == 6


def test_what_will_not_change_is_not_asked_again(server):
    shop = model(server.url)
    server.failures = [401, 401]
    with pytest.raises(UserError, match="status 401, busy"):
        shop.ask("photo", PHOTOS)
    assert len(server.failures) == 1


def test_a_batch_that_is_refused_is_halved(server):
    shop = model(server.url)
    server.refused_above = 3
    found = classify([Photo(f"{n}.jpg", b"n" * n) for n in range(8)], shop.ask)
    assert [each.error for each in found] == [""] * 8
    assert server.batches == [8, 4, 2, 2, 4, 2, 2]


def test_a_photo_that_is_refused_alone_says_why(server):
    shop = model(server.url)
    server.refused_above = 0
    with pytest.raises(BatchRefused, match="refused by the server: at most 0 photos"):
        shop.ask("photo", [b"a"])


def test_no_server_is_an_error_in_two_lines():
    with socket.create_server(("127.0.0.1", 0)) as found:
        url = f"http://127.0.0.1:{found.getsockname()[1]}"
    with pytest.raises(UserError) as error:
        model(url, retries=0)
    assert f"{url} does not answer: connection refused" in str(error.value)
    assert len(str(error.value).splitlines()) == 2


def test_a_model_that_the_server_has_not_is_an_error(server):
    with pytest.raises(UserError, match=r"no model 'shoes'.*--name"):
        model(server.url, name="shoes")


def test_a_model_of_another_kind_is_an_error(server):
    server.signature = {"inputs": {"x": {}}, "outputs": {"classes": {}, "valid": {}}}
    with pytest.raises(UserError, match="serving_default has no image_bytes, scores"):
        model(server.url)


def test_an_answer_of_another_length_is_an_error(server, monkeypatch):
    shop = model(server.url)
    monkeypatch.setattr(server, "post", lambda path, body: (200, {"predictions": [answer(b"")]}))
    with pytest.raises(UserError, match="answers 4 photos with 1 rows"):
        shop.ask("photo", PHOTOS)


@pytest.mark.parametrize("body", [[], {"predictions": None}, {"predictions": [{"valid": 1}]}, "x"])
def test_an_answer_of_another_shape_is_an_error(server, monkeypatch, body):
    shop = model(server.url)
    monkeypatch.setattr(server, "post", lambda path, _: (200, body))
    with pytest.raises(UserError, match="is not as expected"):
        shop.ask("photo", [b"a"])


@pytest.mark.parametrize(
    "url", ["localhost:8501", "grpc://localhost", "http://h:8501/v1/models/shop", "ftp://h:1", ""]
)
def test_an_address_of_another_kind_is_an_error(url):
    with pytest.raises(UserError, match="expected http://HOST:8501"):
        check_address(url)


@pytest.mark.parametrize(
    "url", ["http://localhost:8501", "https://shop.example/tf/", "grpc://10.0.0.1:8500"]
)
def test_an_address_of_a_server_is_none(url):
    check_address(url)
