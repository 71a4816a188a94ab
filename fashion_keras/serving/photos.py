"""Photos, folders, zips and CSVs of paths in; batches of photo bytes, read ahead in a thread, out.

Imports no TensorFlow. Only names are held for the whole catalogue, bytes for a few batches.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from PIL import Image, UnidentifiedImageError

from fashion_keras.data.archive import Archive, open_archive
from fashion_keras.data.catalog import PhotoInfo
from fashion_keras.data.photos import stored_photo
from fashion_keras.errors import UserError
from fashion_keras.reading import read_bytes
from fashion_keras.serving.formats import MAX_PIXELS
from fashion_keras.serving.path_table import PathColumns, read_paths

# Files that a folder or zip is searched for. Those that cannot be classified are listed too:
# the shop learns of them by a row with a reason.
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".heic")
)
# What can be classified. A served model decodes JPEG and PNG, as training does; the others become
# JPEGs first, as in conversion. MPO is a JPEG with a second one behind it.
READABLE = ("JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP")
_MOST_PIXELS = max(MAX_PIXELS.values())
_MAX_SIDE = 1024  # pixels, of a photo that is encoded anew: more than any model looks at
# Decoded and encoded bytes of a batch, so that a catalogue of huge photos fits in memory too.
MAX_BATCH_BYTES = 192 * 2**20


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo's path and bytes, or its path and the reason why it cannot be read.

    `cost` is what it takes in memory, in bytes.
    """

    path: str
    encoded: bytes = b""
    error: str = ""
    cost: int = 0
    id: str = ""


class PhotoSource(contextlib.ExitStack):
    """The photos of all inputs, in their order; a context manager.

    Args:
        inputs: photos, folders, zips and CSVs of paths.
        columns: what the CSVs' columns are called.

    Raises `UserError` where no input can be opened, or none holds a photo. If only some cannot,
    each of those is a photo with an error.
    """

    def __init__(self, inputs: Iterable[str], columns: PathColumns | None = None):
        super().__init__()
        self._columns = columns or PathColumns()
        # What stands before the name in a path, the name, the id if it has one of its own, and
        # what reads it by its name: nothing is made a photo that many share.
        self._photos: list[tuple[str, str, str | None, Callable[[str], bytes]]] = []
        failures: list[UserError] = []
        inputs = list(inputs)
        try:
            for source in inputs:
                try:
                    self._add(source)
                except UserError as error:
                    failures.append(error)
                    self._photos.append(("", source, None, _raiser(_shortened(error, source))))
            if len(failures) == len(inputs):
                raise UserError("\n".join(str(error) for error in failures[:2]))
            if not self._photos:
                raise UserError(
                    f"no photos in {', '.join(inputs)}: expected files ending in "
                    f"{', '.join(sorted(SUFFIXES))}"
                )
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._photos)

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield what each photo is called, its id and path, without reading it.

        The path is the input as given, and below it the name in it; of a photo in a CSV what
        stands there. The id is the CSV's, or the file's name without its ending.
        """
        for prefix, name, id, _ in self._photos:
            yield _stem(name) if id is None else id, prefix + name

    def photos(self, is_done: Callable[[str, str], bool] = lambda *_: False) -> Iterator[Photo]:
        """Read the photos, one at a time, each with its header checked.

        Those are left out, and not read, of which `is_done` says so, given id and path.
        """
        for (id, path), (_, name, _, read) in zip(self.names(), self._photos, strict=True):
            if is_done(id, path):
                continue
            try:
                encoded, pixels = _servable(read(name))
            except UserError as error:
                yield Photo(path, error=str(error), id=id)
            else:
                yield Photo(path, encoded, cost=max(3 * pixels, len(encoded)), id=id)

    def _add(self, source: str) -> None:
        path = Path(source)
        if not path.exists():
            raise UserError(f"{source} does not exist")
        if path.suffix.lower() == ".csv" and path.is_file():
            root = self._columns.root or path.parent

            def read_below(name):
                return _read_file(root / name)

            for number, (id, name) in enumerate(read_paths(path, self._columns), start=1):
                read = read_below
                if not name:
                    read = _raiser(UserError(f"row {number} of {source} names no photo"))
                self._photos.append(("", name, id, read))
        elif path.is_dir() or _is_zip(path):
            archive = self.enter_context(open_archive(path, strict=False))
            prefix, read = f"{source.rstrip('/')}/", _reader(archive)
            self._photos += [
                (prefix, name, None, read) for name in archive.names() if _is_photo(name)
            ]
            self._photos += [
                (prefix, name, None, _raiser(UserError(reason)))
                for name, reason in archive.left_out.items()
                if name.endswith("/") or _is_photo(name)
            ]
        else:
            self._photos.append(("", source, None, lambda name: _read_file(Path(name))))


def batches(photos: Iterable[Photo], size: int) -> Iterator[list[Photo]]:
    """Group photos, at most `size` a batch and fewer where they are huge; reads one ahead."""
    # A pool of one thread: the next batch is read while this one is classified.
    with ThreadPoolExecutor(1, thread_name_prefix="read-photos") as pool:
        grouped = _grouped(photos, size)
        ahead = pool.submit(next, grouped, None)
        while (batch := ahead.result()) is not None:
            ahead = pool.submit(next, grouped, None)
            yield batch


def _grouped(photos, size):
    batch, cost = [], 0
    for photo in photos:
        if batch and (len(batch) == size or cost + photo.cost > MAX_BATCH_BYTES):
            yield batch
            batch, cost = [], 0
        batch.append(photo)
        cost += photo.cost
    if batch:
        yield batch


def _servable(encoded: bytes) -> tuple[bytes, int]:
    """Return bytes that a served model decodes, and their pixels; `UserError` if there are none."""
    info = _header(encoded)
    kind = "JPEG" if info.format == "MPO" else info.format
    if info.width * info.height <= MAX_PIXELS.get(kind, 0):
        return encoded, info.width * info.height
    anew, height, width = stored_photo(encoded, info, _MAX_SIDE)
    return anew, height * width


def _header(encoded: bytes) -> PhotoInfo:
    """Return what a photo's header says; `UserError` if it will not do."""
    if not encoded:
        raise UserError("empty file")
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            (width, height), kind, mode = image.size, image.format, image.mode
    except UnidentifiedImageError:
        raise UserError("not a photo: expected JPEG or PNG") from None
    except Image.DecompressionBombError:
        raise UserError(f"too many pixels: at most {_MOST_PIXELS:,}") from None
    except MemoryError:
        raise
    except Exception as error:  # headers of junk raise nearly anything
        raise UserError(f"damaged ({error})") from None
    if kind not in READABLE:
        raise UserError(f"{kind} is not read: expected JPEG or PNG")
    if width * height > _MOST_PIXELS:
        raise UserError(f"too many pixels ({width}×{height}): at most {_MOST_PIXELS:,}")
    return PhotoInfo(height, width, kind, mode, rotated=False)


def _is_zip(path: Path) -> bool:
    suffix = path.suffix.lower()
    # A JPEG may have a zip hung on behind; a file called .jpg is taken for a photo.
    maybe = suffix not in SUFFIXES and path.is_file()  # to open a pipe may never end
    return suffix == ".zip" or (maybe and zipfile.is_zipfile(path))


def _is_photo(name: str) -> bool:
    path = PurePosixPath(name)
    # macOS puts a small file beside each photo into its zips: __MACOSX/…/._1163.jpg.
    if path.name.startswith(".") or "__MACOSX" in path.parts:
        return False
    return path.suffix.lower() in SUFFIXES


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _read_file(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except UserError as error:
        raise _shortened(error, str(path)) from error


def _reader(archive: Archive) -> Callable[[str], bytes]:
    def read(name):
        try:
            return archive.read(name)
        except UserError as error:
            raise _shortened(error, f"{archive.source}: {name}") from error

    return read


def _shortened(error: UserError, path: str) -> UserError:
    """Return the error without the path, which stands beside it in its row."""
    return UserError(str(error).removeprefix(path).lstrip(": "))


def _raiser(error: UserError) -> Callable[[str], bytes]:
    def read(name):
        raise error

    return read
