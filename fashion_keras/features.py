"""A run and splits of the records in; the model's pooled features of every photo out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashion_keras.data.pipeline import Augmentation, class_indices, make_dataset
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.run import Run

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Features:
    """What a model's layer `features` says of photos, in the records' order.

    `ids` are the product ids; `truth` maps each head to class indices, int64 `[N]`, -1 where a
    product has no label; `values` are float32 `[N, D]`. Varied photos come in no order and
    without ids.
    """

    ids: list[str]
    truth: dict[str, np.ndarray]
    values: np.ndarray

    def at_length_one(self) -> np.ndarray:
        """Return the values scaled to length 1, so that a product of two is their cosine."""
        lengths = np.linalg.norm(self.values, axis=1, keepdims=True)
        return self.values / np.maximum(lengths, 1e-12)


def read_photos(
    run: Run, records: str | os.PathLike, split: str, batch_size: int = 256
) -> tf.data.Dataset:
    """Return a split as batches of photos as the run takes them, one-hot labels, and ids."""
    return make_dataset(
        records,
        split,
        list(run.labels),
        run.image_size,
        batch_size,
        resize=run.resize,
        cache="none",
        with_ids=True,
    )


def embed(
    run: Run,
    records: str | os.PathLike,
    splits: Sequence[str],
    *,
    batch_size: int = 256,
    progress: Callable[[str, int, int], object] | None = None,
) -> Features:
    """Run the backbone once over every photo of some splits.

    `progress` is called with a phase, the photos done and all of them. Raises `UserError` for
    records that are missing or damaged.
    """
    info = DatasetInfo.load(records)
    phases = {
        f"{split}, features": (
            read_photos(run, records, split, batch_size),
            info.splits[split].num_examples,
        )
        for split in splits
    }
    return _embedded(run, phases, progress)


def embed_varied(
    run: Run,
    records: str | os.PathLike,
    augmentation: Augmentation,
    views: int,
    *,
    seed: int = 0,
    batch_size: int = 256,
    progress: Callable[[str, int, int], object] | None = None,
) -> Features:
    """Run the backbone over every training photo `views` times, varied as in training.

    As in training the photos come shuffled, and those that fill no batch wait for the next
    view. MixUp and CutMix are left out of `augmentation`: what they make has no class.
    """
    dataset = make_dataset(
        records,
        "train",
        list(run.labels),
        run.image_size,
        batch_size,
        training=True,
        epochs=views,
        stream=True,
        augmentation=dataclasses.replace(augmentation, mixup=0.0, cutmix=0.0),
        resize=run.resize,
        seed=seed,
    )
    photos = DatasetInfo.load(records).splits["train"].num_examples
    return _embedded(run, {"train, varied": (dataset, views * photos)}, progress)


def _embedded(run, phases, progress) -> Features:
    """Run the backbone over the batches of each phase, of which it is known how many photos."""
    ids: list[str] = []
    truth: dict[str, list[np.ndarray]] = {label: [] for label in run.labels}
    found = []
    for phase, (batches, total) in phases.items():
        done = 0
        for images, one_hot, *batch_ids in batches:
            found.append(np.asarray(run.features.predict_on_batch(images.numpy()), np.float32))
            ids += [identifier.decode() for some in batch_ids for identifier in some.numpy()]
            for label in run.labels:
                truth[label].append(class_indices(one_hot[label].numpy()))
            done += len(images)
            if progress is not None:
                progress(phase, done, total)
    joined = {name: np.concatenate(parts) for name, parts in truth.items()}
    return Features(ids, joined, np.concatenate(found))
