"""Photos' bytes in; a hash of each, pairs of near-duplicates, and the groups they form, out."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from fashion_keras.data.photo import decode
from fashion_keras.data.shard_writer import in_chunks, map_in_order
from fashion_keras.errors import UserError

HASH_NAME = "pHash of 16×16 bits (ImageHash)"
HASH_SIZE = 16  # 64 bits, the usual, take any two ties or shoes before white for the same photo
THUMBNAIL = 24  # pixels: 1.7 kB a photo, and a shift of a pixel does not matter


@dataclasses.dataclass(frozen=True)
class PhotoHashes:
    """What near-duplicates are found by, of N photos in a fixed order.

    `hashes` are 256 bits a photo, uint64 `[N, 4]`; `thumbnails` uint8 `[N, 24, 24, 3]`, the whole
    photo stretched; `byte_digests` and `pixel_digests` tell files and decoded pictures apart.
    `unreadable` has the reason of each photo that could not be decoded; it is not among the N.
    """

    ids: tuple[str, ...]
    hashes: np.ndarray
    thumbnails: np.ndarray
    byte_digests: tuple[bytes, ...]
    pixel_digests: tuple[bytes, ...]
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)


def hash_photos(
    photos: Iterable[tuple[str, bytes]],
    *,
    workers: int = 2,
    progress: Callable[[int], object] | None = None,
) -> PhotoHashes:
    """Hash photos given as (id, JPEG or PNG bytes), by some processes or threads.

    pHash (hackerfactor.com, "Looks Like It", 2011) as ImageHash computes it: the signs of the low
    frequencies of the grey photo against their median. `progress` is called with the photos
    done. A photo that cannot be decoded spares the others.
    """
    with contextlib.closing(map_in_order(hash_chunk, in_chunks(photos), workers)) as chunks:
        return collect_hashes(chunks, progress)


def collect_hashes(
    chunks: Iterable[list[tuple[str, HashOrReason]]],
    progress: Callable[[int], object] | None = None,
) -> PhotoHashes:
    """Return the hashes of all chunks as one; a chunk is what `hash_chunk` returns."""
    ids: list[str] = []
    unreadable: dict[str, str] = {}
    # Grown in place: a million thumbnails are 1.7 GB, and there is no room for a second copy.
    hashes, thumbnails = bytearray(), bytearray()
    byte_digests: list[bytes] = []
    pixel_digests: list[bytes] = []
    for chunk in chunks:
        for id, one in chunk:
            if isinstance(one, str):
                unreadable[id] = one
            else:
                ids.append(id)
                hashes += one[0]
                thumbnails += one[1]
                byte_digests.append(one[2])
                pixel_digests.append(one[3])
        if progress is not None:
            progress(len(ids) + len(unreadable))
    return PhotoHashes(
        ids=tuple(ids),
        hashes=np.frombuffer(hashes, np.uint64).reshape(len(ids), HASH_SIZE**2 // 64),
        thumbnails=np.frombuffer(thumbnails, np.uint8).reshape(len(ids), THUMBNAIL, THUMBNAIL, 3),
        byte_digests=tuple(byte_digests),
        pixel_digests=tuple(pixel_digests),
        unreadable=unreadable,
    )


HashOrReason = tuple[bytes, bytes, bytes, bytes] | str


def hash_chunk(chunk: Iterable[tuple[str, bytes]]) -> list[tuple[str, HashOrReason]]:
    """Return of each photo its id and what it is compared by, or why it cannot be read."""
    return [(id, hash_photo(data)) for id, data in chunk]


def hash_photo(data: bytes) -> HashOrReason:
    """Return what a photo is compared by, or in a few words why it cannot be read."""
    import imagehash
    from PIL import Image

    try:
        image = decode(data)
    except UserError as error:
        return str(error)
    bits = np.packbits(imagehash.phash(image, hash_size=HASH_SIZE).hash)
    thumbnail = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    pixels = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).digest()
    return bits.tobytes(), thumbnail.tobytes(), hashlib.sha256(data).digest(), pixels


# Chosen by looking at pairs of the Kaggle catalogue at every distance (docs/audit.md): up to
# MAX_DISTANCE two photos show the same shape, up to MAX_DIFFERENCE also in the same colours.
MAX_DISTANCE = 12  # of 256 bits
MAX_DIFFERENCE = 0.05
COPIES = 100  # of one photo: of more, pairs are listed with the first ones alone


@dataclasses.dataclass(frozen=True)
class Pairs:
    """P pairs of near-duplicates, as positions among the photos, `first` < `second`.

    `distance` is that of the hashes in bits, `difference` that of the pixels in [0, 1].
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    difference: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, chosen: np.ndarray) -> Pairs:
        """Return some of the pairs, by their places or by a mask."""
        found = (self.first, self.second, self.distance, self.difference)
        return Pairs(*(values[chosen] for values in found))


def find_pairs(
    photos: PhotoHashes,
    *,
    max_distance: int = MAX_DISTANCE,
    max_difference: float = MAX_DIFFERENCE,
    kinds: np.ndarray | None = None,
    workers: int = 2,
    progress: Callable[[int], object] | None = None,
) -> Pairs:
    """Find all pairs whose hashes and pixels are close; exact, by an index of the hashes.

    A pair's hashes differ in at most `max_distance` bits, and its `pixel_differences` is at most
    `max_difference`. `progress` is called with the photos compared so far.

    Where more than `COPIES` photos have the very same pixels, pairs are listed with the first
    `COPIES` of them alone: 10,000 copies of a placeholder would be 50 million pairs. The copies of
    each kind are counted apart (`kinds`, `[N]`, say their splits), so that groups, and which
    photos have a near-duplicate of which kind, are the same as with all pairs.
    """
    keys: Iterable[Hashable] = photos.pixel_digests
    if kinds is not None:
        keys = zip(photos.pixel_digests, kinds.tolist(), strict=True)
    node, example = _nodes(keys)
    close = _close_nodes(photos, example, max_distance, max_difference, workers, progress)
    return _copies(node, close)


def pixel_differences(thumbnails: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the Bray–Curtis dissimilarity of the ink of each pair, float64 `[P]` in [0, 1].

    Ink is 255 − value: white, the background of product photos, weighs nothing, so that a small
    product counts as much as a large one. Σ|a − b| / Σ(a + b) over pixels and channels; 0 for
    two white photos. `thumbnails` is uint8 `[N, height, width, 3]`.
    """
    result = np.zeros(len(first))
    for start in range(0, len(first), 1024):
        part = slice(start, start + 1024)
        a, b = (255 - thumbnails[index[part]].astype(np.int32) for index in (first, second))
        axes = (1, 2, 3)
        total = (a + b).sum(axis=axes)
        result[part] = np.abs(a - b).sum(axis=axes) / np.maximum(total, 1)
    return result


def group_numbers(count: int, pairs: Pairs) -> np.ndarray:
    """Return a group's number for each of `count` photos, int `[count]`.

    Photos linked by pairs, however many steps apart, are one group; a photo without a pair is
    one of its own.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs)), (pairs.first, pairs.second)), shape=(count, count))
    return connected_components(links, directed=False)[1]


def near_duplicate_groups(
    photos: PhotoHashes, *, progress: Callable[[int], object] | None = None
) -> dict[str, int]:
    """Return the group's number of each product that has a near-duplicate."""
    node, example = _nodes(photos.pixel_digests)
    close = _close_nodes(photos, example, MAX_DISTANCE, MAX_DIFFERENCE, 2, progress)
    numbers = group_numbers(len(example), close)[node]
    sizes = np.bincount(numbers)
    return {
        id: int(number) for id, number in zip(photos.ids, numbers, strict=True) if sizes[number] > 1
    }


def describe_groups(groups: Mapping[str, int]) -> dict:
    """Return how groups were found and how large they are, for `dataset_info.json`."""
    sizes = np.bincount(list(groups.values())) if groups else np.zeros(0, int)
    return {
        "hash": HASH_NAME,
        "max_distance": MAX_DISTANCE,
        "max_difference": MAX_DIFFERENCE,
        "groups": int((sizes > 1).sum()),
        "products": len(groups),
        "largest": int(sizes.max(initial=0)),
    }


def _nodes(keys: Iterable[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """Return each photo's node, which photos of one key share, and each node's first photo."""
    numbers: dict[Hashable, int] = {}
    node = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    return node, np.unique(node, return_index=True)[1]


def _close_nodes(photos, example, max_distance, max_difference, workers, progress) -> Pairs:
    """Return the pairs of nodes that are close; `example` is a photo of each."""
    tasks = _tasks(photos.hashes[example], max_distance)
    found = [(np.zeros(0, np.int64),) * 3]
    with ThreadPoolExecutor(max(1, workers)) as pool:  # NumPy works outside the lock
        for part in pool.map(lambda task: task(), tasks):
            found.append(part)
            if progress is not None:
                progress(len(photos.ids) * (len(found) - 1) // len(tasks))
    first, second, distance = (np.concatenate(parts) for parts in zip(*found, strict=True))
    difference = pixel_differences(photos.thumbnails, example[first], example[second])
    return Pairs(first, second, distance, difference)[difference <= max_difference]


def _copies(node: np.ndarray, close: Pairs) -> Pairs:
    """Return the pairs of photos, in order: those of close nodes, and those of one node."""
    order = np.argsort(node, kind="stable")
    count = np.bincount(node)
    start = np.cumsum(count) - count
    several = np.flatnonzero(count > 1)
    a, b = (np.concatenate([ends, several]) for ends in (close.first, close.second))
    few = np.minimum(count, COPIES)
    crossed = (
        _crossed(start[a], few[a], start[b], count[b]),
        _crossed(start[a] + few[a], np.where(a == b, 0, count[a] - few[a]), start[b], few[b]),
    )
    row, x, y = (np.concatenate(parts) for parts in zip(*crossed, strict=True))
    kept = (a[row] != b[row]) | (x < y)
    row, ends = row[kept], np.sort(order[np.array([x[kept], y[kept]])], axis=0)
    in_order = np.lexsort(ends[::-1])
    row, (first, second) = row[in_order], ends[:, in_order]
    nothing = np.zeros(len(several))
    distance = np.concatenate([close.distance, nothing.astype(np.int64)])
    return Pairs(first, second, distance[row], np.concatenate([close.difference, nothing])[row])


def _crossed(start_a, count_a, start_b, count_b) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, of each row, every place of a span a with every place of a span b."""
    total = count_a * count_b
    row = np.repeat(np.arange(len(total)), total)
    at = np.arange(total.sum()) - np.repeat(np.cumsum(total) - total, total)
    return row, start_a[row] + at // count_b[row], start_b[row] + at % count_b[row]


_INDEXED = 20  # bits: beyond, bands are so short that most photos share some
_LEAST_BANDS = 8  # of 32 bits each: two are a key of 64
_ROWS = 512  # compared with all others at a time: 45,000 photos take 180 MB


def _tasks(hashes: np.ndarray, most: int) -> list[Callable[[], tuple[np.ndarray, ...]]]:
    """Return what finds all pairs of hashes that differ in at most `most` bits, each pair once.

    The bits are dealt into two bands more than may differ, so two bands of a pair are equal
    (Manku, Jain and Das Sarma, "Detecting near-duplicates for web crawling", 2007). For every two
    bands, the hashes are sorted by them, and those compared that have both in common.
    """
    if most > _INDEXED:
        return [partial(_close, hashes, start, most) for start in range(0, len(hashes), _ROWS)]
    bands = np.zeros((max(_LEAST_BANDS, most + 2), len(hashes)), np.uint32)
    for bit in range(HASH_SIZE**2):  # dealt in turns, for neighbouring bits say much the same
        band = bands[bit % len(bands)]
        band <<= np.uint32(1)
        band |= (hashes[:, bit // 64] >> np.uint64(bit % 64) & np.uint64(1)).astype(np.uint32)
    return [
        partial(_close_by_bands, hashes, bands, i, j, most)
        for i, j in itertools.combinations(range(len(bands)), 2)
    ]


def _close_by_bands(hashes: np.ndarray, bands: np.ndarray, i: int, j: int, most: int):
    """Return the pairs whose first two equal bands are `i` and `j`."""
    keys = bands[i].astype(np.uint64) << np.uint64(32) | bands[j]
    order = np.argsort(keys)
    keys = keys[order]
    found = [(np.zeros(0, np.int64),) * 3]
    step = 1  # from each hash to the next one, the one after that, … of the same key
    places = np.flatnonzero(keys[1:] == keys[:-1])
    while len(places):
        ends = np.sort([order[places], order[places + step]], axis=0)
        for band in bands[[b for b in range(j) if b != i]]:
            ends = ends[:, band[ends[0]] != band[ends[1]]]
        distance = np.bitwise_count(hashes[ends[0]] ^ hashes[ends[1]]).sum(axis=1, dtype=np.int64)
        near = distance <= most
        found.append((*ends[:, near], distance[near]))
        step += 1
        places = places[places + step < len(keys)]
        places = places[keys[places + step] == keys[places]]
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _close(hashes: np.ndarray, start: int, most: int) -> tuple[np.ndarray, ...]:
    """Return the pairs of which the first is one of `_ROWS` photos from `start` on."""
    rows = hashes[start : start + _ROWS]
    # One word of the four rules most pairs out; only the others are looked at in full.
    near = np.bitwise_count(rows[:, None, 0] ^ hashes[None, start:, 0]) <= most
    first, second = np.nonzero(near)
    later = first < second
    first, second = first[later] + start, second[later] + start
    distance = np.zeros(len(first), np.int64)
    for begin in range(0, len(first), 1 << 20):
        part = slice(begin, begin + (1 << 20))
        different = hashes[first[part]] ^ hashes[second[part]]
        distance[part] = np.bitwise_count(different).sum(axis=1)
    kept = distance <= most
    return first[kept], second[kept], distance[kept]
