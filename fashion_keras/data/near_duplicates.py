"""Photos' bytes in; a hash of each, pairs of near-duplicates, and the groups they form, out."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fashion_keras.data.photo import decode
from fashion_keras.errors import UserError

HASH_NAME = "pHash of 16×16 bits (ImageHash)"
HASH_SIZE = 16  # 64 bits, the usual, take any two ties or shoes before white for the same photo
THUMBNAIL = 24  # pixels: 1.7 kB a photo, and a shift of a pixel does not matter
_CHUNK = 64


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
    """Hash photos given as (id, JPEG or PNG bytes), some threads at a time.

    pHash (hackerfactor.com, "Looks Like It", 2011) as ImageHash computes it: the signs of the low
    frequencies of the grey photo against their median. `progress` is called with the photos
    done. A photo that cannot be decoded spares the others.
    """
    ids: list[str] = []
    unreadable: dict[str, str] = {}
    found: list[tuple[np.ndarray, np.ndarray, bytes, bytes]] = []
    for chunk in _in_threads(_hash_chunk, _chunks(photos), workers):
        for id, one in chunk:
            if isinstance(one, str):
                unreadable[id] = one
            else:
                ids.append(id)
                found.append(one)
        if progress is not None:
            progress(len(ids) + len(unreadable))
    words = HASH_SIZE**2 // 64
    hashes = np.array([one[0] for one in found], np.uint64).reshape(len(found), words)
    thumbnails = np.array([one[1] for one in found], np.uint8)
    return PhotoHashes(
        ids=tuple(ids),
        hashes=hashes,
        thumbnails=thumbnails.reshape(len(found), THUMBNAIL, THUMBNAIL, 3),
        byte_digests=tuple(one[2] for one in found),
        pixel_digests=tuple(one[3] for one in found),
        unreadable=unreadable,
    )


def _hash_chunk(chunk: list[tuple[str, bytes]]):
    return [(id, _hash(data)) for id, data in chunk]


def _hash(data: bytes) -> tuple[np.ndarray, np.ndarray, bytes, bytes] | str:
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
    return bits.view(np.uint64), np.asarray(thumbnail), hashlib.sha256(data).digest(), pixels


def _chunks(photos: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    photos = iter(photos)
    while chunk := list(itertools.islice(photos, _CHUNK)):
        yield chunk


def _in_threads(function, chunks, workers: int):
    """Yield `function(chunk)` in order, with a bounded number of chunks in memory."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        waiting: deque = deque()
        for chunk in chunks:
            waiting.append(pool.submit(function, chunk))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


# Chosen by looking at pairs of the Kaggle catalogue at every distance (docs/audit.md): up to
# MAX_DISTANCE two photos show the same shape, up to MAX_DIFFERENCE also in the same colours.
MAX_DISTANCE = 12  # of 256 bits
MAX_DIFFERENCE = 0.05
_ROWS = 512  # compared with all others at a time: 45,000 photos take 180 MB


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


def find_pairs(
    photos: PhotoHashes,
    *,
    max_distance: int = MAX_DISTANCE,
    max_difference: float = MAX_DIFFERENCE,
    workers: int = 2,
    progress: Callable[[int], object] | None = None,
) -> Pairs:
    """Find all pairs whose hashes and pixels are close; exact, every photo with every other.

    A pair's hashes differ in at most `max_distance` bits, and its `pixel_differences` is at most
    `max_difference`. `progress` is called with the photos compared so far.
    """
    count = len(photos.ids)
    starts = range(0, count, _ROWS)
    found = []
    with ThreadPoolExecutor(max(1, workers)) as pool:  # NumPy works outside the lock
        for start, block in zip(
            starts,
            pool.map(lambda start: _close(photos.hashes, start, max_distance), starts),
            strict=True,
        ):
            found.append(block)
            if progress is not None:
                progress(min(start + _ROWS, count))
    first, second, distance = (
        np.concatenate([block[i] for block in found]) if found else np.zeros(0, np.int64)
        for i in range(3)
    )
    difference = pixel_differences(photos.thumbnails, first, second)
    kept = difference <= max_difference
    return Pairs(first[kept], second[kept], distance[kept], difference[kept])


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
    numbers = group_numbers(len(photos.ids), find_pairs(photos, progress=progress))
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
