"""Batches are classified in order, a few at a time, and a bad photo spares the others."""

import threading
import time

import pytest

from fashion_keras.tagging.batches import Answer, BatchRefused, classify, classify_all
from fashion_keras.tagging.sources import Photo

PHOTOS = [Photo(f"{n}.jpg", bytes([n]), id=str(n)) for n in range(16)]


def ask(sees, encoded):
    """Answer each photo with its byte as its class; 255 is not decodable."""
    assert sees == "photo"
    names = [str(photo[0]) for photo in encoded]
    valid = [int(photo != b"\xff") for photo in encoded]
    return Answer({"kind": ([[name] for name in names], [[0.5]] * len(names))}, valid)


class Model:
    def __init__(self, ask, close=lambda: None):
        self.ask, self.close = ask, close


def test_each_photo_gets_its_own_answer():
    found = classify(PHOTOS, ask)
    assert [(each.id, each.path, each.labels["kind"].classes) for each in found] == [
        (photo.id, photo.path, (photo.id,)) for photo in PHOTOS
    ]


def test_photos_that_could_not_be_read_are_not_sent():
    bad = Photo("gone.jpg", error="does not exist", id="gone")
    first, second, third = classify([PHOTOS[1], bad, PHOTOS[2]], ask)
    assert (first.labels["kind"].classes, third.labels["kind"].classes) == (("1",), ("2",))
    assert (second.id, second.error, second.labels) == ("gone", "does not exist", {})


def test_a_photo_the_model_calls_invalid_has_a_reason():
    first, second = classify([Photo("bad.jpg", b"\xff"), PHOTOS[3]], ask)
    assert first.error.startswith("damaged")
    assert second.labels["kind"].classes == ("3",)


@pytest.mark.parametrize("bad", [0, 5, 15])
def test_a_photo_that_fails_its_batch_is_found_by_halving(bad):
    sizes = []

    def fails_on_one(sees, encoded):
        sizes.append(len(encoded))
        if bytes([bad]) in encoded:
            raise BatchRefused("no such photo")
        return ask(sees, encoded)

    found = classify(PHOTOS, fails_on_one)
    assert [each.error for each in found] == ["no such photo" * (n == bad) for n in range(16)]
    assert len(sizes) == 9  # 16, and two of 8, 4, 2 and 1


def test_each_product_is_asked_about_with_what_is_known_of_it():
    asked = {}

    def listen(sees, *given):
        asked[sees] = given
        names = [[f"{sees} {number}"] for number, _ in enumerate(given[0])]
        return Answer({"kind": (names, [[0.5]] * len(names))}, [1] * len(names))

    products = [
        Photo("a.jpg", b"a"),
        Photo("b.jpg", b"b", title="Bag"),
        Photo("", title="Cap", id="7"),
        Photo("c.jpg", b"c"),
        Photo("gone.jpg", error="does not exist", title="Hat"),
        Photo("d.jpg", b"d", title="Dress"),
    ]
    found = classify(products, listen)
    assert asked == {
        "photo": ([b"a", b"c"],),
        "both": ([b"b", b"d"], ["Bag", "Dress"]),
        "title": (["Cap"],),
    }
    said = [each.error or each.labels["kind"].classes[0] for each in found]
    assert said == ["photo 0", "both 0", "title 0", "photo 1", "does not exist", "both 1"]
    assert [each.sees for each in found] == ["photo", "both", "title", "photo", "photo", "both"]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_batches_come_out_in_order_and_no_more_are_in_flight(in_flight):
    lock, now, most = threading.Lock(), 0, 0

    def slow(sees, encoded):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02 if encoded[0][0] % 4 else 0.05)
        with lock:
            now -= 1
        return ask(sees, encoded)

    batches = [PHOTOS[first : first + 2] for first in range(0, 16, 2)]
    found = [each.id for batch in classify_all(batches, Model(slow), in_flight) for each in batch]
    assert found == [photo.id for photo in PHOTOS]
    assert most == in_flight


def test_no_batch_is_taken_before_there_is_room_for_it():
    taken = []

    def batches():
        for number in range(100):
            taken.append(number)
            yield [PHOTOS[0]]

    stream = classify_all(batches(), Model(ask), 3)
    next(stream)
    assert len(taken) == 3
    stream.close()
    assert len(taken) == 3


def test_what_a_batch_raises_is_raised_after_the_batches_before_it():
    def fails(sees, encoded):
        if encoded[0] == b"\x02":
            raise RuntimeError("the server is gone")
        return ask(sees, encoded)

    stream = classify_all([[photo] for photo in PHOTOS], Model(fails), 2)
    assert [next(stream)[0].id, next(stream)[0].id] == ["0", "1"]
    with pytest.raises(RuntimeError, match="the server is gone"):
        next(stream)


def test_ended_early_the_model_is_closed_before_what_is_in_flight_is_waited_for():
    """Else Ctrl-C would wait for a server that does not answer."""
    closed = threading.Event()

    def waits(sees, encoded):
        if encoded[0] != b"\x00":
            assert closed.wait(60)
        return ask(sees, encoded)

    stream = classify_all([[photo] for photo in PHOTOS], Model(waits, closed.set), 3)
    next(stream)
    stream.close()
    assert closed.is_set()


def test_what_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr("fashion_keras.tagging.batches._PATIENCE", 0.01)
    gate = threading.Event()

    def hangs(sees, encoded):
        if encoded[0] == b"\x00":
            return ask(sees, encoded)
        gate.wait(60)

    stream = classify_all([[photo] for photo in PHOTOS], Model(hangs), 3)
    next(stream)
    stream.close()
    left = [thread for thread in threading.enumerate() if thread.name == "classify"]
    gate.set()
    assert left and all(thread.daemon for thread in left)
