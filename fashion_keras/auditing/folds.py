"""Records in; folds of their training split, each as records to train on and to predict, out."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from fashion_keras.data import schema
from fashion_keras.data.schema import DatasetInfo, SplitInfo
from fashion_keras.data.tfrecord import feature_spec, shard_name, write_shard
from fashion_keras.errors import UserError


def assign_folds(
    classes: Sequence[str], groups: Sequence[int], folds: int, *, seed: int = 0
) -> np.ndarray:
    """Return a fold, 0 … folds−1, for each photo: int `[N]`.

    Every class in proportion, and every group (near-duplicates) in one fold, for a model that
    has seen a photo's twin with its label is no judge of the photo (scikit-learn's
    `StratifiedGroupKFold`). Raises `UserError` where there are fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if len(set(groups)) < folds:
        raise UserError(f"--folds {folds}: the training split has only {len(set(groups))} photos")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    result = np.zeros(len(classes), int)
    with warnings.catch_warnings():  # of classes with fewer photos than folds
        warnings.simplefilter("ignore", UserWarning)
        places = np.zeros(len(classes))
        for fold, (_, held_out) in enumerate(splitter.split(places, classes, groups)):
            result[held_out] = fold
    return result


def write_fold(
    records: str | os.PathLike, output: str | os.PathLike, fold_of: Mapping[str, int], fold: int
) -> None:
    """Write records of which `test` is one fold of the training split and `train` the others.

    `validation` stays as it is: it chooses the epoch. `fold_of` maps the training photos' ids
    to folds.
    """
    info, output = DatasetInfo.load(records), Path(output)
    output.mkdir(parents=True, exist_ok=True)
    labels = list(info.labels)
    parts = {
        "train": ("train", lambda id: fold_of[id] != fold),
        "validation": ("validation", lambda id: True),
        "test": ("train", lambda id: fold_of[id] == fold),
    }
    splits = {}
    for split, (source, belongs) in parts.items():
        counts = {label: Counter() for label in labels}

        def examples(source=source, belongs=belongs, counts=counts):
            for serialised, id, indices in _read(info.shard_paths(records, source), labels):
                if belongs(id):
                    for label, index in zip(labels, indices, strict=True):
                        counts[label][index] += 1
                    yield serialised

        shard = write_shard(output / shard_name(split, 0, 1), examples())
        by_class = {
            label: tuple(counts[label][index] for index in range(len(names)))
            for label, names in info.labels.items()
        }
        splits[split] = SplitInfo(shard.num_examples, (shard,), by_class)
    described = {"strategy": "fold", "fold": fold, "of": dict(info.split)}
    dataclasses.replace(info, splits=splits, split=described).save(output)


def _read(paths: Sequence[str], labels: Sequence[str]):
    """Yield each record's bytes, id and label indices, in the shards' order."""
    spec = feature_spec(labels)
    for batch in tf.data.TFRecordDataset(list(paths)).batch(256):
        parsed = tf.io.parse_example(batch, spec)
        indices = np.stack([parsed[schema.label_index_key(k)].numpy() for k in labels], axis=1)
        ids = [id.decode() for id in parsed[schema.ID].numpy()]
        yield from zip(batch.numpy(), ids, indices.tolist(), strict=True)
