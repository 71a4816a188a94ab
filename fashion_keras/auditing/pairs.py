"""Photos in; pairs that a model can hardly tell apart, across splits and with other labels, out."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from fashion_keras.cluster.engine import Cluster
from fashion_keras.data.near_duplicates import (
    HashOrReason,
    Pairs,
    PhotoHashes,
    collect_hashes,
    group_numbers,
    hash_chunk,
    hash_photos,
    pixel_differences,
)
from fashion_keras.data.schema import INFO_FILE, SPLITS, DatasetInfo
from fashion_keras.data.tfrecord import read_records

_BATCH = 256
_Said = tuple[str, str, list[str], str]  # a product's id, split, labels' texts and group


@dataclasses.dataclass(frozen=True)
class RecordedPhotos:
    """All products of some records, in the splits' and shards' order.

    `splits` names each one's split; `labels` maps a label column to text, `[N]`, empty where
    there is no value; `groups` is what `convert --group-column` kept together, empty where a
    product stands alone; `hashes` has its ids and hashes. Photos that cannot be decoded are in
    `hashes.unreadable` alone.
    """

    splits: np.ndarray
    labels: dict[str, np.ndarray]
    groups: np.ndarray
    hashes: PhotoHashes

    @property
    def ids(self) -> tuple[str, ...]:
        """The products' ids, in order."""
        return self.hashes.ids


def read_photos(
    records: str | os.PathLike,
    *,
    cluster: Cluster | None = None,
    progress: Callable[[int], object] | None = None,
) -> RecordedPhotos:
    """Read and hash the photos of every split; `progress` is called with those done.

    Threads do it, or the machines of `cluster`, a shard a task; they then see the records.
    """
    info = DatasetInfo.load(records)
    said: dict[str, _Said] = {}

    def photos() -> Iterator[tuple[str, bytes]]:
        for part in _parts(info, by_shard=False):
            for encoded, noted in _recorded(records, part):
                said[noted[0]] = noted
                yield noted[0], encoded

    def hashed(cluster: Cluster) -> Iterator[list[tuple[str, HashOrReason]]]:
        cluster.share(os.path.join(records, INFO_FILE))
        tasks = ((os.path.abspath(records), part) for part in _parts(info, by_shard=True))
        for noted, chunk in cluster.in_order(_hash_shard, tasks):
            said.update((each[0], each) for each in noted)
            yield chunk

    if cluster:
        hashes = collect_hashes(hashed(cluster), progress)
    else:
        hashes = hash_photos(photos(), progress=progress)
    rows = [said[id] for id in hashes.ids]
    texts = np.array([row[2] for row in rows], dtype=object).reshape(len(rows), len(info.labels))
    return RecordedPhotos(
        np.array([row[1] for row in rows]),
        {name: texts[:, i] for i, name in enumerate(info.labels)},
        np.array([row[3] for row in rows], dtype=object),
        hashes,
    )


def _parts(info: DatasetInfo, *, by_shard: bool) -> Iterator[DatasetInfo]:
    """Yield of each split, or shard, the info that records of it alone would have, in order."""
    for name, split in info.splits.items():
        for shards in [(shard,) for shard in split.shards] if by_shard else [split.shards]:
            count = sum(shard.num_examples for shard in shards)
            alone = dataclasses.replace(split, shards=shards, num_examples=count)
            if count:
                yield dataclasses.replace(info, splits={name: alone})


def _recorded(records, part: DatasetInfo) -> Iterator[tuple[bytes, _Said]]:
    """Yield each product's photo, and what is noted of it."""
    (split,) = part.splits
    for batch in _batches(records, part, split, list(part.labels)):
        for id, encoded, text, group in batch:
            texts = [value.decode() for value in text]
            yield encoded, (id.decode(), split, texts, group.decode())


def _hash_shard(task):
    """Return of a shard what is noted of its products, and their hashes."""
    noted: list[_Said] = []

    def photos() -> Iterator[tuple[str, bytes]]:
        for encoded, each in _recorded(*task):
            noted.append(each)
            yield each[0], encoded

    hashes = hash_chunk(photos())
    return noted, hashes


def photo_bytes(records: str | os.PathLike, ids: Collection[str]) -> dict[str, bytes]:
    """Return the stored JPEG or PNG of each of a few products."""
    info = DatasetInfo.load(records)
    wanted = {id.encode() for id in ids}
    found: dict[str, bytes] = {}
    for split, described in info.splits.items():
        if described.num_examples and len(found) < len(wanted):
            for batch in _batches(records, info, split, list(info.labels)[:1]):
                found |= {id.decode(): encoded for id, encoded, *_ in batch if id in wanted}
    return found


def _batches(records, info, split, labels):
    """Yield batches of (id, encoded, texts, group); a record at a time takes ten times as long."""
    dataset = read_records(records, info, split, labels, texts=True, parallel_reads=1)
    wanted = ("id", "encoded", "text", "group")
    columns = dataset.map(lambda product: tuple(product[name] for name in wanted))
    for batch in columns.batch(_BATCH).prefetch(1).as_numpy_iterator():
        yield zip(*batch, strict=True)


# Chosen by looking at pairs of the Kaggle catalogue at every similarity (docs/audit.md): a
# classifier's features say class and pose, so that pixels have to agree as well.
MIN_SIMILARITY = 0.99
MAX_DIFFERENCE = 0.02
NEIGHBOURS = 20  # a photo: what is beyond is linked through others anyway


def similar_pairs(
    photos: PhotoHashes,
    ids: Sequence[str],
    features: np.ndarray,
    *,
    min_similarity: float = MIN_SIMILARITY,
    max_difference: float = MAX_DIFFERENCE,
    neighbours: int = NEIGHBOURS,
) -> tuple[Pairs, np.ndarray]:
    """Find pairs whose features have a cosine of at least `min_similarity`, and alike pixels.

    Looks at each photo's nearest `neighbours`; of those, pairs whose `pixel_differences` is at
    most `max_difference` are kept. `ids` and `features` (unit length, `[N, D]`) are
    in any order; positions in the pairs are those of `photos`. Returns the pairs, with their
    hashes' distance and pixel difference, and the cosine of each.
    """
    from sklearn.neighbors import NearestNeighbors

    place = {id: index for index, id in enumerate(photos.ids)}
    hashed = np.array([id in place for id in ids], bool)  # one that cannot be decoded has no hash
    features = features[hashed]
    position = np.array([place[id] for id in ids if id in place], int)
    count = min(neighbours + 1, len(position))
    index = NearestNeighbors(n_neighbors=count, metric="cosine", algorithm="brute").fit(features)
    distances, nearest = index.kneighbors(features)
    row, column = np.nonzero(distances <= 1 - min_similarity)
    a, b = position[row], position[nearest[row, column]]
    similarity = 1 - distances[row, column]
    first, second = np.minimum(a, b), np.maximum(a, b)
    # A pair is met from both sides, and each photo meets itself.
    _, once = np.unique(first * np.int64(len(photos.ids)) + second, return_index=True)
    once = once[first[once] < second[once]]
    difference = pixel_differences(photos.thumbnails, first[once], second[once])
    once, difference = once[difference <= max_difference], difference[difference <= max_difference]
    first, second = first[once], second[once]
    distance = np.bitwise_count(photos.hashes[first] ^ photos.hashes[second]).sum(axis=1)
    return Pairs(first, second, distance.astype(np.int64), difference), similarity[once]


def duplicates_report(photos: RecordedPhotos, pairs: Pairs) -> dict:
    """Count near-duplicates within and across splits, ready for JSON.

    Returns `photos` (by split), `pairs` (by the two splits), `with_near_duplicate` (for each
    split, how many of its photos have one in each split, and anywhere), `groups` (photos linked
    by pairs), `identical` (photos with the same bytes, and with the same pixels), and
    `unreadable` (id to reason of photos that cannot be decoded; they are in no other count).
    """
    return {
        "unreadable": photos.hashes.unreadable,
        "photos": {name: int((photos.splits == name).sum()) for name in _splits(photos)},
        "pairs": _pairs_by_splits(photos, pairs),
        "with_near_duplicate": {
            name: _with_near_duplicate(photos, pairs, name) for name in _splits(photos)
        },
        "groups": _groups(len(photos.ids), pairs),
        "identical": {
            "bytes": _identical(photos, photos.hashes.byte_digests),
            "pixels": _identical(photos, photos.hashes.pixel_digests),
        },
        "pairs_with_other_labels": {
            label: int(_differs(texts, pairs.first, pairs.second).sum())
            for label, texts in photos.labels.items()
        },
    }


def has_near_duplicate_in(photos: RecordedPhotos, pairs: Pairs, split: str) -> np.ndarray:
    """Say of each photo whether another one, of `split`, is its near-duplicate: bool `[N]`."""
    result = np.zeros(len(photos.ids), bool)
    inside = photos.splits == split
    result[pairs.first[inside[pairs.second]]] = True
    result[pairs.second[inside[pairs.first]]] = True
    return result


def conflicts(photos: RecordedPhotos) -> list[dict]:
    """List the photos of the same pixels that have different labels, a row a group and label.

    Each row has `label`, `ids`, `splits` and `values`, in the photos' order. A missing value
    conflicts with nothing.
    """
    rows = []
    groups = _same(photos.hashes.pixel_digests)
    for label, texts in photos.labels.items():
        for members in groups:
            values = [texts[index] for index in members]
            if len({value for value in values if value}) > 1:
                rows.append(
                    {
                        "label": label,
                        "ids": [photos.ids[index] for index in members],
                        "splits": [str(photos.splits[index]) for index in members],
                        "values": values,
                    }
                )
    return rows


def pair_rows(photos: RecordedPhotos, pairs: Pairs) -> list[dict]:
    """Return a dict a pair: ids, splits, both distances, same pixels, labels that differ."""
    digests = photos.hashes.pixel_digests
    rows = []
    for a, b, distance, difference in zip(
        pairs.first, pairs.second, pairs.distance, pairs.difference, strict=True
    ):
        differing = [k for k, texts in photos.labels.items() if _differs(texts, a, b)]
        rows.append(
            {
                "id_a": photos.ids[a],
                "id_b": photos.ids[b],
                "split_a": str(photos.splits[a]),
                "split_b": str(photos.splits[b]),
                "hash_distance": int(distance),
                "pixel_difference": round(float(difference), 6),
                "same_pixels": digests[a] == digests[b],
                "labels_that_differ": " ".join(differing),
            }
        )
    return rows


def _splits(photos: RecordedPhotos) -> list[str]:
    return [name for name in SPLITS if (photos.splits == name).any()]


def _pairs_by_splits(photos: RecordedPhotos, pairs: Pairs) -> dict[str, int]:
    one, other = photos.splits[pairs.first], photos.splits[pairs.second]
    return {
        f"{a}–{b}": int(((one == a) & (other == b) | (one == b) & (other == a)).sum())
        for a, b in itertools.combinations_with_replacement(_splits(photos), 2)
    }


def _with_near_duplicate(photos: RecordedPhotos, pairs: Pairs, split: str) -> dict[str, int]:
    inside = photos.splits == split
    twice = {f"in {name}": has_near_duplicate_in(photos, pairs, name) for name in SPLITS}
    twice["anywhere"] = np.any([*twice.values()], axis=0)
    return {where: int((inside & found).sum()) for where, found in twice.items()}


def _groups(count: int, pairs: Pairs) -> dict:
    sizes = np.bincount(group_numbers(count, pairs))
    several = sizes[sizes > 1]
    return {
        "groups": len(several),
        "photos": int(several.sum()),
        "largest": int(several.max(initial=0)),
    }


def _identical(photos: RecordedPhotos, digests: Sequence[bytes]) -> dict:
    groups = _same(digests)
    differing = {}
    for label, texts in photos.labels.items():
        values = [{texts[i] for i in members if texts[i]} for members in groups]
        differing[label] = sum(len(found) > 1 for found in values)
    return {
        "groups": len(groups),
        "photos": sum(map(len, groups)),
        "groups_with_conflicting": differing,
    }


def _same(digests: Sequence[bytes]) -> list[list[int]]:
    by_digest = defaultdict(list)
    for index, digest in enumerate(digests):
        by_digest[digest].append(index)
    return [members for members in by_digest.values() if len(members) > 1]


def _differs(texts, a, b):
    """Say whether two photos have different values, where both have one."""
    one, other = texts[a], texts[b]
    return (one != other) & (one != "") & (other != "")
