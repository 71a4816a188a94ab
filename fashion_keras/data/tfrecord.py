"""Photos with labels in, TFRecord shards out, and back again."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import tensorflow as tf

from fashion_keras.data import schema
from fashion_keras.data.schema import DatasetInfo, ShardInfo
from fashion_keras.errors import UserError


@dataclasses.dataclass(frozen=True)
class Record:
    """One product as it is stored: `encoded` JPEG or PNG bytes, sizes in pixels, labels as text."""

    id: str
    name: str
    encoded: bytes
    height: int
    width: int
    labels: dict[str, str | None]


def to_example(record: Record, vocabularies: dict[str, dict[str, int]]) -> bytes:
    """Serialise a record as tf.Example; `vocabularies` maps label to class name to index.

    A label without a value is stored as empty text and index -1.
    """
    feature = {
        schema.ID: _bytes(record.id.encode()),
        schema.NAME: _bytes(record.name.encode()),
        schema.IMAGE: _bytes(record.encoded),
        schema.HEIGHT: _int64(record.height),
        schema.WIDTH: _int64(record.width),
    }
    for label, indices in vocabularies.items():
        text = record.labels.get(label)
        feature[schema.label_text_key(label)] = _bytes((text or "").encode())
        feature[schema.label_index_key(label)] = _int64(
            schema.MISSING if text is None else indices[text]
        )
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def shard_name(split: str, index: int, count: int) -> str:
    """Return a shard's file name, e.g. `train-00000-of-00004.tfrecord`."""
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def write_shard(path: Path, examples: Iterable[bytes]) -> ShardInfo:
    """Write serialised examples to `path`, beside and then renamed; return what was written."""
    partial = path.with_name(path.name + ".partial")
    count = 0
    with tf.io.TFRecordWriter(os.fspath(partial)) as writer:
        for example in examples:
            writer.write(example)
            count += 1
    info = ShardInfo(path.name, count, partial.stat().st_size, file_sha256(partial))
    os.replace(partial, path)
    return info


def file_sha256(path: str | os.PathLike) -> str:
    """Return a file's sha256 in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_records(
    records: str | os.PathLike,
    info: DatasetInfo,
    split: str,
    labels: Sequence[str],
    *,
    texts: bool = False,
    parallel_reads: int = 4,
) -> tf.data.Dataset:
    """Read a split's shards in parallel, always in the same order.

    Yields dicts: `id` and `encoded` string scalars, `index` int64 `[len(labels)]` with -1 where
    a label has no value; with `texts` also `name`, `height`, `width`, and `text` string
    `[len(labels)]`. Raises `UserError` where a shard is missing or not of the recorded size.
    """
    for label in labels:
        info.vocabulary(label)
    paths = info.shard_paths(records, split)
    _check_sizes(paths, info.splits[split].shards)
    features = {
        schema.ID: tf.io.FixedLenFeature([], tf.string),
        schema.IMAGE: tf.io.FixedLenFeature([], tf.string),
        **{schema.label_index_key(k): tf.io.FixedLenFeature([], tf.int64) for k in labels},
    }
    if texts:
        features |= {
            schema.NAME: tf.io.FixedLenFeature([], tf.string),
            schema.HEIGHT: tf.io.FixedLenFeature([], tf.int64),
            schema.WIDTH: tf.io.FixedLenFeature([], tf.int64),
            **{schema.label_text_key(k): tf.io.FixedLenFeature([], tf.string) for k in labels},
        }

    def parse(serialised):
        raw = tf.io.parse_single_example(serialised, features)
        product = {
            "id": raw[schema.ID],
            "encoded": raw[schema.IMAGE],
            "index": tf.stack([raw[schema.label_index_key(k)] for k in labels]),
        }
        if texts:
            product |= {
                "name": raw[schema.NAME],
                "height": raw[schema.HEIGHT],
                "width": raw[schema.WIDTH],
                "text": tf.stack([raw[schema.label_text_key(k)] for k in labels]),
            }
        return product

    # Not Dataset.interleave: its order is fixed too, but evaluation wants the shards' own.
    dataset = tf.data.TFRecordDataset(paths, num_parallel_reads=None)
    if parallel_reads > 1 and len(paths) > 1:
        dataset = tf.data.Dataset.from_tensor_slices(paths).interleave(
            tf.data.TFRecordDataset,
            cycle_length=min(parallel_reads, len(paths)),
            block_length=16,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    return dataset.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _check_sizes(paths: Sequence[str], shards: Sequence[ShardInfo]) -> None:
    for path, shard in zip(paths, shards, strict=True):
        try:
            found = os.stat(path).st_size
        except OSError as error:
            raise UserError(
                f"shard {path}: {error.strerror}. Convert the catalogue again"
            ) from None
        if found != shard.num_bytes:
            raise UserError(
                f"shard {path} has {found:,} bytes, {schema.INFO_FILE} says {shard.num_bytes:,}: "
                "it is truncated or another file. Convert the catalogue again"
            )


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _int64(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
