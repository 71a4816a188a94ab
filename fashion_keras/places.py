"""A path from an option, a config or a caller in; the same out, unless it is an address.

`gs://bucket/records` would be taken for a local folder `gs:` and written there in silence.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from fashion_keras.errors import UserError

# One slash is enough, for `Path` makes one of two. One letter is a Windows drive.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
NO_ADDRESS = "is an address: expected a file or folder of this machine; copy it here first"


def is_address(path: str | os.PathLike) -> bool:
    """Return whether `path` is an address, such as `gs://bucket/x` or `https://shop.example/x`."""
    return _ADDRESS.match(os.fspath(path)) is not None


def place(path: str | os.PathLike) -> Path:
    """Return `path`, for argparse's `type` and for callers; `UserError` where it is an address."""
    return Path(place_text(path))


def place_text(path: str | os.PathLike) -> str:
    """Return `path` as it is written; `UserError` where it is an address."""
    if is_address(path):
        raise UserError(f"{path} {NO_ADDRESS}")
    return os.fspath(path)
