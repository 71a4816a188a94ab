"""Names in and about the records: tf.Example feature keys, label columns, `DatasetInfo`.

Imports no TensorFlow, so that a wrong path or label is answered at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from fashion_keras.errors import UserError
from fashion_keras.io import place, write_sealed
from fashion_keras.places import fetch
from fashion_keras.reading import STRICT, Whole, damaged, read_json, short, unsealed, validated
from fashion_keras.text import command

SCHEMA_VERSION = 2
INFO_FILE = "dataset_info.json"
SHARD_SUFFIX = ".tfrecord"
SPLITS = ("train", "validation", "test")

# The label columns of the Kaggle dataset, coarse to fine.
LABEL_COLUMNS = (
    "masterCategory",
    "subCategory",
    "articleType",
    "gender",
    "baseColour",
    "season",
    "usage",
)

NAME_COLUMN = "productDisplayName"  # the last one of Kaggle's file

# tf.Example feature keys, named as TensorFlow's own image datasets name them.
ID = "id"
NAME = "name"  # the text of NAME_COLUMN, "" where a catalogue has no such column
GROUP = "group"  # only where the catalogue was converted with --group-column
IMAGE = "image/encoded"
HEIGHT = "image/height"
WIDTH = "image/width"
_MEND = "convert the catalogue again"
_KAGGLE = ("small", "large")  # its layouts
MISSING = -1  # index of a product that has no value in a label column


def label_text_key(label: str) -> str:
    """Return the feature key of a label's text, e.g. `label/subCategory/text`."""
    return f"label/{label}/text"


def label_index_key(label: str) -> str:
    """Return the feature key of a label's index, e.g. `label/subCategory/index`."""
    return f"label/{label}/index"


def text_key(column: str) -> str:
    """Return the feature key of a text column, e.g. `text/description`."""
    return NAME if column == NAME_COLUMN else f"text/{column}"


def text_keys(columns: Iterable[str] | None, layout: object) -> dict[str, str]:
    """Return the feature key of each text column of a conversion.

    Without `columns` that is Kaggle's own, which the records of its layouts have always held.
    """
    if not columns:
        columns = (NAME_COLUMN,) if layout in _KAGGLE else ()
    return {column: text_key(column) for column in columns}


@dataclasses.dataclass(frozen=True)
class ShardInfo:
    """One TFRecord file: its name, record count, size in bytes and sha256."""

    __pydantic_config__ = STRICT

    file: str
    num_examples: Whole
    num_bytes: Whole
    sha256: str


@dataclasses.dataclass(frozen=True)
class SplitInfo:
    """One split: its shards and, per label, the count of each class (in vocabulary order)."""

    __pydantic_config__ = STRICT

    num_examples: Whole
    shards: tuple[ShardInfo, ...]
    class_counts: dict[str, tuple[Whole, ...]]


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What `dataset_info.json` says of a folder of records.

    `labels` maps each label column to its vocabulary (class names in index order),
    `image_sizes` gives smallest and largest height and width in pixels, `source` the
    catalogue and its fingerprint, `split` the strategy with seed and fractions, `settings`
    the options that shaped the photos, `left_out` the count of products left out by reason,
    `texts` the feature that each text column is stored in (since schema version 2).
    """

    __pydantic_config__ = STRICT

    schema_version: int
    labels: dict[str, tuple[str, ...]]
    splits: dict[str, SplitInfo]
    image_sizes: dict[str, Whole]
    source: dict[str, object]
    split: dict[str, object]
    settings: dict[str, object]
    left_out: dict[str, Whole]
    texts: dict[str, str] = dataclasses.field(default_factory=dict)

    def vocabulary(self, label: str) -> tuple[str, ...]:
        """Return a label's class names in index order; `UserError` if there is no such label."""
        check_known(label, self.labels, f"unknown label {label!r}: these records have")
        return self.labels[label]

    def trainable_vocabulary(self, label: str) -> tuple[str, ...]:
        """Return a label's class names; `UserError` where there are fewer than two."""
        vocabulary = self.vocabulary(label)
        if len(vocabulary) < 2:
            raise UserError(
                f"label {label!r} has {len(vocabulary)} class in these records: nothing to "
                "learn. Choose another --label"
            )
        return vocabulary

    def shard_paths(self, records: str | os.PathLike, split: str) -> list[str]:
        """Return the paths of a split's shards; `UserError` if the split is unknown or empty."""
        check_known(split, self.splits, f"unknown split {split!r}: {records} has")
        if not self.splits[split].num_examples:
            raise UserError(
                f"split {split!r} of {records} is empty: convert again with other fractions"
            )
        return [str(Path(records) / shard.file) for shard in self.splits[split].shards]

    def fetch(self, records: str | os.PathLike, *splits: str) -> None:
        """Have the shards of some splits, or of all, in `records`, which may mirror an address."""
        shards = (s for name in splits or self.splits for s in self.splits[name].shards)
        fetch(records, {shard.file: (shard.num_bytes, shard.sha256) for shard in shards})

    def save(self, records: str | os.PathLike) -> None:
        """Write `dataset_info.json` into the folder `records`, whole or not at all.

        Records that version 1 can describe are written as version 1: they are the same to the
        byte, and earlier fashion_keras read them.
        """
        raw = dataclasses.asdict(self)
        if self.texts == text_keys(None, self.source.get("layout")):
            raw["schema_version"] = 1
            del raw["texts"]
        write_sealed(Path(records) / INFO_FILE, raw)

    @classmethod
    def load(cls, records: str | os.PathLike) -> DatasetInfo:
        """Read `dataset_info.json` from the folder `records`.

        Raises `UserError` where the folder or file is missing, damaged, or of another schema.
        """
        path = place(records) / INFO_FILE
        if not path.is_file():
            raise UserError(
                f"no records at {records}: {INFO_FILE} is missing.\n"
                f"Make them: {command('convert', '--source', 'ARCHIVE', '--output', records)}"
            )
        raw = read_json(path, _MEND)
        version = raw.get("schema_version")
        if version is not None and version not in range(1, SCHEMA_VERSION + 1):
            raise UserError(
                f"{path} has schema version {short(version)}, this fashion_keras reads versions "
                f"1 to {SCHEMA_VERSION}: convert the catalogue again"
            )
        try:
            info = validated(cls, _migrated(unsealed(raw)))
            _check(info)
        except ValueError as error:
            raise damaged(path, error, _MEND) from None
        return info


def _migrated(raw: dict) -> dict:
    """Return what a `dataset_info.json` of version 1 says in version 2, others as they are."""
    if raw.get("schema_version") != 1 or not isinstance(raw.get("source"), dict):
        return raw
    texts = text_keys(None, raw["source"].get("layout"))
    return {**raw, "schema_version": SCHEMA_VERSION, "texts": texts}


def _check(info: DatasetInfo) -> None:
    """Raise `ValueError` where parts of an info contradict each other."""
    for label, names in info.labels.items():
        if not label or not all(names) or len(set(names)) < len(names):
            raise ValueError(f"labels.{label}: its classes need names, each another one")
    for column, key in info.texts.items():
        if not column or key != text_key(column):
            raise ValueError(f"texts.{column}: {short(key)} is not the feature of this column")
    files = set()
    for name, split in info.splits.items():
        where = f"splits.{name}"
        if name not in SPLITS:
            raise ValueError(f"{where}: expected {', '.join(SPLITS)}")
        for shard in split.shards:
            _check_shard(shard, name)
            if shard.file in files:
                raise ValueError(f"{where}: {shard.file} stands there twice")
            files.add(shard.file)
        count = sum(shard.num_examples for shard in split.shards)
        if count != split.num_examples:
            raise ValueError(f"{where}: {split.num_examples} photos, but {count} in its shards")
        if split.class_counts.keys() != info.labels.keys():
            raise ValueError(f"{where}.class_counts: not of the labels {', '.join(info.labels)}")
        for label, counts in split.class_counts.items():
            if len(counts) != len(info.labels[label]) or sum(counts) > count:
                raise ValueError(f"{where}.class_counts.{label}: {short(counts)} do not fit")


def _check_shard(shard: ShardInfo, split: str) -> None:
    if not re.fullmatch(rf"{split}-\d{{5,}}-of-\d{{5,}}{re.escape(SHARD_SUFFIX)}", shard.file):
        raise ValueError(f"splits.{split}: {short(shard.file)} is no shard of this split")
    if not re.fullmatch("[0-9a-f]{64}", shard.sha256):
        raise ValueError(f"splits.{split}: {short(shard.sha256)} is no sha256")


def check_known(word: str, known: Collection[str], message: str) -> None:
    """Raise `UserError` unless a word is known: the message, what is known, and what is nearest."""
    if word not in known:
        raise UserError(f"{message} {', '.join(known)}{did_you_mean(word, known)}")


def did_you_mean(word: str, known) -> str:
    """Return ` (did you mean 'X'?)` for the known word nearest to `word`, or nothing."""
    lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(word.lower(), lower, n=1)
    return f" (did you mean {lower[near[0]]!r}?)" if near else ""
