"""A folder of records in, every product's split, labels and photo hashes out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Iterator

import numpy as np

from fashion_keras.data.photo_hash import PhotoHashes, hash_photos
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.tfrecord import read_records

_BATCH = 256


@dataclasses.dataclass(frozen=True)
class RecordedPhotos:
    """All products of some records, in the splits' and shards' order.

    `splits` names each one's split; `labels` maps a label column to text, `[N]`, empty where
    there is no value; `hashes` has its ids and hashes. Photos that cannot be decoded are in
    `hashes.unreadable` alone.
    """

    splits: np.ndarray
    labels: dict[str, np.ndarray]
    hashes: PhotoHashes

    @property
    def ids(self) -> tuple[str, ...]:
        """The products' ids, in order."""
        return self.hashes.ids


def read_photos(
    records: str | os.PathLike,
    *,
    workers: int = 2,
    progress: Callable[[int], object] | None = None,
) -> RecordedPhotos:
    """Read and hash the photos of every split; `progress` is called with those done."""
    info = DatasetInfo.load(records)
    names = list(info.labels)
    splits: dict[str, str] = {}
    texts: dict[str, list[str]] = {}

    def photos() -> Iterator[tuple[str, bytes]]:
        for split, described in info.splits.items():
            if not described.num_examples:
                continue
            for batch in _batches(records, info, split, names):
                for id, encoded, text in batch:
                    splits[id.decode()] = split
                    texts[id.decode()] = [value.decode() for value in text]
                    yield id.decode(), encoded

    hashes = hash_photos(photos(), workers=workers, progress=progress)
    rows = [texts[id] for id in hashes.ids]
    columns = np.array(rows, dtype=object).reshape(len(rows), len(names))
    return RecordedPhotos(
        np.array([splits[id] for id in hashes.ids]),
        {name: columns[:, i] for i, name in enumerate(names)},
        hashes,
    )


def photo_bytes(records: str | os.PathLike, ids: Collection[str]) -> dict[str, bytes]:
    """Return the stored JPEG or PNG of each of a few products."""
    info = DatasetInfo.load(records)
    wanted = {id.encode() for id in ids}
    found = {}
    for split, described in info.splits.items():
        if described.num_examples and len(found) < len(wanted):
            for batch in _batches(records, info, split, list(info.labels)[:1]):
                found |= {id.decode(): encoded for id, encoded, _ in batch if id in wanted}
    return found


def _batches(records, info, split, labels):
    """Yield batches of (id, encoded, texts); a record at a time would cost ten times as long."""
    dataset = read_records(records, info, split, labels, texts=True, parallel_reads=1)
    columns = dataset.map(lambda product: (product["id"], product["encoded"], product["text"]))
    for batch in columns.batch(_BATCH).prefetch(1).as_numpy_iterator():
        yield zip(*batch, strict=True)
