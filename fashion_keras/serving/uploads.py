"""A file that somebody dropped on the page in; bytes that a bundle decodes, or a sentence, out.

Imports no TensorFlow.
"""

from __future__ import annotations

import base64

from fashion_keras.data.photo import encode
from fashion_keras.errors import UserError
from fashion_keras.serving.formats import served_photo

MAX_BYTES = 32 * 2**20
_SHOWN_SIDE = 320  # pixels; twice what the page shows, for fine screens


def read_upload(data: bytes) -> tuple[bytes, str]:
    """Return a photo's JPEG or PNG bytes, and a small upright picture of it as a data URI.

    Raises `UserError`, a sentence that does not name the file, where it is no photo that can be
    read, as `data.photo` decides, or larger than 32 MiB.
    """
    if len(data) > MAX_BYTES:
        raise UserError(f"This file is larger than {MAX_BYTES // 2**20} MiB.")
    try:
        encoded, _ = served_photo(data)
        shown, _, _ = encode(data, _SHOWN_SIDE)
    except UserError as error:
        raise UserError(f"This photo cannot be read: {error}.") from error
    return encoded, data_uri(shown)


def data_uri(encoded: bytes) -> str:
    """Return JPEG or PNG bytes as `data:image/…;base64,…`."""
    kind = "png" if encoded.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
