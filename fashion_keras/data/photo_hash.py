"""Photos' bytes in; a perceptual hash, a thumbnail and digests of each out."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
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
