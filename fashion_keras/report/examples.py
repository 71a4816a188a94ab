"""Predictions in; the photos worth a look, and what the model goes by on them, out.

What it goes by is found by covering places and asking again. That needs no gradient and no look
inside, so it works with any architecture, photo size and backend. Grad-CAM does not: its map has
the cells of the backbone's last output, 2 × 1 at 48×32 pixels, and paints the whole product.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from PIL import Image
from scipy.special import logsumexp

from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.features import read_photos
from fashion_keras.run import Run

if TYPE_CHECKING:
    import keras


def surest_mistakes(
    run: Run, records: str | os.PathLike, predictions: Predictions, *, most: int = 32
) -> tuple[np.ndarray, list[list[str]]]:
    """Return the surest mistakes of the headline label, the surest first.

    Returns the photos as the model saw them, uint8 `[M, H, W, 3]` with M at most `most`, and
    for each its id, its label and what the model said with its probability.
    """
    chosen = sure_mistakes(predictions, run.label, most)
    mistakes = predictions.table(run.label, run.labels[run.label]).iloc[chosen]
    photos = load_photos(run, records, predictions.split, mistakes["id"])
    captions = [
        [row["id"], f"label {row['truth']}", f"model {row['prediction']} {row['probability']:.2f}"]
        for row in mistakes.to_dict("records")
    ]
    pixels = [photos[identifier] for identifier in mistakes["id"]]
    return np.array(pixels, np.uint8).reshape(len(pixels), *run.image_size, 3), captions


def load_photos(
    run: Run, records: str | os.PathLike, split: str, ids: Collection[str]
) -> dict[str, np.ndarray]:
    """Return the photos of some products of a split, uint8 `[H, W, 3]` by id.

    Reads the split from its start until all are found; ids that it does not hold are left out.
    """
    wanted = set(ids)
    found: dict[str, np.ndarray] = {}
    if not wanted:
        return found
    for images, _, batch_ids in read_photos(run, records, split):
        for row, id in enumerate(batch_ids.numpy()):
            if id.decode() in wanted:
                found[id.decode()] = images[row].numpy()
        if len(found) == len(wanted):
            break
    return found


HEIGHT = 160  # pixels; twice what the page shows, for fine screens
_WIDEST = 2 * HEIGHT
_QUALITY = 82
_HEAT = colormaps["YlOrRd"]
_DEEPEST = 0.75


def thumbnail(photo: np.ndarray, heat: np.ndarray | None = None) -> str:
    """Return a photo, uint8 `[H, W, 3]`, as `data:image/jpeg;base64,…` of `HEIGHT` pixels.

    With `heat`, float `[h, w]` in [0, 1], the photo turns grey and the map glows over it.
    """
    height, width = photo.shape[:2]
    size = (min(max(round(width * HEIGHT / height), 1), _WIDEST), HEIGHT)
    picture = Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS)
    if heat is not None:
        picture = _glow(picture, heat)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _glow(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    grown = Image.fromarray(np.asarray(heat, np.float32)).resize(
        picture.size, Image.Resampling.BICUBIC
    )
    strength = np.clip(np.asarray(grown), 0, 1)
    grey = np.asarray(picture.convert("L"), np.float64)[..., None]
    colour = _HEAT(0.2 + 0.6 * strength)[..., :3] * 255
    # What hardly counts stays clear, so that the photo can be seen.
    opacity = _DEEPEST * strength[..., None] ** 1.5
    mixed = grey * (1 - opacity) + colour * opacity
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Photos of one class that were taken for another.

    `truth` and `prediction` are class indices, `count` the photos, `share` their share of the
    true class's photos, `rows` int64 the surest of them, as positions in the predictions.
    """

    truth: int
    prediction: int
    count: int
    share: float
    rows: np.ndarray


def sure_mistakes(predictions: Predictions, label: str, most: int) -> np.ndarray:
    """Return the rows that were predicted wrongly, the most confident first, int64 `[≤ most]`."""
    wrong = np.flatnonzero((predictions.truth[label] >= 0) & ~predictions.is_right(label))
    return wrong[np.argsort(-predictions.confidence(label)[wrong], kind="stable")][:most]


def unsure_hits(predictions: Predictions, label: str, most: int) -> np.ndarray:
    """Return the rows that were predicted rightly, the least confident first, int64 `[≤ most]`."""
    right = np.flatnonzero(predictions.is_right(label))
    return right[np.argsort(predictions.confidence(label)[right], kind="stable")][:most]


def largest_confusions(
    predictions: Predictions, label: str, *, most: int = 20, examples: int = 6
) -> list[Confusion]:
    """Return the pairs of classes that were confused most often, by count, then by share."""
    truth, said = predictions.truth[label], predictions.prediction(label)
    wrong = sure_mistakes(predictions, label, len(truth))
    pairs, counts = np.unique(
        np.stack([truth[wrong], said[wrong]], axis=1), axis=0, return_counts=True
    )
    found = []
    for (true, predicted), count in zip(pairs, counts, strict=True):
        rows = wrong[(truth[wrong] == true) & (said[wrong] == predicted)]
        share = count / (truth == true).sum()
        found.append(
            Confusion(int(true), int(predicted), int(count), float(share), rows[:examples])
        )
    found.sort(key=lambda pair: (-pair.count, -pair.share, pair.truth, pair.prediction))
    return found[:most]


# ---- where the model looked ----

CELLS = 8  # along a photo's shorter side
_MOST_CELLS = 16  # along its longer side
_SAME = 10  # of 255: a JPEG's white background is not everywhere the same white
_SAYS_SOMETHING = 0.1  # of the log-odds, 10% of the odds
_AS_IT_IS = -1  # in the place of a patch


def occlusion_maps(
    model: keras.Model,
    label: str,
    images: np.ndarray,
    classes: Sequence[int],
    *,
    batch_size: int = 64,
) -> np.ndarray:
    """Return for each photo where covering it makes the model less sure of a class.

    A square patch, two cells wide, is moved over the photo from cell to cell (Zeiler and Fergus,
    ECCV 2014, section 4.2). The map holds how far the log-odds of the class fall. The patch has
    the colour of the photo's border, which of a product on white leaves out a piece of it.

    Args:
        model: from photos to a dict of logits; a run's `model`.
        label: the head that is asked.
        images: uint8 `[N, H, W, 3]`.
        classes: the class asked about, one a photo: an index of the head.

    Returns:
        float32 `[N, h, w]` in [0, 1], `CELLS` or fewer cells along the shorter side, each photo's
        largest value 1. All 0 where covering any place makes next to no difference.
    """
    images = np.asarray(images)
    patches, shape = _patches(*images.shape[1:3])
    colours = _border_colours(images)
    asked = [
        (photo, patch)
        for photo in range(len(images))
        for patch in (_AS_IT_IS, *_worth_covering(images[photo], patches, colours[photo]))
    ]
    # What is not asked about has only the patch's colour, so covering it changes nothing.
    odds = np.full((len(images), len(patches)), np.nan)
    as_it_is = np.zeros((len(images), 1))
    for start in range(0, len(asked), batch_size):
        part = asked[start : start + batch_size]
        covered = [_cover(images[n], patches, patch, colours[n]) for n, patch in part]
        # Always as many: a model is compiled anew for each number of photos.
        batch = np.stack(covered + covered[:1] * (batch_size - len(part)))
        logits = np.asarray(model.predict_on_batch(batch)[label], np.float64)
        for (photo, patch), row in zip(part, logits, strict=False):
            place = as_it_is[photo] if patch == _AS_IT_IS else odds[photo]
            chosen = classes[photo]
            place[patch] = row[chosen] - logsumexp(np.delete(row, chosen))  # log-odds
    fall = np.nan_to_num(np.maximum(as_it_is - odds, 0)).astype(np.float32)
    peak = fall.max(axis=1, keepdims=True, initial=0)
    maps = np.divide(fall, peak, out=np.zeros_like(fall), where=peak > _SAYS_SOMETHING)
    return maps.reshape(len(images), *shape)


def _patches(height, width):
    """Return a slice of rows and one of columns a cell, and how many cells there are each way."""
    size = max(min(height, width) / CELLS, max(height, width) / _MOST_CELLS)
    rows, columns = (max(round(side / size), 1) for side in (height, width))

    def along(side, cells):
        centres = (np.arange(cells) + 0.5) * side / cells
        return [
            slice(max(round(centre - size), 0), round(centre + size)) for centre in centres.tolist()
        ]

    patches = [(r, c) for r in along(height, rows) for c in along(width, columns)]
    return patches, (rows, columns)


def _border_colours(images):
    """Return the median colour of each photo's outermost pixels, `[N, 3]`."""
    sides = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
    return np.median(np.concatenate(sides, axis=1), axis=1).astype(images.dtype)


def _worth_covering(image, patches, colour):
    differs = (np.abs(image.astype(np.int16) - colour) > _SAME).any(axis=2)
    return [number for number, place in enumerate(patches) if differs[place].any()]


def _cover(image, patches, patch, colour):
    if patch == _AS_IT_IS:
        return image
    covered = image.copy()
    covered[patches[patch]] = colour
    return covered
