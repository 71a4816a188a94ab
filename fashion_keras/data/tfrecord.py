"""Photos with labels in, TFRecord shards out, and back again.

Writing needs no TensorFlow, whose start takes longer than a small catalogue's conversion.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import google_crc32c

from fashion_keras.data import schema
from fashion_keras.data.schema import DatasetInfo, ShardInfo
from fashion_keras.errors import UserError
from fashion_keras.io import replacing
from fashion_keras.reading import sha256_of

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Record:
    """One product as it is stored: `encoded` JPEG or PNG bytes, sizes in pixels, labels as text.

    `group` is what keeps it in one split with others, "" where nothing does, and None where the
    catalogue was converted without groups: then it is not stored. `texts` maps text columns to
    their text; that of Kaggle's is stored as `name` anyway.
    """

    id: str
    name: str
    encoded: bytes
    height: int
    width: int
    labels: dict[str, str | None]
    group: str | None = None
    texts: dict[str, str] = dataclasses.field(default_factory=dict)


def to_example(record: Record, vocabularies: dict[str, dict[str, int]]) -> bytes:
    """Serialise a record as tf.Example; `vocabularies` maps label to class name to index.

    A label without a value is stored as empty text and index -1.
    """
    entries = [
        (schema.ID, _entry(schema.ID, record.id.encode())),
        (schema.NAME, _entry(schema.NAME, record.name.encode())),
        (schema.IMAGE, _entry(schema.IMAGE, record.encoded)),
        (schema.HEIGHT, _number_entry(schema.HEIGHT, record.height)),
        (schema.WIDTH, _number_entry(schema.WIDTH, record.width)),
    ]
    if record.group is not None:
        entries.append((schema.GROUP, _entry(schema.GROUP, record.group.encode())))
    for column, text in record.texts.items():
        if (key := schema.text_key(column)) != schema.NAME:
            entries.append((key, _entry(key, text.encode())))
    for label, indices in vocabularies.items():
        value = record.labels.get(label)
        index = schema.MISSING if value is None else indices[value]
        entries += _label_entries(label, value or "", index)
    # A map's order is otherwise free, and the same catalogue must give the same shards.
    return _field(1, b"".join(entry for _, entry in sorted(entries)))


@functools.lru_cache(2**16)  # products share their labels
def _label_entries(label: str, text: str, index: int) -> tuple[tuple[str, bytes], ...]:
    text_key, index_key = schema.label_text_key(label), schema.label_index_key(label)
    return (text_key, _entry(text_key, text.encode())), (index_key, _number_entry(index_key, index))


# A tf.Example is {features = 1: {feature = 1: map<string, Feature>}}, a Feature one of
# {bytes_list = 1: {value = 1: bytes}} and {int64_list = 3: {value = 1: packed varints}}
# (tensorflow/core/example/feature.proto).


def _entry(key: str, value: bytes) -> bytes:
    """Return a map's entry, serialised: a key and a Feature of one value."""
    return _field(1, _field(1, key.encode()) + _field(2, _field(1, _field(1, value))))


@functools.lru_cache(2**12)  # photos share their sizes
def _number_entry(key: str, value: int) -> bytes:
    feature = _field(3, _field(1, bytes(_varint(value % 2**64))))
    return _field(1, _field(1, key.encode()) + _field(2, feature))


def _field(number: int, content: bytes) -> bytes:
    """Serialise a field that holds bytes or a message (protobuf.dev, "Encoding")."""
    size = len(content)
    length = (size,) if size < 0x80 else _varint(size)
    return bytes((number << 3 | 2, *length)) + content


def _varint(value: int) -> list[int]:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return parts


def shard_name(split: str, index: int, count: int) -> str:
    """Return a shard's file name, e.g. `train-00000-of-00004.tfrecord`."""
    return f"{split}-{index:05d}-of-{count:05d}{schema.SHARD_SUFFIX}"


def write_shard(path: Path, examples: Iterable[bytes]) -> ShardInfo:
    """Write serialised examples to `path`, whole or not at all; return what was written."""
    count = 0
    with replacing(path) as partial:
        with open(partial, "wb", buffering=2**20) as file:
            for example in examples:
                length = struct.pack("<Q", len(example))
                file.write(b"".join((length, _checksum(length), example, _checksum(example))))
                count += 1
        return ShardInfo(path.name, count, partial.stat().st_size, sha256_of(partial))


def _checksum(data: bytes) -> bytes:
    """Return TFRecord's masked CRC-32C (tensorflow.org/tutorials/load_data/tfrecord)."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def feature_spec(
    labels: Sequence[str], *, texts: bool = False, titles: Iterable[str] = ()
) -> dict[str, tf.io.FixedLenFeature]:
    """Return what `tf.io.parse_example` needs to read the records' features.

    Photo, id and each label's index; with `texts` also name, height, width, labels' texts and the
    group, "" where none is stored.
    `titles` are the features of text columns, the values of `DatasetInfo.texts`.
    """
    import tensorflow as tf

    text, number = tf.io.FixedLenFeature([], tf.string), tf.io.FixedLenFeature([], tf.int64)
    spec = {schema.ID: text, schema.IMAGE: text}
    spec |= {schema.label_index_key(label): number for label in labels}
    if texts:
        spec |= {schema.NAME: text, schema.HEIGHT: number, schema.WIDTH: number}
        spec |= {schema.label_text_key(label): text for label in labels}
        spec[schema.GROUP] = tf.io.FixedLenFeature([], tf.string, default_value="")
    return spec | {key: text for key in titles}


def read_records(
    records: str | os.PathLike,
    info: DatasetInfo,
    split: str,
    labels: Sequence[str],
    *,
    texts: bool = False,
    titles: bool = False,
    parallel_reads: int = 4,
) -> tf.data.Dataset:
    """Read a split's shards, always in the same order.

    With `parallel_reads` 1 that is the order of the shards; with more, blocks of as many
    shards take turns.

    Yields dicts: `id` and `encoded` string scalars, `index` int64 `[len(labels)]` with -1 where
    a label has no value; with `texts` also `name`, `group`, `height`, `width`, and `text` string
    `[len(labels)]`; with `titles` also `title` string `[len(info.texts)]`, the product's text of
    each text column, empty where it has none. Raises `UserError` where a shard is missing or not
    of the recorded size, and where `titles` are asked of records without text.
    """
    import tensorflow as tf

    for label in labels:
        info.vocabulary(label)
    paths = info.shard_paths(records, split)
    info.fetch(records, split)
    _check_sizes(paths, info.splits[split].shards)
    if titles and not info.texts:
        raise UserError(
            f"the records {records} hold no text of their products: convert the catalogue again "
            "with --text-column NAME"
        )
    columns = list(info.texts.values()) if titles else []
    features = feature_spec(labels, texts=texts, titles=columns)

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
                "group": raw[schema.GROUP],
                "height": raw[schema.HEIGHT],
                "width": raw[schema.WIDTH],
                "text": tf.stack([raw[schema.label_text_key(k)] for k in labels]),
            }
        if titles:
            product["title"] = tf.stack([raw[key] for key in columns])
        return product

    dataset = _serialised(paths, parallel_reads)
    return dataset.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _serialised(paths: Sequence[str], parallel_reads: int) -> tf.data.Dataset:
    import tensorflow as tf

    if parallel_reads == 1 or len(paths) == 1:
        return tf.data.TFRecordDataset(paths)
    return tf.data.Dataset.from_tensor_slices(paths).interleave(
        tf.data.TFRecordDataset,
        cycle_length=min(parallel_reads, len(paths)),
        block_length=16,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


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
