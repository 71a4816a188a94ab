"""A catalogue in; the same less unreadable photos, and size and format of the others, out."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from fashion_keras.data.archive import Archive
from fashion_keras.data.catalog import UNREADABLE, Catalog, LeftOut, PhotoInfo, Product
from fashion_keras.errors import UserError

MAX_PIXELS = 64_000_000
# Pillow knows many more formats, some of which start other programs.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
_ORIENTATION = 0x0112  # EXIF 2.32, table 4: 1 is upright, 5 to 8 swap height and width
_CHUNK = 64  # photos a task: fewer cost more in handing over than in decoding


def check_photos(
    catalog: Catalog,
    archive: Archive,
    *,
    workers: int = 2,
    progress: Callable[[int], object] | None = None,
) -> tuple[Catalog, dict[str, PhotoInfo]]:
    """Decode every product's photo and leave out those that cannot be read.

    Streams: no more than one photo a worker is in memory. JPEGs are decoded at an eighth of
    their size, which still reads every byte, so that a truncated one is noticed.

    Args:
        catalog: what `read_catalog` returned for `archive`.
        archive: where the photos are.
        workers: threads; Pillow decodes outside the interpreter's lock.
        progress: called with the number of photos done so far, from the calling thread.

    Returns:
        The catalogue less the unreadable photos, which are in `left_out` and
        `without_photo`, and a `PhotoInfo` for each remaining product's id.
    """
    from PIL import TiffImagePlugin, WebPImagePlugin  # noqa: F401 (registers formats)

    def check(products: Sequence[Product]) -> list[PhotoInfo | str]:
        return [_check_photo(archive, product.photo) for product in products]

    products = catalog.products
    chunks = [products[i : i + _CHUNK] for i in range(0, len(products), _CHUNK)]
    infos: dict[str, PhotoInfo] = {}
    unreadable: dict[str, str] = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(max(1, workers)) as pool:
        # Of damaged metadata, and of more pixels than `MAX_PIXELS`, which are refused anyway.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        # Closing cancels what has not begun, so that Ctrl-C need not wait for all photos.
        with contextlib.closing(pool.map(check, chunks)) as results:
            for chunk, found in zip(chunks, results, strict=True):
                for product, info in zip(chunk, found, strict=True):
                    if isinstance(info, PhotoInfo):
                        infos[product.id] = info
                    else:
                        unreadable[product.id] = f"{product.photo}: {info}"
                if progress is not None:
                    progress(len(infos) + len(unreadable))
    if not infos:
        raise UserError(
            f"{catalog.source}: none of its {len(products):,} photos can be read "
            f"({next(iter(unreadable.values()), 'there are none')})"
        )
    checked = dataclasses.replace(
        catalog,
        products=tuple(p for p in products if p.id in infos),
        without_photo=catalog.without_photo
        + tuple(dataclasses.replace(p, photo=None) for p in products if p.id in unreadable),
        left_out=catalog.left_out
        + tuple(LeftOut(id, UNREADABLE, detail) for id, detail in unreadable.items()),
    )
    return checked, infos


def _check_photo(archive: Archive, name: str) -> PhotoInfo | str:
    """Return a photo's `PhotoInfo`, or in a few words why it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        data = archive.read(name)
    except UserError as error:
        return str(error)
    if not data:
        return "empty file"
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                return f"too many pixels ({width}×{height})"
            mode = image.mode
            image.draft(None, (1, 1))
            image.load()
            orientation = _orientation(image)
            if orientation >= 5:
                height, width = width, height
            # A JPEG with a second picture for 3D screens; decoders read the first.
            format = "JPEG" if image.format == "MPO" else image.format
            damaged = format == "PNG" and not _is_decoded_by_tensorflow(data)
            return PhotoInfo(height, width, format, mode, orientation != 1, damaged)
    except Image.DecompressionBombError:
        return "too many pixels"
    except UnidentifiedImageError:
        return "not an image"
    except MemoryError:
        raise
    except Exception as error:  # decoders fed with junk raise nearly anything
        if "truncated" in str(error).lower():
            return "truncated"
        return f"damaged ({error})"


def _is_decoded_by_tensorflow(png: bytes) -> bool:
    """Say whether training can read a PNG that Pillow has read, which forgives a cut end."""
    import tensorflow as tf

    try:
        tf.io.decode_png(png)
    except tf.errors.OpError:
        return False
    return True


def _orientation(image) -> int:
    """Return the EXIF orientation, 1 (upright) to 8; 1 where there is none or it is damaged."""
    if not image.info.keys() & {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}:
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # metadata fed with junk raise nearly anything, and the photo is fine
        return 1
    return orientation if orientation in range(1, 9) else 1
