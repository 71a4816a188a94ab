"""A catalogue in; the same less unreadable photos, and size and format of the others, out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from fashion_keras.cluster.engine import Cluster
from fashion_keras.data.archive import Archive
from fashion_keras.data.catalog import Catalog
from fashion_keras.data.photo import PhotoInfo, check
from fashion_keras.data.shard_writer import map_photos
from fashion_keras.errors import UserError
from fashion_keras.quiet import load_tensorflow


def check_photos(
    catalog: Catalog,
    archive: Archive,
    *,
    workers: int = 2,
    cluster: Cluster | None = None,
    progress: Callable[[int], object] | None = None,
) -> tuple[Catalog, dict[str, PhotoInfo]]:
    """Decode every product's photo and leave out those that cannot be read.

    Streams: no more than one photo a worker is in memory. JPEGs are decoded at an eighth of
    their size, which still reads every byte, so that a truncated one is noticed.

    Args:
        catalog: what `read_catalog` returned for `archive`.
        archive: where the photos are.
        workers: processes or threads, see `map_photos`.
        cluster: whose machines do it instead.
        progress: called with the number of photos done so far, from the calling thread.

    Returns:
        The catalogue less the unreadable photos, which are in `left_out` and
        `without_photo`, and a `PhotoInfo` for each remaining product's id.
    """
    photos = ((product.id, product.photo) for product in catalog.products)
    infos: dict[str, PhotoInfo] = {}
    shared: dict[PhotoInfo, PhotoInfo] = {}  # most photos are alike, and each comes as a new one
    unreadable: dict[str, str] = {}
    # Closing cancels what has not begun, so that Ctrl-C need not wait for all photos.
    with contextlib.closing(map_photos(_checked, archive, photos, workers, cluster)) as results:
        for found in results:
            for id, info in found:
                if isinstance(info, PhotoInfo):
                    infos[id] = shared.setdefault(info, info)
                else:
                    unreadable[id] = info
            if progress is not None:
                progress(len(infos) + len(unreadable))
    checked = catalog.without_unreadable(unreadable)
    if not infos:
        count = len(catalog.products)
        first = checked.left_out[-count].detail if count else "there are none"
        raise UserError(f"{catalog.source}: none of its {count:,} photos can be read ({first})")
    return checked, infos


def check_photo(data: bytes) -> PhotoInfo:
    """Return what a photo's header says; `UserError`, a few words, where it cannot be read.

    `photo.check` decides. A PNG is decoded by TensorFlow too: its checksums can be right and its
    data wrong, which Pillow forgives.
    """
    info = check(data)
    if info.format == "PNG" and not _is_decoded_by_tensorflow(data):
        raise UserError("damaged (TensorFlow cannot decode it)")
    return info


def _checked(archive: Archive, name: str) -> PhotoInfo:
    return check_photo(archive.read(name))


def _is_decoded_by_tensorflow(png: bytes) -> bool:
    """Say whether training can read a PNG that Pillow has read, which forgives a cut end."""
    tf = load_tensorflow()
    try:
        tf.io.decode_png(png)
    except tf.errors.OpError:
        return False
    return True
