"""A photo, a title or both in; what the bundle says of it, as values and as HTML, out."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable

from fashion_keras.data.photo import encode
from fashion_keras.data.title_terms import as_title
from fashion_keras.errors import UserError
from fashion_keras.pages import MAX_BYTES
from fashion_keras.pages.gallery import Gallery
from fashion_keras.serving.bundle import Bundle, Heads
from fashion_keras.serving.layout import seen
from fashion_keras.serving.served_photo import served_photo
from fashion_keras.text import printable, templates

NUM_NEIGHBOURS = 6
_LONGEST_NAME = 200  # characters of a file's name that are shown
_LONGEST_TITLE = 300  # likewise
_SHOWN_SIDE = 320  # pixels; twice what the page shows, for fine screens
_TEMPLATES = templates(__package__)
BY = {"photo": "the photo", "both": "photo and title", "title": "the title alone"}
# A photo's bytes and the class asked about, an index of the headline's, to a heat map's data URI.
Look = Callable[[bytes, int], str]


@dataclasses.dataclass
class Answer:
    """What is shown of one file or title: `error` alone, or everything else.

    `title` is as much of it as is shown; `sees` what the answer goes by, one of `run.SEES`;
    `shown` and `heat` are data URIs, empty where there is no photo; `heads` as `Bundle.classify`
    returns them; `accepted` is None where the bundle has no threshold for what it sees;
    `neighbours` are dicts of `Neighbour`'s fields, with `photo` as a data URI.
    """

    name: str
    title: str = ""
    sees: str = "photo"
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


def answer_photo(
    bundle: Bundle,
    name: str,
    data: bytes | None,
    title: str = "",
    *,
    gallery: Gallery | None = None,
    look: Look | None = None,
) -> Answer:
    """Classify a photo's bytes, with the product's title, or by its title alone.

    A file that is no photo gets a sentence in `error`. `data` is None for a title alone; a title
    without letters and digits is none. With `gallery` a photo gets its nearest products, with
    `look` its heat map.
    """
    title = as_title([title.strip()])
    answer = Answer(printable(name)[:_LONGEST_NAME], _shortened(printable(title)))
    answer.sees = seen(data, title)
    encoded = None
    if data is not None:
        try:
            encoded, answer.shown = read_upload(data)
        except UserError as error:
            answer.error = str(error)
            return answer
    elif not title:
        answer.error = "This title has neither a letter nor a digit: there is nothing to go by."
        return answer
    heads = bundle.classify(encoded, title)
    if heads is None:
        answer.error = "This photo is damaged: it begins well but cannot be decoded."
        return answer
    answer.heads = heads
    best, score = answer.best
    threshold = bundle.info.thresholds(answer.sees).get(bundle.info.label)
    if threshold is not None:
        answer.accepted = score >= threshold
    if encoded is not None and gallery is not None:
        vectors, _ = bundle.embed([encoded])
        answer.neighbours = [
            {**dataclasses.asdict(product), "photo": data_uri(product.photo)}
            for product in gallery.nearest(vectors[0], NUM_NEIGHBOURS)
        ]
    if encoded is not None and look is not None:
        answer.heat = look(encoded, bundle.info.labels[bundle.info.label].index(best))
    return answer


def _shortened(title: str) -> str:
    return title if len(title) <= _LONGEST_TITLE else f"{title[:_LONGEST_TITLE]}…"


def answer_html(bundle: Bundle, answer: Answer) -> str:
    """Return an answer as HTML, with everything that came from outside escaped."""
    return _TEMPLATES.get_template("answer.html").render(
        answer=answer,
        by=BY[answer.sees],
        thresholds=bundle.info.thresholds(answer.sees),
        headline=bundle.info.label,
        percent=percent,
    )


def percent(share: float) -> str:
    """Return a share as the page writes it, with one decimal."""
    # Rounded down, so that a score just below the threshold does not look like it.
    return f"{int(share * 1000 + 1e-6) / 10:.1f}%"


def read_upload(data: bytes) -> tuple[bytes, str]:
    """Return a photo's JPEG or PNG bytes, and a small upright picture of it as a data URI.

    Raises `UserError`, a sentence that does not name the file, where it is no photo that can be
    read, as `data.photo` decides, or larger than 32 MiB.
    """
    if len(data) > MAX_BYTES:
        raise UserError(f"This file is larger than {MAX_BYTES // 2**20} MiB.")
    try:
        encoded, _ = served_photo(data)
        shown, _, _ = encode(data, _SHOWN_SIDE)
    except UserError as error:
        raise UserError(f"This photo cannot be read: {error}.") from error
    return encoded, data_uri(shown)


def data_uri(encoded: bytes) -> str:
    """Return JPEG or PNG bytes as `data:image/…;base64,…`."""
    kind = "png" if encoded.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
