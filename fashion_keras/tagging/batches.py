"""Batches of photos and a model's labels in; a prediction a photo, in order, out.

Imports no TensorFlow: a model in this process and one behind a server are asked alike.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import NamedTuple, Protocol

from fashion_keras.data.schema import did_you_mean
from fashion_keras.errors import UserError
from fashion_keras.serving.layout import INPUT, SIGNATURES, TITLE
from fashion_keras.tagging.prediction import Prediction, Ranking
from fashion_keras.tagging.sources import Photo

VALID = "valid"
HEADLINE = "class"  # what the headline is called where only a server knows the model
_PATIENCE = 5.0  # seconds for what is in flight, where the rest is no longer wanted
_DAMAGED = "damaged: its header is fine, its pixels cannot be decoded"


class Head(NamedTuple):
    """A label, and the signature's outputs that hold its best classes and their scores."""

    label: str
    classes: str
    scores: str


class Answer(NamedTuple):
    """What a model says of N photos: valid `[N]`, and by label two `[N][k]`, best first.

    They are class names and scores.
    """

    labels: Mapping[str, tuple[Sequence[Sequence[str]], Sequence[Sequence[float]]]]
    valid: Sequence[int]


def answer_of(heads: Iterable[Head], outputs: Mapping[str, Sequence]) -> Answer:
    """Return what the rows of a signature's outputs say, of each head, by the outputs' names."""

    def text(name: bytes | str) -> str:
        return name if isinstance(name, str) else name.decode("utf-8")

    labels = {
        head.label: ([[*map(text, row)] for row in outputs[head.classes]], outputs[head.scores])
        for head in heads
    }
    return Answer(labels, outputs[VALID])


class BatchRefused(Exception):
    """A batch failed as a whole; its message is the reason, without the batch's size."""


class Model(Protocol):
    """What products are classified with.

    Attributes:
        heads: what it is asked for and answers with, in this order.
    """

    heads: tuple[Head, ...]

    def ask(self, sees: str, *given: Sequence[bytes] | Sequence[str]) -> Answer:
        """Classify products by photo, title or both, as `sees` says.

        `given` are encoded photos, titles, or both in this order. Safe to call from several
        threads; raises BatchRefused.
        """

    def close(self) -> None:
        """Have calls that wait for something give up; by default none does."""
        return


Ask = Callable[..., Answer]


def heads_of(labels: Sequence[str], wanted: Sequence[str] | None = None) -> tuple[Head, ...]:
    """Return the wanted heads of a model, in that order; all of them by default.

    `labels` are the model's, the headline's first. Raises `UserError` for one that it has not.
    """
    for label in wanted or ():
        if label not in labels:
            raise UserError(
                f"--label {label}: the model's labels are {', '.join(labels)}"
                + did_you_mean(label, labels)
            )
    prefixes = {label: f"{label}_" for label in labels} | {labels[0]: ""}
    return tuple(
        Head(label, f"{prefixes[label]}classes", f"{prefixes[label]}scores")
        for label in dict.fromkeys(wanted or labels)
    )


def served_labels(outputs: Collection[str]) -> tuple[str, ...]:
    """Return the labels whose classes and scores are among a signature's outputs.

    The headline's comes first. It is called `HEADLINE`, for its outputs do not name it.
    """
    further = sorted(
        label
        for label in (name.removesuffix("_classes") for name in outputs)
        if {f"{label}_classes", f"{label}_scores"} <= set(outputs)
    )
    headline = HEADLINE
    while headline in further:
        headline += "_"
    return (headline, *further)


def output_names(heads: Sequence[Head]) -> list[str]:
    """Return the outputs that the heads are read from."""
    return [VALID, *(name for head in heads for name in (head.classes, head.scores))]


def missing(
    heads: Sequence[Head], sees: str, inputs: Collection[str], outputs: Collection[str]
) -> list[str]:
    """Return which of what is asked of a signature it does not have."""
    lost = [name for name in SIGNATURES[sees].inputs if name not in inputs]
    return lost + [name for name in output_names(heads) if name not in outputs]


def no_titles(model: object) -> UserError:
    """Return what is said where products have titles and the model takes none."""
    return UserError(
        f"{model} takes no titles: leave --title-column out, or give the model titles with "
        "fashion-keras retrain --part title, and export it again"
    )


def thresholds_of(
    labels: Sequence[str],
    headline: str,
    fitted: Mapping[str, float],
    given: Mapping[str | None, float],
) -> dict[str, float]:
    """Return the threshold of each label that is written and has one.

    Those that are given come before the fitted ones; None stands for the headline. Raises
    `UserError` where one is given for a label that is not written.
    """
    named = {headline if label is None else label: share for label, share in given.items()}
    for label in named:
        if label not in labels:
            raise UserError(
                f"--threshold is given for {label}: the labels that are written are "
                + ", ".join(labels)
                + did_you_mean(label, labels)
            )
    found = {**fitted, **named}
    return {label: found[label] for label in labels if label in found}


def classify(photos: Sequence[Photo], ask: Ask) -> list[Prediction]:
    """Classify a batch; a photo that cannot be decoded does not fail the others."""
    found: dict[int, Prediction] = {}
    for sees in SIGNATURES:
        rows = [row for row, photo in enumerate(photos) if photo.sees == sees and not photo.error]
        answers = _classify([photos[row] for row in rows], sees, ask)
        found |= dict(zip(rows, answers, strict=True))
    return [
        found.get(row) or Prediction(photo.path, error=photo.error, id=photo.id)
        for row, photo in enumerate(photos)
    ]


def _classify(photos, sees, ask) -> list[Prediction]:
    if not photos:
        return []
    known = {INPUT: [photo.encoded for photo in photos], TITLE: [photo.title for photo in photos]}
    try:
        answer = ask(sees, *(known[name] for name in SIGNATURES[sees].inputs))
    except BatchRefused as refused:
        if len(photos) == 1:
            return [Prediction(photos[0].path, error=str(refused), id=photos[0].id)]
        # Halving finds the bad one of n in about 2 log n calls, and mends a batch that is
        # too large for the memory as well.
        half = len(photos) // 2
        return _classify(photos[:half], sees, ask) + _classify(photos[half:], sees, ask)
    # From two lists a label to a ranking a photo and label.
    rankings = (
        [
            Ranking(tuple(names), tuple(map(float, scores)))
            for names, scores in zip(*pair, strict=True)
        ]
        for pair in answer.labels.values()
    )
    return [
        Prediction(photo.path, dict(zip(answer.labels, found, strict=True)), "", photo.id, sees)
        if valid
        else Prediction(photo.path, error=_DAMAGED, id=photo.id)
        for photo, valid, *found in zip(photos, answer.valid, *rankings, strict=True)
    ]


def classify_all(
    batches: Iterable[Sequence[Photo]], model: Model, in_flight: int
) -> Iterator[list[Prediction]]:
    """Classify batches, `in_flight` at a time; yield each one's predictions in their order.

    No batch is taken before there is room for it. What a batch raises is raised in its turn. Ended
    early, it closes the model and leaves behind what does not answer in seconds.
    """
    pending: deque[Future] = deque()
    try:
        for batch in batches:
            pending.append(_start(classify, batch, model.ask))
            if len(pending) >= in_flight:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BaseException:
        model.close()
        wait(pending, _PATIENCE)
        raise


def _start(function, *arguments) -> Future:
    """Call a function in a thread of its own, which a process that ends does not wait for.

    A pool's threads it would wait for, and so Ctrl-C for a server that hangs.
    """
    future: Future = Future()

    def work():
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="classify", daemon=True).start()
    return future
