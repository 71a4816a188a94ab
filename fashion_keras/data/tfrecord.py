"""Photos with labels in, TFRecord shards out, and back again."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import tensorflow as tf

from fashion_keras.data import schema
from fashion_keras.data.schema import DatasetInfo, ShardInfo
from fashion_keras.errors import UserError
from fashion_keras.io import replacing
from fashion_keras.reading import sha256_of


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
    example = tf.train.Example()
    feature = example.features.feature
    # Filled in place: building `Feature` messages and copying them in takes three times as long.
    feature[schema.ID].bytes_list.value.append(record.id.encode())
    feature[schema.NAME].bytes_list.value.append(record.name.encode())
    feature[schema.IMAGE].bytes_list.value.append(record.encoded)
    feature[schema.HEIGHT].int64_list.value.append(record.height)
    feature[schema.WIDTH].int64_list.value.append(record.width)
    for label, indices in vocabularies.items():
        text = record.labels.get(label)
        index = schema.MISSING if text is None else indices[text]
        feature[schema.label_text_key(label)].bytes_list.value.append((text or "").encode())
        feature[schema.label_index_key(label)].int64_list.value.append(index)
    # A map's order is otherwise free, and the same catalogue must give the same shards.
    return example.SerializeToString(deterministic=True)


def shard_name(split: str, index: int, count: int) -> str:
    """Return a shard's file name, e.g. `train-00000-of-00004.tfrecord`."""
    return f"{split}-{index:05d}-of-{count:05d}{schema.SHARD_SUFFIX}"


def write_shard(path: Path, examples: Iterable[bytes]) -> ShardInfo:
    """Write serialised examples to `path`, whole or not at all; return what was written."""
    count = 0
    with replacing(path) as partial:
        with tf.io.TFRecordWriter(os.fspath(partial)) as writer:
            for example in examples:
                writer.write(example)
                count += 1
        return ShardInfo(path.name, count, partial.stat().st_size, sha256_of(partial))


def feature_spec(labels: Sequence[str], *, texts: bool = False) -> dict[str, tf.io.FixedLenFeature]:
    """Return what `tf.io.parse_example` needs to read the records' features.

    Photo, id and each label's index; with `texts` also name, height, width and labels' texts.
    """
    text, number = tf.io.FixedLenFeature([], tf.string), tf.io.FixedLenFeature([], tf.int64)
    spec = {schema.ID: text, schema.IMAGE: text}
    spec |= {schema.label_index_key(label): number for label in labels}
    if texts:
        spec |= {schema.NAME: text, schema.HEIGHT: number, schema.WIDTH: number}
        spec |= {schema.label_text_key(label): text for label in labels}
    return spec


def read_records(
    records: str | os.PathLike,
    info: DatasetInfo,
    split: str,
    labels: Sequence[str],
    *,
    texts: bool = False,
    parallel_reads: int = 4,
) -> tf.data.Dataset:
    """Read a split's shards, always in the same order.

    With `parallel_reads` 1 that is the order of the shards; with more, blocks of as many
    shards take turns.

    Yields dicts: `id` and `encoded` string scalars, `index` int64 `[len(labels)]` with -1 where
    a label has no value; with `texts` also `name`, `height`, `width`, and `text` string
    `[len(labels)]`. Raises `UserError` where a shard is missing or not of the recorded size.
    """
    for label in labels:
        info.vocabulary(label)
    paths = info.shard_paths(records, split)
    _check_sizes(paths, info.splits[split].shards)
    features = feature_spec(labels, texts=texts)

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

    dataset = tf.data.TFRecordDataset(paths)
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
