"""What a CSV says of a photo in, the photo's name in the archive out."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from fashion_keras.data.photo import photo_format

IMAGES = "images/"
# Of photos that differ in nothing but their endings the first is taken.
ENDINGS = (".jpg", ".jpeg", ".png", ".jpe", ".jfif", ".pjpeg", ".pjp", ".webp", ".gif", ".bmp",
           ".tif", ".tiff", ".avif", ".heic", ".heif")  # fmt: skip
_RANK = {ending: rank for rank, ending in enumerate(("", *ENDINGS))}


_Files = dict[str, list[str]]


class PhotoFinder:
    """Finds a photo in the archive by what the CSV says of it, with or without its ending.

    In exact case first. An ü may be one character or a u with two dots upon it, as macOS writes
    names: either finds the other. Where a file's ending is none of a photo's, and where there are
    several, the first bytes decide which is a photo.

    Args:
        names: all files of the archive.
        folder: where the CSV is.
        own: whether photos may be beside the CSV, and not in `images/` alone.
        start: returns a file's first bytes; without it, endings decide.

    Attributes:
        several: the other photos that a photo's name without its ending stands for too, by the
            one that was taken.
    """

    def __init__(
        self,
        names: Iterable[str],
        folder: str,
        own: bool,
        start: Callable[[str], bytes] | None = None,
    ):
        self.several: dict[str, tuple[str, ...]] = {}
        self._names = list(names)
        self._start = start
        self._spellings: dict[Callable[[str], str], tuple[_Files, _Files]] = {}
        images = posixpath.join(folder, IMAGES)
        self._folders = (folder, images) if own else (images,)

    def find(self, value: str) -> str | None:
        """Return the photo's name in the archive, None where there is none."""
        value = value.replace("\\", "/")
        paths = [posixpath.normpath(posixpath.join(folder, value)) for folder in self._folders]
        for spelling in (_exact, _composed, _lower):
            if spelling is _composed and value.isascii():
                continue  # it would be compared with the same names again
            whole, stems = self._files(spelling)
            for path in map(spelling, paths):
                if found := self._choose(whole.get(path, []), stems.get(path, [])):
                    return found
        return None

    def where(self, value: str) -> str:
        """Say where the photo was expected."""
        return posixpath.join(self._folders[-1], value)

    def note(self) -> str:
        """Return a line on the choices between photos of one name, "" if there were none."""
        if not self.several:
            return ""
        taken, others = next(iter(self.several.items()))
        return (
            f"{len(self.several):,} × several photos of one name: {taken} is taken, and not "
            f"{', '.join(map(posixpath.basename, others))}; name the one that is meant with its "
            "ending"
        )

    def _files(self, spelling: Callable[[str], str]) -> tuple[_Files, _Files]:
        """Return the files by their names, and by these without endings, in a spelling."""
        if spelling not in self._spellings:
            whole: defaultdict[str, list[str]] = defaultdict(list)
            stems: defaultdict[str, list[str]] = defaultdict(list)
            for name in self._names:
                path = spelling(name)
                whole[path].append(name)
                stem, _, ending = path.rpartition(".")
                if stem and "/" not in ending:
                    stems[stem].append(name)
            self._spellings[spelling] = whole, stems
        return self._spellings[spelling]

    def _choose(self, whole: Sequence[str], stems: Sequence[str]) -> str | None:
        """Choose between files of the whole name and those that have an ending besides."""
        if len(whole) + len(stems) == 1:
            (only,) = whole or stems
            return only if whole or _is_named_as_photo(only) or self._is_photo(only) else None
        candidates = [*sorted(whole), *sorted(stems, key=lambda name: (_rank(name), name))]
        if len(whole) == 1 and _is_named_as_photo(whole[0]):
            return whole[0]
        photos = [name for name in candidates if self._is_photo(name)]
        if not photos:  # a damaged one is not one that is not there
            photos = [name for name in candidates if name in whole or _is_named_as_photo(name)][:1]
        if len(photos) > 1:
            self.several[photos[0]] = tuple(photos[1:])
        return photos[0] if photos else None

    def _is_photo(self, name: str) -> bool:
        if self._start is None:
            return _is_named_as_photo(name)
        return photo_format(self._start(name)) is not None


def without_extension(path: str) -> str:
    """Return a photo's path without `.jpg`, `.jpeg` or `.png`."""
    stem, extension = posixpath.splitext(path)
    return stem if extension.lower() in ENDINGS[:3] else path


def _is_named_as_photo(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _rank(name: str) -> int:
    return _RANK.get(posixpath.splitext(name)[1].lower(), len(_RANK))


def _exact(path: str) -> str:
    return path


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _lower(path: str) -> str:
    return _composed(path).lower()
