"""Classifiers of one model in several formats, and photos, in; how far they agree out."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fashion_keras.data.schema import MISSING, DatasetInfo
from fashion_keras.errors import UserError

Classifier = Callable[..., Mapping[str, np.ndarray]]  # of photos, or photos and titles' numbers
BATCH = 32
MOST_LOST = 1.0  # points of the headline's accuracy that a smaller model may lose
_SINGLES = 30  # photos that are timed alone


@dataclasses.dataclass(frozen=True)
class Photos:
    """Photos as the model takes them, uint8 `[N, H, W, 3]`, and each head's class indices.

    `truth` maps a head to int64 `[N]`, -1 where a product has no label. `title_ids` are the
    numbers of the products' titles, for a model that takes them.
    """

    split: str
    images: np.ndarray
    truth: dict[str, np.ndarray]
    title_ids: np.ndarray | None = None

    def given(self, start: int, end: int) -> tuple[np.ndarray, ...]:
        """Return what a classifier is given of some products."""
        some = (self.images,) if self.title_ids is None else (self.images, self.title_ids)
        return tuple(part[start:end] for part in some)


def load_photos(
    records: str | os.PathLike,
    split: str,
    labels: Mapping[str, Sequence[str]],
    image_size: tuple[int, int],
    resize: str,
    count: int,
) -> Photos:
    """Read the first `count` photos of a split, or as many as there are.

    Raises `UserError` where the records have other classes than `labels`, a head to its names.
    """
    from fashion_keras.data.pipeline import make_dataset

    info = DatasetInfo.load(records)
    for label, classes in labels.items():
        if info.vocabulary(label) != tuple(classes):
            raise UserError(
                f"{records} has other {label} classes than the model was trained on: "
                "give --data the records that it was trained on"
            )
    heads = list(labels)
    dataset = make_dataset(
        records, split, heads, image_size, 256, resize=resize, cache="none"
    ).unbatch()
    images: list[np.ndarray] = []
    truth: dict[str, list[int]] = {label: [] for label in heads}
    for image, one_hot in dataset.take(count).as_numpy_iterator():
        images.append(image)
        for label in heads:
            row = one_hot[label]
            truth[label].append(int(row.argmax()) if row.any() else MISSING)
    return Photos(split, np.stack(images), {label: np.array(t) for label, t in truth.items()})


def measure(classify: Classifier, photos: Photos, num_bytes: int) -> dict:
    """Run a classifier over the photos and score it.

    Returns `bytes`; `photos_per_second`, in batches of 32; `milliseconds_alone`, the median of a
    photo by itself; `accuracy` and `macro_f1` of each head; and `predictions`, int64 `[N]` a
    head, to be taken out before it is stored.
    """
    from sklearn.metrics import accuracy_score, f1_score

    predictions, seconds = _timed(classify, photos)
    alone = []
    for index in range(min(_SINGLES, len(photos.images))):
        start = time.perf_counter()
        classify(*photos.given(index, index + 1))
        alone.append(time.perf_counter() - start)
    result = {
        "bytes": num_bytes,
        "photos_per_second": round(len(photos.images) / seconds, 1),
        "milliseconds_alone": round(1000 * float(np.median(alone)), 2),
        "accuracy": {},
        "macro_f1": {},
        "predictions": predictions,
    }
    for label, truth in photos.truth.items():
        known = truth != MISSING
        if not known.any():
            continue
        right, said = truth[known], predictions[label][known]
        result["accuracy"][label] = round(float(accuracy_score(right, said)), 6)
        # Over the classes that occur among labels or predictions, as in evaluation.
        score = f1_score(right, said, average="macro", zero_division=0)
        result["macro_f1"][label] = round(float(score), 6)
    return result


def agreement(one: dict, other: dict) -> dict[str, float]:
    """Return, of each head, the share of photos that two results of `measure` class alike."""
    return {
        label: round(float(np.mean(classes == other["predictions"][label])), 6)
        for label, classes in one["predictions"].items()
    }


def points_lost(reference: dict, result: dict, label: str) -> float:
    """Return how many points of accuracy `result` is below `reference`; negative if above."""
    return 100 * (reference["accuracy"][label] - result["accuracy"][label])


def table(results: Mapping[str, dict], label: str) -> str:
    """Lay out results by name, each with `agreement` with the first, as lines of text."""
    width = max(len(name) for name in results)
    lines = [
        f"{'':<{width}}      size  accuracy  macro-F1  agreement  photos/s  alone",
    ]
    for name, result in results.items():
        # Photos without this label say nothing of it but whether two models agree.
        right, macro = (
            f"{result[score][label]:.4f}" if label in result[score] else f"{'–':>6}"
            for score in ("accuracy", "macro_f1")
        )
        lines.append(
            f"{name:<{width}}  {result['bytes'] / 1e6:5.1f} MB    {right}"
            f"    {macro}    {result['agreement'][label]:7.2%}"
            f"  {result['photos_per_second']:8.1f}  {result['milliseconds_alone']:.1f} ms"
        )
    return "\n".join(lines)


def _timed(classify, photos):
    """Return the predicted classes of each head, and the seconds that it took."""
    classify(*photos.given(0, BATCH))  # the first call of a shape is slow
    found: dict[str, list[np.ndarray]] = {}
    start = time.perf_counter()
    for begin in range(0, len(photos.images), BATCH):
        for label, logits in classify(*photos.given(begin, begin + BATCH)).items():
            found.setdefault(label, []).append(np.argmax(logits, axis=1))
    seconds = time.perf_counter() - start
    return {label: np.concatenate(parts) for label, parts in found.items()}, seconds
