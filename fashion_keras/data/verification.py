"""A folder of records in; their number out, if all that `dataset_info.json` says is true."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from fashion_keras.data import image, schema
from fashion_keras.data.schema import SPLITS, DatasetInfo, ShardInfo
from fashion_keras.data.tfrecord import feature_spec
from fashion_keras.errors import UserError
from fashion_keras.reading import sha256_of

SHOWN = 5  # problems in a message
_BATCH = 256

# What TensorFlow raises for a record that is damaged, not a tf.Example, or not a photo.
_BROKEN = (tf.errors.DataLossError, tf.errors.InvalidArgumentError)

Progress = Callable[[str, int, int], None]


def verify(records: str | os.PathLike, *, progress: Progress | None = None) -> int:
    """Re-read all records with TensorFlow and compare them with `dataset_info.json`.

    Checks the shards' presence, size, sha256 and record count, that there are no other shards,
    that every tf.Example parses, every label's index stands for its text, every text is UTF-8,
    every id occurs once in all splits, no group of `--group-column` is in two, every photo decodes
    to its recorded size, and the counts of classes and the range of sizes. `progress` is called
    with a phase, records done and records in all.

    Returns the number of records. Raises `UserError` with the first few problems, each with
    its file and record.
    """
    folder = Path(records)
    info = DatasetInfo.load(folder)
    check = _Check(folder, info, progress or (lambda phase, done, total: None))
    check.run()
    return check.done


class _TooMany(Exception):
    """Enough problems have been found."""


class _Check:
    """One verification: the problems found so far, and what has been counted."""

    def __init__(self, folder: Path, info: DatasetInfo, progress: Progress):
        self.done = 0
        self._folder = folder
        self._info = info
        self._progress = progress
        self._total = sum(split.num_examples for split in info.splits.values())
        self._problems: list[str] = []
        self._seen: dict[bytes, str] = {}  # id → the shard it is in
        self._split = ""  # being read
        self._split_of: dict[bytes, str] = {}  # group → the split it is in
        self._counts: dict[str, np.ndarray] = {}
        self._sizes: list[np.ndarray] = []  # the least and the most of each batch
        # A class name for each index, and the empty text last, where -1 finds it.
        self._texts = {
            label: np.array([*(name.encode() for name in names), b""], object)
            for label, names in info.labels.items()
        }

    def run(self) -> None:
        try:
            self._check_files()
            for name, split in self._info.splits.items():
                self._split = name
                self._counts = {
                    label: np.zeros(len(names), int) for label, names in self._info.labels.items()
                }
                for shard in split.shards:
                    self._check_shard(shard)
                if not self._problems:  # else the counts say nothing new
                    self._check_counts(name)
            if not self._problems:
                self._check_sizes()
        except _TooMany:
            pass
        if self._problems:
            more = ["…"] if len(self._problems) > SHOWN else []
            raise UserError(
                f"{self._folder} is not as {schema.INFO_FILE} says:\n"
                + "\n".join(f"  {problem}" for problem in self._problems[:SHOWN] + more)
                + "\nConvert the catalogue again, with --overwrite"
            )

    def _found(self, where: str, what: str) -> None:
        self._problems.append(f"{where}: {what}")
        if len(self._problems) > SHOWN:
            raise _TooMany

    def _check_files(self) -> None:
        if tuple(self._info.splits) != SPLITS:
            self._found(schema.INFO_FILE, f"splits {', '.join(self._info.splits)}")
        known = set()
        for split in self._info.splits.values():
            for shard in split.shards:
                known.add(shard.file)
                path = self._folder / shard.file
                if not path.is_file():
                    self._found(shard.file, "is missing")
                elif path.stat().st_size != shard.num_bytes:
                    self._found(
                        shard.file,
                        f"has {path.stat().st_size:,} bytes, expected {shard.num_bytes:,}",
                    )
        for name in sorted(os.listdir(self._folder)):
            if schema.SHARD_SUFFIX in name and name not in known:
                self._found(name, "is not one of the shards")

    def _check_shard(self, shard: ShardInfo) -> None:
        path = self._folder / shard.file
        if not path.is_file():
            return
        if sha256_of(path) != shard.sha256:
            self._found(shard.file, "its sha256 differs")
        count = 0
        try:
            grouped = "groups" in self._info.split
            for batch in _read(path, self._info, grouped):
                batch = {key: value.numpy() for key, value in batch.items()}
                count += len(batch[schema.ID])
                self._check_batch(shard.file, batch)
                self.done += len(batch[schema.ID])
                self._progress("verifying records", self.done, self._total)
        except _BROKEN:
            self._found(shard.file, self._first_broken(path))
            return
        if count != shard.num_examples:
            self._found(shard.file, f"has {count:,} records, expected {shard.num_examples:,}")

    def _check_batch(self, file: str, batch: dict[str, np.ndarray]) -> None:
        for id in batch[schema.ID]:
            if id in self._seen:
                self._found(file, f"record {_text(id)} is in {self._seen[id]} too")
            self._seen[id] = file
        for column, key in self._info.texts.items():
            for id, text in zip(batch[schema.ID], batch[key], strict=True):
                if not _is_text(text):
                    self._found(file, f"record {_text(id)}: its {column} is no UTF-8 text")
        for group in set(batch.get(schema.GROUP, ())) - {b""}:
            other = self._split_of.setdefault(group, self._split)
            if other != self._split:
                self._found(file, f"group {_text(group)} is in {other} too")
        stored = np.stack([batch[schema.HEIGHT], batch[schema.WIDTH]], axis=1)
        decoded = batch["decoded_size"]
        for row in np.flatnonzero((stored != decoded).any(axis=1)):
            self._found(
                file,
                f"record {_text(batch[schema.ID][row])} is {_size(decoded[row])} pixels, "
                f"recorded as {_size(stored[row])}",
            )
        self._sizes += [decoded.min(axis=0), decoded.max(axis=0)]
        for label, texts in self._texts.items():
            index = batch[schema.label_index_key(label)]
            text = batch[schema.label_text_key(label)]
            known = (index >= schema.MISSING) & (index < len(texts) - 1)
            right = known & (texts[np.where(known, index, schema.MISSING)] == text)
            for row in np.flatnonzero(~right):
                self._found(
                    file,
                    f"record {_text(batch[schema.ID][row])} has {label} index {index[row]} "
                    f"for {_text(text[row])!r}",
                )
            present = index[known & (index != schema.MISSING)]
            self._counts[label] += np.bincount(present, minlength=len(texts) - 1)

    def _check_counts(self, split: str) -> None:
        for label, names in self._info.labels.items():
            recorded = self._info.splits[split].class_counts[label]
            for name, found, expected in zip(names, self._counts[label], recorded, strict=True):
                if found != expected:
                    self._found(
                        schema.INFO_FILE,
                        f"{split} has {found:,} × {label} {name!r}, recorded as {expected:,}",
                    )

    def _check_sizes(self) -> None:
        names = ("min_height", "min_width", "max_height", "max_width")
        ends = np.min(self._sizes, axis=0).tolist() + np.max(self._sizes, axis=0).tolist()
        found = dict(zip(names, ends, strict=True))
        if found != self._info.image_sizes:
            self._found(
                schema.INFO_FILE, f"sizes are {found}, recorded as {self._info.image_sizes}"
            )

    def _first_broken(self, path: Path) -> str:
        """Say which record of a shard is broken and how, reading one after the other."""
        number, spec = -1, _spec(self._info)
        try:
            for number, serialised in enumerate(tf.data.TFRecordDataset(os.fspath(path))):
                try:
                    features = tf.io.parse_single_example(serialised, spec)
                except tf.errors.InvalidArgumentError:
                    return f"record number {number + 1} is no tf.Example of this schema"
                try:
                    image.decode(features[schema.IMAGE])
                except tf.errors.InvalidArgumentError:
                    return f"record {_text(features[schema.ID].numpy())}: its photo does not decode"
        except tf.errors.DataLossError:
            return f"damaged after record number {number + 1}"
        return "cannot be read"


def _spec(info: DatasetInfo) -> dict[str, tf.io.FixedLenFeature]:
    return feature_spec(list(info.labels), texts=True, titles=info.texts.values())


def _read(path: Path, info: DatasetInfo, grouped: bool) -> tf.data.Dataset:
    """Read a shard in batches: all features but the photo, and `decoded_size` int64 `[N, 2]`."""
    spec = _spec(info)
    if grouped:
        spec[schema.GROUP] = tf.io.FixedLenFeature([], tf.string)

    def decode(serialised):
        features = tf.io.parse_example(serialised, spec)
        sizes = tf.map_fn(
            lambda encoded: tf.shape(image.decode(encoded), tf.int64)[:2],
            features.pop(schema.IMAGE),
            fn_output_signature=tf.TensorSpec([2], tf.int64),
        )
        return {**features, "decoded_size": sizes}

    dataset = tf.data.TFRecordDataset(os.fspath(path)).batch(_BATCH)
    return dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _size(size: np.ndarray) -> str:
    return f"{size[1]}×{size[0]}"
