"""Dropped files in; what the bundle says of each, as values and as the page's HTML, out."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from fashion_keras.errors import UserError
from fashion_keras.serving.bundle import Bundle, Heads
from fashion_keras.serving.gallery import Gallery
from fashion_keras.serving.uploads import data_uri, read_upload

NUM_NEIGHBOURS = 6
MAX_PHOTOS = 12  # at once; each further one is named and left out
# Photo bytes and the class asked about, an index of the headline's, to heat maps as data URIs.
Look = Callable[[Sequence[bytes], Sequence[int]], Sequence[str]]


@dataclasses.dataclass
class Answer:
    """What is shown of one file: `error` alone, or everything else.

    `shown` and `heat` are data URIs; `heads` as `Bundle.classify` returns them; `accepted` is None
    where the bundle has no threshold; `neighbours` are dicts of `Neighbour`'s fields, with `photo`
    as a data URI.
    """

    name: str
    error: str = ""
    shown: str = ""
    heads: Heads = dataclasses.field(default_factory=dict)
    accepted: bool | None = None
    heat: str = ""
    neighbours: list[dict] = dataclasses.field(default_factory=list)

    @property
    def best(self) -> tuple[str, float]:
        """The headline's class and its probability."""
        return next(iter(self.heads.values()))[0]


def answer_files(
    bundle: Bundle,
    paths: Sequence[Path],
    *,
    gallery: Gallery | None = None,
    look: Look | None = None,
) -> list[Answer]:
    """Classify files, one bad file sparing the others; at most the first `MAX_PHOTOS`.

    With `gallery` each gets its nearest products, with `look` its heat map.
    """
    answers, encoded = [], {}
    for path in map(Path, paths[:MAX_PHOTOS]):
        answer = Answer(path.name)
        answers.append(answer)
        try:
            encoded[len(answers) - 1], answer.shown = read_upload(path)
        except UserError as error:
            answer.error = str(error)
    for index, heads in zip(encoded, bundle.classify(list(encoded.values())), strict=True):
        if heads is None:
            answers[index].error = "This photo is damaged: it begins well but cannot be decoded."
            continue
        answers[index].heads = heads
        if bundle.info.accept is not None:
            answers[index].accepted = answers[index].best[1] >= bundle.info.accept
    good = [index for index in encoded if not answers[index].error]
    if good and gallery is not None:
        vectors, _ = bundle.embed([encoded[index] for index in good])
        for index, vector in zip(good, vectors, strict=True):
            answers[index].neighbours = [
                {**dataclasses.asdict(product), "photo": data_uri(product.photo)}
                for product in gallery.nearest(vector, NUM_NEIGHBOURS)
            ]
    if good and look is not None:
        classes = bundle.info.labels[bundle.info.label]
        asked = [classes.index(answers[index].best[0]) for index in good]
        heats = look([encoded[index] for index in good], asked)
        for index, heat in zip(good, heats, strict=True):
            answers[index].heat = heat
    return answers


def answers_html(bundle: Bundle, answers: Sequence[Answer], num_files: int) -> str:
    """Return the answers as HTML, with everything that came from outside escaped."""
    note = ""
    if num_files > MAX_PHOTOS:
        note = f"These are the first {MAX_PHOTOS} of {num_files} files: drop the others next."
    return _template().render(
        answers=answers,
        note=note,
        threshold=bundle.info.accept,
        headline=bundle.info.label,
        percent=percent,
    )


def percent(share: float) -> str:
    """Return a share as the page writes it, with one decimal."""
    # Rounded down, so that a score just below the threshold does not look like it.
    return f"{int(share * 1000 + 1e-6) / 10:.1f}%"


@functools.cache
def _template():
    text = resources.files(__package__).joinpath("templates/answers.html").read_text("utf-8")
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    return environment.from_string(text)
