"""A catalogue in; the same less unreadable photos, and size and format of the others, out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence

from fashion_keras.cluster.engine import Cluster
from fashion_keras.data.archive import Archive
from fashion_keras.data.catalog import Catalog, Product
from fashion_keras.data.photo import PhotoInfo, check
from fashion_keras.data.shard_writer import map_in_order
from fashion_keras.errors import UserError
from fashion_keras.quiet import load_tensorflow

_CHUNK = 64  # photos a task: fewer cost more in handing over than in decoding
_CHUNK_OF_CLUSTER = 512  # likewise, from machine to machine


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
        workers: processes or threads, see `map_in_order`.
        cluster: whose machines do it instead.
        progress: called with the number of photos done so far, from the calling thread.

    Returns:
        The catalogue less the unreadable photos, which are in `left_out` and
        `without_photo`, and a `PhotoInfo` for each remaining product's id.
    """
    products = catalog.products
    size = _CHUNK_OF_CLUSTER if cluster else _CHUNK
    spans = [slice(i, i + size) for i in range(0, len(products), size)]
    infos: dict[str, PhotoInfo] = {}
    shared: dict[PhotoInfo, PhotoInfo] = {}  # most photos are alike, and each comes as a new one
    unreadable: dict[str, str] = {}
    # Closing cancels what has not begun, so that Ctrl-C need not wait for all photos.
    found_in_order = _checks(products, spans, archive, workers, cluster)
    with contextlib.closing(found_in_order) as results:
        for span, found in zip(spans, results, strict=True):
            for product, info in zip(products[span], found, strict=True):
                if isinstance(info, PhotoInfo):
                    infos[product.id] = shared.setdefault(info, info)
                else:
                    unreadable[product.id] = info
            if progress is not None:
                progress(len(infos) + len(unreadable))
    checked = catalog.without_unreadable(unreadable)
    if not infos:
        first = checked.left_out[-len(products)].detail if products else "there are none"
        raise UserError(
            f"{catalog.source}: none of its {len(products):,} photos can be read ({first})"
        )
    return checked, infos


def _checks(
    products: Sequence[Product],
    spans: Sequence[slice],
    archive: Archive,
    workers: int,
    cluster: Cluster | None,
) -> Generator[list[PhotoInfo | str], None, None]:
    """Yield what is found of each span's photos, in order."""
    names = ([product.photo for product in products[span]] for span in spans)
    if cluster is None:
        return map_in_order(lambda some: _check_part((archive, some)), names, workers)
    parts = ((archive.part(name or "" for name in some), some) for some in names)
    return cluster.in_order(_check_part, parts)


def _check_part(part: tuple[Archive, Sequence[str | None]]) -> list[PhotoInfo | str]:
    archive, names = part
    return [_checked(archive, name) for name in names]


def check_photo(data: bytes) -> PhotoInfo:
    """Return what a photo's header says; `UserError`, a few words, where it cannot be read.

    `photo.check` decides. A PNG is decoded by TensorFlow too: its checksums can be right and its
    data wrong, which Pillow forgives.
    """
    info = check(data)
    if info.format == "PNG" and not _is_decoded_by_tensorflow(data):
        raise UserError("damaged (TensorFlow cannot decode it)")
    return info


def _checked(archive: Archive, name: str | None) -> PhotoInfo | str:
    """Return a photo's `PhotoInfo`, or in a few words why it cannot be read."""
    assert name is not None  # as in all of a catalogue's `products`
    try:
        return check_photo(archive.read(name))
    except UserError as error:
        return str(error)
    except MemoryError:
        return "it does not fit in memory"


def _is_decoded_by_tensorflow(png: bytes) -> bool:
    """Say whether training can read a PNG that Pillow has read, which forgives a cut end."""
    tf = load_tensorflow()
    try:
        tf.io.decode_png(png)
    except tf.errors.OpError:
        return False
    return True
