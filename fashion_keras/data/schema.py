"""Names in and about the records: tf.Example feature keys, label columns, `DatasetInfo`.

Imports no TensorFlow, so that a wrong path or label is answered at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from pathlib import Path

from fashion_keras.errors import UserError
from fashion_keras.io import write_json
from fashion_keras.places import place
from fashion_keras.text import command

SCHEMA_VERSION = 1
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

# tf.Example feature keys, named as TensorFlow's own image datasets name them.
ID = "id"
NAME = "name"
IMAGE = "image/encoded"
HEIGHT = "image/height"
WIDTH = "image/width"
MISSING = -1  # index of a product that has no value in a label column


def label_text_key(label: str) -> str:
    """Return the feature key of a label's text, e.g. `label/subCategory/text`."""
    return f"label/{label}/text"


def label_index_key(label: str) -> str:
    """Return the feature key of a label's index, e.g. `label/subCategory/index`."""
    return f"label/{label}/index"


@dataclasses.dataclass(frozen=True)
class ShardInfo:
    """One TFRecord file: its name, record count, size in bytes and sha256."""

    file: str
    num_examples: int
    num_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class SplitInfo:
    """One split: its shards and, per label, the count of each class (in vocabulary order)."""

    num_examples: int
    shards: tuple[ShardInfo, ...]
    class_counts: dict[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What `dataset_info.json` says of a folder of records.

    `labels` maps each label column to its vocabulary (class names in index order),
    `image_sizes` gives smallest and largest height and width in pixels, `source` the
    catalogue and its fingerprint, `split` the strategy with seed and fractions, `settings`
    the options that shaped the photos, `left_out` the count of products left out by reason.
    """

    schema_version: int
    labels: dict[str, tuple[str, ...]]
    splits: dict[str, SplitInfo]
    image_sizes: dict[str, int]
    source: dict[str, object]
    split: dict[str, object]
    settings: dict[str, object]
    left_out: dict[str, int]

    def vocabulary(self, label: str) -> tuple[str, ...]:
        """Return a label's class names in index order; `UserError` if there is no such label."""
        if label not in self.labels:
            raise UserError(
                f"unknown label {label!r}: these records have {', '.join(self.labels)}"
                + did_you_mean(label, self.labels)
            )
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
        if split not in self.splits:
            raise UserError(
                f"unknown split {split!r}: {records} has {', '.join(self.splits)}"
                + did_you_mean(split, self.splits)
            )
        if not self.splits[split].num_examples:
            raise UserError(
                f"split {split!r} of {records} is empty: convert again with other fractions"
            )
        return [str(Path(records) / shard.file) for shard in self.splits[split].shards]

    def save(self, records: str | os.PathLike) -> None:
        """Write `dataset_info.json` into the folder `records`, whole or not at all."""
        write_json(Path(records) / INFO_FILE, dataclasses.asdict(self))

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
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            version = raw["schema_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is damaged ({error!r}): convert the catalogue again"
            ) from error
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{path} has schema version {version}, this fashion_keras reads version "
                f"{SCHEMA_VERSION}: convert the catalogue again"
            )
        try:
            return cls(
                schema_version=version,
                labels={k: tuple(v) for k, v in raw["labels"].items()},
                splits={k: _split_info(v) for k, v in raw["splits"].items()},
                image_sizes=raw["image_sizes"],
                source=raw["source"],
                split=raw["split"],
                settings=raw["settings"],
                left_out=raw["left_out"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is damaged ({error!r}): convert the catalogue again"
            ) from error


def _split_info(raw: dict) -> SplitInfo:
    return SplitInfo(
        num_examples=raw["num_examples"],
        shards=tuple(ShardInfo(**shard) for shard in raw["shards"]),
        class_counts={k: tuple(v) for k, v in raw["class_counts"].items()},
    )


def did_you_mean(word: str, known) -> str:
    """Return ` (did you mean 'X'?)` for the known word nearest to `word`, or nothing."""
    lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(word.lower(), lower, n=1)
    return f" (did you mean {lower[near[0]]!r}?)" if near else ""
