"""Batches of photos and a function that asks a model in; a prediction a photo, in order, out.

Imports no TensorFlow: a model in this process and one behind a server are asked alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

from fashion_keras.serving.photos import Photo
from fashion_keras.serving.prediction import Prediction

SIGNATURE = "serving_default"
INPUT = "image_bytes"
OUTPUTS = ("classes", "scores", "valid")
_DAMAGED = "damaged: its header is fine, its pixels cannot be decoded"


class Answer(NamedTuple):
    """What a model says of N photos: class names and scores `[N][k]`, best first; valid `[N]`."""

    classes: Sequence[Sequence[str]]
    scores: Sequence[Sequence[float]]
    valid: Sequence[int]


class BatchRefused(Exception):
    """A batch failed as a whole; its message is the reason, without the batch's size."""


class Model(Protocol):
    """What photos are classified with."""

    def ask(self, encoded: Sequence[bytes]) -> Answer:
        """Classify encoded photos. Safe to call from several threads; raises BatchRefused."""


def classify(photos: Sequence[Photo], ask: Callable[[Sequence[bytes]], Answer]) -> list[Prediction]:
    """Classify a batch; a photo that cannot be decoded does not fail the others."""
    readable = [photo for photo in photos if not photo.error]
    answers = iter(_classify(readable, ask))
    return [
        Prediction(photo.path, error=photo.error, id=photo.id) if photo.error else next(answers)
        for photo in photos
    ]


def _classify(photos, ask) -> list[Prediction]:
    if not photos:
        return []
    try:
        answer = ask([photo.encoded for photo in photos])
    except BatchRefused as refused:
        if len(photos) == 1:
            return [Prediction(photos[0].path, error=str(refused), id=photos[0].id)]
        # Halving finds the bad one of n in about 2 log n calls, and mends a batch that is
        # too large for the memory as well.
        half = len(photos) // 2
        return _classify(photos[:half], ask) + _classify(photos[half:], ask)
    return [
        Prediction(photo.path, tuple(classes), tuple(map(float, scores)), id=photo.id)
        if valid
        else Prediction(photo.path, error=_DAMAGED, id=photo.id)
        for photo, classes, scores, valid in zip(photos, *answer, strict=True)
    ]


def classify_all(
    batches: Iterable[Sequence[Photo]], model: Model, in_flight: int
) -> Iterator[list[Prediction]]:
    """Classify batches, `in_flight` at a time; yield each one's predictions in their order.

    No batch is taken before there is room for it. What a batch raises is raised in its turn.
    """
    with ThreadPoolExecutor(in_flight, thread_name_prefix="classify") as pool:
        pending = deque()
        try:
            for batch in batches:
                pending.append(pool.submit(classify, batch, model.ask))
                if len(pending) >= in_flight:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
