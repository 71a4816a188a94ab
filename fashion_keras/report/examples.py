"""Predictions in; the photos worth a look out: confusions, sure mistakes, unsure hits."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
from collections.abc import Collection

import numpy as np
from matplotlib import colormaps
from PIL import Image

from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.features import read_photos
from fashion_keras.run import Run


def surest_mistakes(
    run: Run, records: str | os.PathLike, predictions: Predictions, *, most: int = 32
) -> tuple[np.ndarray, list[list[str]]]:
    """Return the surest mistakes of the headline label, the surest first.

    Returns the photos as the model saw them, uint8 `[M, H, W, 3]` with M at most `most`, and
    for each its id, its label and what the model said with its probability.
    """
    label, names = run.label, run.labels[run.label]
    truth, said = predictions.truth[label], predictions.prediction(label)
    probability = predictions.confidence(label)
    chosen = sure_mistakes(predictions, label, most)
    photos = load_photos(run, records, predictions.split, [predictions.ids[i] for i in chosen])
    captions = [
        [
            predictions.ids[i],
            f"label {names[truth[i]]}",
            f"model {names[said[i]]} {probability[i]:.2f}",
        ]
        for i in chosen
    ]
    height, width = run.image_size
    pixels = [photos[predictions.ids[i]] for i in chosen]
    return np.array(pixels, np.uint8).reshape(len(pixels), height, width, 3), captions


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
