"""What a CSV says of a photo in, the photo's name in the archive out."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Iterable

IMAGES = "images/"
EXTENSIONS = ("", ".jpg", ".jpeg", ".png")


class PhotoFinder:
    """Finds a photo in the archive by what the CSV says of it, in exact case first.

    An ü may be one character or a u with two dots upon it, as macOS writes names: either finds
    the other.
    """

    def __init__(self, names: Iterable[str], folder: str, own: bool):
        names = list(names)
        self._exact = {_composed(name): name for name in names} | {name: name for name in names}
        self._lower = {_composed(name).lower(): name for name in names}
        images = posixpath.join(folder, IMAGES)
        self._folders = (folder, images) if own else (images,)

    def find(self, value: str) -> str | None:
        """Return the photo's name in the archive, None where there is none."""
        value = value.replace("\\", "/")
        paths = [posixpath.normpath(posixpath.join(folder, value)) for folder in self._folders]
        return (
            self._first(self._exact, paths)
            or self._first(self._exact, [_composed(path) for path in paths])
            or self._first(self._lower, [_composed(path).lower() for path in paths])
        )

    @staticmethod
    def _first(names: dict[str, str], paths: list[str]) -> str | None:
        candidates = (path + extension for path in paths for extension in EXTENSIONS)
        return next((names[path] for path in candidates if path in names), None)

    def where(self, value: str) -> str:
        """Say where the photo was expected."""
        return posixpath.join(self._folders[-1], value)


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def without_extension(path: str) -> str:
    """Return a photo's path without `.jpg`, `.jpeg` or `.png`."""
    stem, extension = posixpath.splitext(path)
    return stem if extension.lower() in EXTENSIONS else path
