"""Photos, folders and zips in; batches of photo bytes, read ahead in a thread, out.

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

from fashion_keras.data.archive import MAX_FILE_BYTES, Archive, open_archive
from fashion_keras.data.catalog import PhotoInfo
from fashion_keras.data.photos import stored_photo
from fashion_keras.errors import UserError
from fashion_keras.serving.formats import MAX_PIXELS

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


class PhotoSource(contextlib.ExitStack):
    """The photos of all inputs, in their order; a context manager.

    Raises `UserError` where no input can be opened, or none holds a photo. If only some cannot,
    each of those is a photo with an error.

    Attributes:
        paths: what each photo is called: the input as given, and below it the name in it.
    """

    def __init__(self, inputs: Iterable[str]):
        super().__init__()
        self._read: list[Callable[[], bytes]] = []
        self.paths: list[str] = []
        failures: list[UserError] = []
        inputs = list(inputs)
        try:
            for source in inputs:
                try:
                    self._add(source)
                except UserError as error:
                    failures.append(error)
                    self._add_photo(source, _raiser(_shortened(error, source)))
            if len(failures) == len(inputs):
                raise UserError("\n".join(str(error) for error in failures[:2]))
            if not self.paths:
                raise UserError(
                    f"no photos in {', '.join(inputs)}: expected files ending in "
                    f"{', '.join(sorted(SUFFIXES))}"
                )
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self.paths)

    def photos(self) -> Iterator[Photo]:
        """Read the photos, one at a time, each with its header checked."""
        for path, read in zip(self.paths, self._read, strict=True):
            try:
                encoded, pixels = _servable(read())
            except UserError as error:
                yield Photo(path, error=str(error))
            else:
                yield Photo(path, encoded, cost=max(3 * pixels, len(encoded)))

    def _add(self, source: str) -> None:
        path = Path(source)
        if not path.exists():
            raise UserError(f"{source} does not exist")
        if path.is_dir() or _is_zip(path):
            archive = self.enter_context(open_archive(path))
            for name in archive.names():
                if _is_photo(name):
                    self._add_photo(f"{source.rstrip('/')}/{name}", _reader(archive, name))
        else:
            self._add_photo(source, lambda: _read_file(path))

    def _add_photo(self, path: str, read: Callable[[], bytes]) -> None:
        self.paths.append(path)
        self._read.append(read)


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
    return suffix == ".zip" or (suffix not in SUFFIXES and zipfile.is_zipfile(path))


def _is_photo(name: str) -> bool:
    path = PurePosixPath(name)
    # macOS puts a small file beside each photo into its zips: __MACOSX/…/._1163.jpg.
    if path.name.startswith(".") or "__MACOSX" in path.parts:
        return False
    return path.suffix.lower() in SUFFIXES


def _read_file(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise UserError(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
    return data


def _reader(archive: Archive, name: str) -> Callable[[], bytes]:
    def read():
        try:
            return archive.read(name)
        except UserError as error:
            raise _shortened(error, f"{archive.source}: {name}") from error

    return read


def _shortened(error: UserError, path: str) -> UserError:
    """Return the error without the path, which stands beside it in its row."""
    return UserError(str(error).removeprefix(path).lstrip(": "))


def _raiser(error: UserError) -> Callable[[], bytes]:
    def read():
        raise error

    return read
