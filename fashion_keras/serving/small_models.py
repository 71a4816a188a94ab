"""A run and a format in; a LiteRT or ONNX model, measured beside Keras's, in its own folder out."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.metrics import accuracy_score, f1_score

from fashion_keras.data.pipeline import make_dataset
from fashion_keras.data.schema import MISSING, DatasetInfo
from fashion_keras.data.title_terms import BUCKETS, COUNTS
from fashion_keras.errors import UserError
from fashion_keras.io import write_json
from fashion_keras.models.title_model import title_columns
from fashion_keras.quiet import notes_kept_off
from fashion_keras.run import BEST_MODEL_FILE, LABELS_FILE, TITLE_FILE, Run
from fashion_keras.serving.layout import (
    ASSETS,
    ModelInfo,
    new_version,
    publish,
    version_scratch,
)
from fashion_keras.serving.model_card import CARD_FILE, render
from fashion_keras.serving.small_formats import (
    INT8,
    TITLE_FORMATS,
    classifier,
    litert_model,
    onnx_model,
)

CHECK_FILE = "check.json"
KERAS = "keras"
BATCH = 32
MOST_LOST = 1.0  # points of the headline's accuracy that a smaller model may lose
_SINGLES = 30  # photos that are timed alone


@dataclasses.dataclass(frozen=True)
class Photos:
    """Photos as the model takes them, uint8 `[N, H, W, 3]`, and each head's class indices.

    `truth` maps a head to int64 `[N]`, -1 where a product has no label. `title_ids` are the
    numbers of the products' titles, for a model that takes them.
    """

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
    info = DatasetInfo.load(records)
    for label, classes in labels.items():
        if info.vocabulary(label) != tuple(classes):
            raise UserError(
                f"{records} has other {label} classes than the model was trained on: "
                "give --data the records that it was trained on"
            )
    dataset = make_dataset(
        records, split, list(labels), image_size, 256, resize=resize, cache="none"
    )
    found = list(dataset.unbatch().take(count).as_numpy_iterator())
    truth = {
        label: np.array([row[label].argmax() if row[label].any() else MISSING for _, row in found])
        for label in labels
    }
    return Photos(np.stack([image for image, _ in found]), truth)


def convert(
    run: Run, format: str, representative: np.ndarray | None = None, *, sees: str = "photo"
) -> bytes:
    """Return the run's model in a format of `SMALL_FORMATS`.

    `representative` are training photos, uint8 `[N, H, W, 3]`, for INT8. `sees` is `photo`, or
    `both` for photo and title in a format of `TITLE_FORMATS`. Raises `UserError` where it cannot
    be converted, or what converts it is not installed.
    """
    with notes_kept_off():
        if format == "onnx":
            return onnx_model(run, sees)
        return litert_model(run, representative if format == INT8 else None, sees)


def check(run: Run, models: Mapping[str, bytes], photos: Photos) -> dict[str, dict]:
    """Measure the Keras model and each converted one on the same photos, one after another.

    Where the photos have titles' numbers beside them, the models are those of both. Returns
    `measure`'s result, with `agreement` with the Keras model, by format; the Keras model comes
    first, under `keras`.
    """
    sees = "photo" if photos.title_ids is None else "both"
    model = run.predictor_for(sees)
    predictor = tf.function(
        lambda *given: model(list(given) if sees == "both" else given[0], training=False)
    )

    def keras_classifier(*given):
        return {label: logits.numpy() for label, logits in predictor(*given).items()}

    file = run.path / BEST_MODEL_FILE if run.path.is_dir() else run.path
    used = [file, file.parent / TITLE_FILE] if sees == "both" else [file]
    size = sum(path.stat().st_size for path in used if path.is_file())
    results = {KERAS: measure(keras_classifier, photos, size)}
    for format, model in models.items():
        with notes_kept_off():
            classify = classifier(format, model)
            classify(*photos.given(0, 1))
        results[format] = measure(classify, photos, len(model))
    for result in results.values():
        result["agreement"] = agreement(results[KERAS], result)
    for result in results.values():
        del result["predictions"]
    return results


def measure(classify: Callable, photos: Photos, num_bytes: int) -> dict:
    """Run a classifier over the photos and score it.

    Returns `bytes`; `photos_per_second`, in batches of 32; `milliseconds_alone`, the median of a
    photo by itself; `accuracy` and `macro_f1` of each head; and `predictions`, int64 `[N]` a
    head, to be taken out before it is stored.
    """
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


def results_table(results: Mapping[str, dict], label: str) -> str:
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


def write_small_model(
    run: Run,
    folder: Path,
    files: Mapping[str, bytes],
    checked: dict | None,
    version: int | None,
    top: int = 5,
) -> Path:
    """Write `folder/<version>/`: the models by file, their card, class names, what was checked.

    Written whole or not at all; `version` defaults to one above the highest present; `top` classes
    of a photo are given. Returns the version's folder. Raises `UserError` where the version is
    there already.
    """
    new_version(folder, version)  # a wrong one is answered before the work
    with_titles = any(file in files for file in TITLE_FORMATS.values())
    takes = ("photo", "both") if with_titles else ("photo",)
    info = dataclasses.replace(ModelInfo.of(run, top), takes=takes)
    with version_scratch(folder) as scratch:
        made = scratch / "model"
        (made / ASSETS).mkdir(parents=True)
        for file, model in files.items():
            (made / file).write_bytes(model)
        (made / CARD_FILE).write_text(small_card(run, list(files)), encoding="utf-8")
        write_json(made / ASSETS / LABELS_FILE, run.labels)
        info.save(made)
        if checked is not None:
            write_json(made / CHECK_FILE, checked)
        return publish(made, folder, version)


def small_card(run: Run, files: Sequence[str]) -> str:
    """Return the card that lies beside a run's small models, Markdown; `files` are their names."""
    titled = [file for file in files if file in TITLE_FORMATS.values()]
    columns = title_columns(run.title) if titled else 0
    height, width = run.image_size
    return render(
        "small_card.md.j2",
        run=run,
        files=files,
        titled=titled,
        columns=columns,
        num_ids=columns * sum(COUNTS),
        buckets=BUCKETS,
        height=height,
        width=width,
    )
