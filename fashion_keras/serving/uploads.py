"""A file that somebody dropped on the page in; bytes that a bundle decodes, or a sentence, out.

Imports no TensorFlow.
"""

from __future__ import annotations

import base64
import io

from PIL import Image, UnidentifiedImageError

from fashion_keras.data.catalog import PhotoInfo
from fashion_keras.data.photos import stored_photo
from fashion_keras.errors import UserError
from fashion_keras.serving.formats import MAX_PIXELS

MAX_BYTES = 32 * 2**20
_READ = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
_MAX_SIDE = 1024  # pixels, of a photo that is encoded anew: more than any model looks at
_SHOWN_SIDE = 320  # pixels; twice what the page shows, for fine screens


def read_upload(data: bytes) -> tuple[bytes, str]:
    """Return a photo's JPEG or PNG bytes, and a small upright picture of it as a data URI.

    Raises `UserError`, a sentence that does not name the file, where it is no photo that can be
    read: empty, another kind of file, damaged, or larger than 32 MiB or 64 megapixels.
    """
    if len(data) > MAX_BYTES:
        raise UserError(f"This file is larger than {MAX_BYTES // 2**20} MiB.")
    info = _header(data)
    try:
        if info.width * info.height <= MAX_PIXELS.get(info.format, 0):
            encoded = data
        else:
            encoded, _, _ = stored_photo(data, info, _MAX_SIDE)
        shown, _, _ = stored_photo(data, info, _SHOWN_SIDE)
    except UserError:
        raise UserError("This photo is damaged: it begins well but cannot be decoded.") from None
    return encoded, data_uri(shown)


def data_uri(encoded: bytes) -> str:
    """Return JPEG or PNG bytes as `data:image/…;base64,…`."""
    kind = "png" if encoded.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def _header(data: bytes) -> PhotoInfo:
    if not data:
        raise UserError("This file is empty.")
    try:
        with Image.open(io.BytesIO(data), formats=_READ) as image:
            (width, height), kind, mode = image.size, image.format, image.mode
    except UnidentifiedImageError:
        raise UserError(
            "This is not a photo that can be read: expected JPEG, PNG, WebP, GIF, BMP or TIFF."
        ) from None
    except MemoryError:
        raise
    except Exception:  # headers of junk raise nearly anything, a decompression bomb its own
        raise UserError("This photo is damaged, or far too large.") from None
    if width * height > max(MAX_PIXELS.values()):
        raise UserError(
            f"This photo has {width:,} × {height:,} pixels: at most "
            f"{max(MAX_PIXELS.values()) // 10**6} megapixels are read."
        )
    # MPO is a JPEG with a second one behind it. `rotated` has stored_photo look for an orientation,
    # which browsers apply to a photo as well.
    return PhotoInfo(height, width, "JPEG" if kind == "MPO" else kind, mode, rotated=True)
