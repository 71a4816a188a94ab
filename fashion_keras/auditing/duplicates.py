"""Photos and pairs of near-duplicates in; counts across splits and conflicting labels out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from fashion_keras.auditing.photos import RecordedPhotos
from fashion_keras.data.near_duplicates import Pairs, group_numbers
from fashion_keras.data.schema import SPLITS


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
        "pairs": _pairs_by_splits(photos.splits, pairs),
        "with_near_duplicate": {
            name: _with_near_duplicate(photos.splits, pairs, name) for name in _splits(photos)
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
    for members in _same(photos.hashes.pixel_digests):
        for label, texts in photos.labels.items():
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
    order = {label: place for place, label in enumerate(photos.labels)}
    return sorted(rows, key=lambda row: order[row["label"]])


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


def _pairs_by_splits(splits: np.ndarray, pairs: Pairs) -> dict[str, int]:
    place = {name: i for i, name in enumerate(SPLITS)}
    counts = Counter(
        tuple(sorted(pair, key=place.__getitem__))
        for pair in zip(splits[pairs.first].tolist(), splits[pairs.second].tolist(), strict=True)
    )
    return {
        f"{a}–{b}": counts[a, b]
        for i, a in enumerate(SPLITS)
        for b in SPLITS[i:]
        if {a, b} <= set(splits.tolist())
    }


def _with_near_duplicate(splits: np.ndarray, pairs: Pairs, split: str) -> dict[str, int]:
    ends = np.concatenate([pairs.first, pairs.second])
    others = np.concatenate([pairs.second, pairs.first])
    own = splits[ends] == split
    ends, others = ends[own], splits[others[own]]
    counts = {f"in {name}": len(np.unique(ends[others == name])) for name in SPLITS}
    return {**counts, "anywhere": len(np.unique(ends))}


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
