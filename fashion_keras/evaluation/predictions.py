"""A trained model and a split of the records in; truth and logits of every photo out, as tables."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import softmax

from fashion_keras.data.pipeline import SoftTargets, class_indices
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.title_terms import read_terms
from fashion_keras.errors import UserError
from fashion_keras.features import read_photos
from fashion_keras.progress import open_bar
from fashion_keras.run import Run, load_run


def predictions_parquet(
    predictions: Predictions,
    label: str,
    classes: Sequence[str],
    embeddings: np.ndarray | None = None,
) -> bytes:
    """Return a Parquet file with a row a photo, in the records' order.

    Columns: `id`, `truth` (null without a label) and `prediction` as text, `probability` of the
    prediction, `probabilities` of every class and, where given, the `embedding` (float `[N, D]`),
    both lists of float32. The schema's metadata holds `label`, `split` and, as JSON, `classes`:
    the order of `probabilities`.
    """
    found = predictions.table(label, classes)
    columns = {name: pa.array(found[name], pa.string()) for name in ("id", "truth", "prediction")}
    columns["probability"] = pa.array(found["probability"], pa.float32())
    columns["probabilities"] = _rows(predictions.probabilities(label))
    if embeddings is not None:
        columns["embedding"] = _rows(embeddings)
    table = pa.table(columns).replace_schema_metadata(
        {
            "label": label,
            "split": predictions.split,
            "classes": json.dumps(list(classes), ensure_ascii=False),
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def _rows(values: np.ndarray) -> pa.Array:
    values = np.ascontiguousarray(values, np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model says of a split, in the records' order.

    `ids` are the product ids; `truth` maps each head to class indices, int64 `[N]`, -1 where a
    product has no label; `logits` maps each head to float32 `[N, C]`. `has_text`, bool `[N]`, says
    which products have a text, where the model was given titles.
    """

    split: str
    ids: list[str]
    truth: dict[str, np.ndarray]
    logits: dict[str, np.ndarray]
    has_text: np.ndarray | None = None

    def prediction(self, label: str) -> np.ndarray:
        """Return the index of the likeliest class, int64 `[N]`; the first of equals."""
        return self.logits[label].argmax(axis=1)

    def probabilities(self, label: str) -> np.ndarray:
        """Return the softmax of a head's logits, float32 `[N, C]`."""
        return softmax(self.logits[label], axis=1)

    def confidence(self, label: str) -> np.ndarray:
        """Return the probability of the likeliest class, float32 `[N]`."""
        return self.probabilities(label).max(axis=1)

    def is_right(self, label: str) -> np.ndarray:
        """Return whether the likeliest class is the truth, bool `[N]`; False without a label."""
        return self.prediction(label) == self.truth[label]

    def table(self, label: str, classes: Sequence[str]) -> pd.DataFrame:
        """Return a row a photo: `id`, `truth` (None without a label), `prediction`, `probability`.

        `classes` are the head's class names in index order.
        """
        return pd.DataFrame(
            {
                "id": self.ids,
                "truth": [classes[index] if index >= 0 else None for index in self.truth[label]],
                "prediction": [classes[index] for index in self.prediction(label)],
                "probability": self.confidence(label),
            }
        )

    def in_top(self, label: str, k: int) -> np.ndarray:
        """Return whether the truth is among the k likeliest classes, bool `[N]`.

        Of equals the first counts as likelier, as in `prediction`; False without a label.
        """
        logits, truth = self.logits[label], self.truth[label]
        own = np.take_along_axis(logits, np.maximum(truth, 0)[:, None], axis=1)
        earlier = np.arange(logits.shape[1]) < truth[:, None]
        rank = ((logits > own) | ((logits == own) & earlier)).sum(axis=1)
        return (truth >= 0) & (rank < k)


def predict(
    run: Run,
    records: str | os.PathLike,
    split: str,
    *,
    batch_size: int = 256,
    sees: str = "photo",
    progress: bool = False,
) -> Predictions:
    """Run a model over every photo of a split, once and in the records' order.

    `sees` is `photo`, `title` or `both`: what the model is given.
    `progress` draws a bar. Raises `UserError` where the records or the split are
    missing, where the records have other classes than the model was trained on, and where the
    model yields numbers that are not finite.
    """
    info = DatasetInfo.load(records)
    check_vocabularies(run.labels, info, run.path, records)
    predictor = run.predictor_for(sees)
    if sees == "photo":
        found = _by_photo(run, records, info, split, batch_size, predictor, progress)
    else:
        check_texts(run, info, records)
        found = _by_title(run, records, info, split, batch_size, predictor, sees, progress)
    _check_finite(found, run.path)
    return found


def _by_photo(run, records, info, split, batch_size, predictor, progress) -> Predictions:
    ids: list[str] = []
    truth: dict[str, list[np.ndarray]] = {label: [] for label in run.labels}
    logits: dict[str, list[np.ndarray]] = {label: [] for label in run.labels}
    batches = read_photos(run, records, split, batch_size)
    total = info.splits[split].num_examples
    with open_bar(total, split, "photo", shown=progress, leave=False) as bar:
        for images, one_hot, batch_ids in batches:
            outputs = predictor.predict_on_batch(images.numpy())
            ids += [identifier.decode() for identifier in batch_ids.numpy()]
            for label in run.labels:
                truth[label].append(class_indices(one_hot[label].numpy()))
                logits[label].append(np.asarray(outputs[label], np.float32))
            bar.update(len(batch_ids))
    return Predictions(split, ids, _joined(truth), _joined(logits))


def _by_title(run, records, info, split, batch_size, predictor, sees, progress) -> Predictions:
    """Predict by the title, and by the photo beside it where `sees` is `both`."""
    terms = read_terms(records, info, split, list(run.labels))
    logits: dict[str, list[np.ndarray]] = {label: [] for label in run.labels}
    photos = None
    if sees == "both":
        photos = iter(read_photos(run, records, split, batch_size))
    total = len(terms.product_ids)
    with open_bar(total, split, "product", shown=progress, leave=False) as bar:
        for start in range(0, total, batch_size):
            given: object = terms.ids[start : start + batch_size]
            if photos is not None:
                images, _, ids = next(photos)
                assert [*map(bytes.decode, ids.numpy())] == terms.product_ids[start:][: len(ids)]
                given = [images.numpy(), given]
            outputs = predictor.predict_on_batch(given)
            for label in run.labels:
                logits[label].append(np.asarray(outputs[label], np.float32))
            bar.update(min(batch_size, total - start))
    return Predictions(split, terms.product_ids, terms.truth, _joined(logits), ~terms.empty)


def _joined(parts: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    return {label: np.concatenate(found) for label, found in parts.items()}


def check_texts(run: Run, info: DatasetInfo, records: str | os.PathLike) -> None:
    """Raise `UserError` unless the records have as many columns of text as the run takes."""
    from fashion_keras.models.title_model import title_columns

    columns = title_columns(run.title)
    if len(info.texts) != columns:
        raise UserError(
            f"{run.path} takes {columns} column{'s' * (columns > 1)} of text, {records} has "
            f"{len(info.texts)} ({', '.join(info.texts) or 'none'}): use the records it was "
            "trained on"
        )


def check_vocabularies(
    labels: Mapping[str, tuple[str, ...]],
    info: DatasetInfo,
    model: str | os.PathLike,
    records: str | os.PathLike,
) -> None:
    """Raise `UserError` unless the records name the model's classes, in the model's order."""
    for label, trained in labels.items():
        found = info.vocabulary(label)
        if found == trained:
            continue
        only_model = [name for name in trained if name not in found]
        only_records = [name for name in found if name not in trained]
        differences = [
            f"only {where}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
            for where, names in (("the model", only_model), ("the records", only_records))
            if names
        ]
        raise UserError(
            f"the model {model} was trained on other classes of {label!r} than {records} has "
            f"({'; '.join(differences) or 'the same names in another order'}).\n"
            "Use the records it was trained on, or convert the catalogue as they were converted"
        )


def _check_finite(predictions: Predictions, model: str | os.PathLike) -> None:
    for label, logits in predictions.logits.items():
        broken = ~np.isfinite(logits).all(axis=1)
        if broken.any():
            first = predictions.ids[int(broken.argmax())]
            raise UserError(
                f"{model}: head {label!r} yields numbers that are not finite for "
                f"{int(broken.sum()):,} of {len(broken):,} photos, the first is {first}.\n"
                "Its weights are damaged, or its training diverged: train again"
            )


def ask_teachers(
    teachers: Sequence[str | os.PathLike],
    records: str | os.PathLike,
    labels: Sequence[str],
    weight: float,
    *,
    progress: bool = False,
) -> SoftTargets:
    """Run teachers, each with its decision, over every training photo, and take the mean.

    Of `labels`, those count that a teacher has a head for, and of the teachers those that have
    it. `progress` draws a bar. Raises `UserError` where one has none of the labels, or
    was trained on other classes.
    """
    info = DatasetInfo.load(records)
    # All before the first is asked, which takes minutes: one that cannot teach is refused at once.
    runs = [load_run(teacher, info) for teacher in teachers]
    for run in runs:
        if not any(label in run.labels for label in labels):
            raise UserError(
                f"the teacher {run.path} has no head for {', '.join(labels)}: "
                f"it has {', '.join(run.labels)}"
            )
    said: dict[str, list[np.ndarray]] = {}
    for run in runs:
        predictions = predict(run, records, "train", progress=progress)
        for label in labels:
            if label in run.labels:
                said.setdefault(label, []).append(predictions.probabilities(label))
    # Half precision keeps what a student can learn, and 16 MB of 31,000 photos by seven labels.
    means = {
        label: np.mean(said[label], axis=0).astype(np.float16) for label in labels if label in said
    }
    return SoftTargets(tuple(predictions.ids), means, weight)
