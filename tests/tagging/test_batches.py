"""Batches are classified in order, a few at a time, and a bad photo spares the others."""

import threading
import time

import pytest

from fashion_keras.tagging.batches import Answer, BatchRefused, classify, classify_all
from fashion_keras.tagging.sources import Photo

PHOTOS = [Photo(f"{n}.jpg", bytes([n]), id=str(n)) for n in range(16)]


def ask(encoded):
    """Answer each photo with its byte as its class; 255 is not decodable."""
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

    def fails_on_one(encoded):
        sizes.append(len(encoded))
        if bytes([bad]) in encoded:
            raise BatchRefused("no such photo")
        return ask(encoded)

    found = classify(PHOTOS, fails_on_one)
    assert [each.error for each in found] == ["no such photo" * (n == bad) for n in range(16)]
    assert len(sizes) == 9  # 16, and two of 8, 4, 2 and 1


@pytest.mark.parametrize("in_flight", [1, 3])
def test_batches_come_out_in_order_and_no_more_are_in_flight(in_flight):
    lock, now, most = threading.Lock(), 0, 0

    def slow(encoded):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02 if encoded[0][0] % 4 else 0.05)
        with lock:
            now -= 1
        return ask(encoded)

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
    def fails(encoded):
        if encoded[0] == b"\x02":
            raise RuntimeError("the server is gone")
        return ask(encoded)

    stream = classify_all([[photo] for photo in PHOTOS], Model(fails), 2)
    assert [next(stream)[0].id, next(stream)[0].id] == ["0", "1"]
    with pytest.raises(RuntimeError, match="the server is gone"):
        next(stream)


def test_ended_early_the_model_is_closed_before_what_is_in_flight_is_waited_for():
    """Else Ctrl-C would wait for a server that does not answer."""
    closed = threading.Event()

    def waits(encoded):
        if encoded[0] != b"\x00":
            assert closed.wait(60)
        return ask(encoded)

    stream = classify_all([[photo] for photo in PHOTOS], Model(waits, closed.set), 3)
    next(stream)
    stream.close()
    assert closed.is_set()


def test_what_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr("fashion_keras.tagging.batches._PATIENCE", 0.01)
    gate = threading.Event()

    def hangs(encoded):
        if encoded[0] == b"\x00":
            return ask(encoded)
        gate.wait(60)

    stream = classify_all([[photo] for photo in PHOTOS], Model(hangs), 3)
    next(stream)
    stream.close()
    left = [thread for thread in threading.enumerate() if thread.name == "classify"]
    gate.set()
    assert left and all(thread.daemon for thread in left)
