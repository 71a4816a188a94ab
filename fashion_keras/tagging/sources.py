"""Photos, folders, zips and CSVs of paths in; batches of photo bytes, read ahead in a thread, out.

Imports no TensorFlow. Only names are held for the whole catalogue, bytes for a few batches.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from fashion_keras.data.archive import Archive, open_archive
from fashion_keras.data.csv_reader import read_csv
from fashion_keras.data.photo import START_BYTES, photo_format
from fashion_keras.data.photo_finder import ENDINGS, PhotoFinder
from fashion_keras.data.title_terms import as_title
from fashion_keras.errors import UserError
from fashion_keras.io import is_address
from fashion_keras.places import local
from fashion_keras.progress import LOGGER
from fashion_keras.reading import read_bytes
from fashion_keras.serving.layout import seen
from fashion_keras.serving.served_photo import served_photo
from fashion_keras.text import from_cell, printable

# Decoded and encoded bytes of a batch, so that a catalogue of huge photos fits in memory too.
MAX_BATCH_BYTES = 192 * 2**20
_HIDDEN, _NO_ENDING = "hidden", "no ending"


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo's path and bytes, or its path and the reason why it cannot be read.

    With the product's `title`, where there is one; it may stand alone. `cost` is what it takes in
    memory, in bytes.
    """

    path: str
    encoded: bytes = b""
    error: str = ""
    cost: int = 0
    id: str = ""
    title: str = ""

    @property
    def sees(self) -> str:
        """What a model can be given of it, of `run.SEES`."""
        return seen(self.encoded if self.encoded or not self.title else None, self.title)


class Reader(Protocol):
    """Reads files by their names."""

    def __call__(self, name: str) -> bytes:
        """Return a file's bytes; `UserError`, without its path, where it cannot be read."""

    def part(self, names: Sequence[str]) -> Reader:
        """Return one that reads these, which another process can be given (pickled)."""


class Listed(NamedTuple):
    """A photo that is not read yet: nothing is made a photo that many share.

    `prefix` stands before the name in its path; `id` is None where it has none of its own.
    """

    prefix: str
    name: str
    id: str | None
    read: Reader
    title: str


@dataclasses.dataclass(frozen=True)
class PathColumns:
    """Where a CSV has its photos.

    `path` is the column of paths; `id` that of ids, None for `id` where there is such a column;
    `root` the folder that relative paths start from, None for the CSV's own, or a zip, which may be
    at an address; `titles` the columns of the products' text.
    """

    path: str = "path"
    id: str | None = None
    root: Path | str | None = None
    titles: tuple[str, ...] = ()


class PhotoSource(contextlib.ExitStack):
    """The photos of all inputs, in their order; a context manager.

    Args:
        inputs: photos, folders, zips and CSVs of paths.
        columns: what the CSVs' columns are called.

    Raises `UserError` where no input can be opened, or none holds a photo. If only some cannot,
    each of those is a photo with an error.

    Attributes:
        passed_over: how many files of folders and zips are no photos, by their ending.
    """

    def __init__(self, inputs: Iterable[str], columns: PathColumns | None = None):
        super().__init__()
        self._columns = columns or PathColumns()
        self._photos: list[Listed] = []
        self._inputs = inputs = list(inputs)
        self.callback(_finder_below.cache_clear)
        self.passed_over: Counter[str] = Counter()
        failures: list[UserError] = []
        try:
            for source in inputs:
                try:
                    self._add(source)
                except UserError as error:
                    failures.append(error)
                    self._photos.append(
                        Listed("", source, None, _Raiser(_shortened(error, source)), "")
                    )
            if len(failures) == len(inputs):
                raise UserError("\n".join(str(error) for error in failures[:2]))
            if not self._photos:
                raise UserError(
                    f"no photos in {', '.join(inputs)}: {self.account() or 'nothing is there'}"
                )
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._photos)

    def names(self) -> Iterator[tuple[str, str]]:
        """Return what each photo is called, its id and path, without reading it.

        The path is the input as given, and below it the name in it; of a photo in a CSV what
        stands there. The id is the CSV's, or the file's name without its ending.
        """
        return map(_name, self._photos)

    def photos(self, is_done: Callable[[str, str], bool] = lambda *_: False) -> Iterator[Photo]:
        """Read the photos, one at a time, each with its header checked.

        Those are left out, and not read, of which `is_done` says so, given id and path.
        """
        return read_photos(listed for listed in self._photos if not is_done(*_name(listed)))

    def part(self, numbers: Sequence[int]) -> list[Listed]:
        """Return some of the photos for `read_photos` in another process (pickled)."""
        some = [self._photos[number] for number in numbers]
        by_reader: dict[int, list[Listed]] = {}
        for listed in some:
            by_reader.setdefault(id(listed.read), []).append(listed)
        parts = {
            key: found[0].read.part([listed.name for listed in found])
            for key, found in by_reader.items()
        }
        return [listed._replace(read=parts[id(listed.read)]) for listed in some]

    def digest(self, numbers: Iterable[int]) -> str:
        """Return a sha256 of what some of the photos are called, with their titles."""
        result = hashlib.sha256()
        for number in numbers:
            listed = self._photos[number]
            line = "\0".join((*_name(listed), listed.title)) + "\n"
            result.update(line.encode("utf-8", "surrogateescape"))
        return result.hexdigest()

    def places(self) -> list[Path]:
        """Return the folders and zips that the photos are read from."""
        paths = [Path(source) for source in self._inputs]
        found = [path if path.is_dir() or _is_zip(path) else path.parent for path in paths]
        root = [Path(self._columns.root)] if self._columns.root else []
        return sorted({path for path in (*found, *root) if path.exists()})

    def account(self) -> str:
        """Return a line on what was passed over, "" where nothing was."""
        counts = [f"{n:,} × {printable(ending)}" for ending, n in self.passed_over.most_common()]
        if others := self.passed_over.total() - sum(n for _, n in self.passed_over.most_common(9)):
            counts[9:] = [f"{others:,} × others"]
        return f"passed over: {', '.join(counts)}" if counts else ""

    def _add(self, source: str) -> None:
        path = local(source)
        if not path.exists():
            raise UserError(f"{source} does not exist")
        if not path.is_file() and not path.is_dir():
            raise UserError(f"{source} is a pipe, a socket or a device: expected a file or folder")
        if path.suffix.lower() == ".csv" and path.is_file():
            rows = read_paths(path, self._columns)
            # Beside the CSV, where that was at an address too.
            beside = source.rpartition("/")[0] if is_address(source) else path.parent
            root = self._columns.root or beside

            def named(names: list[str]) -> set[str]:  # of a folder at an address no others
                finder = PhotoFinder(names, "", own=True)
                return {found for _, name, _ in rows if (found := finder.find(name))}

            read_below = self._reader_below(local(root, named))
            for number, (id, name, title) in enumerate(rows, start=1):
                read = read_below
                if not name and not title:
                    read = _Raiser(UserError(f"row {number} of {source} names no photo"))
                self._photos.append(Listed("", name, id, read, title))
        elif path.is_dir() or _is_zip(path):
            self._add_archive(source, self.enter_context(open_archive(path, strict=False)))
        else:
            self._photos.append(Listed("", source, None, _FileReader(path), ""))

    def _add_archive(self, source: str, archive: Archive) -> None:
        prefix, read = f"{source.rstrip('/')}/", _ArchiveReader(archive)
        for name in archive.names():
            if self._is_photo(name, archive):
                self._photos.append(Listed(prefix, name, None, read, ""))
        for name, reason in archive.left_out.items():
            if name.endswith("/") or self._is_photo(name, archive):
                self._photos.append(Listed(prefix, name, None, _Raiser(UserError(reason)), ""))

    def _reader_below(self, root: Path) -> Reader:
        """Return what reads what a CSV names, in the folder or zip `root`."""
        if not root.is_file():
            return _FolderReader(root)
        archive = self.enter_context(open_archive(root, strict=False))
        finder = PhotoFinder(archive.names(), "", own=True, start=archive.start)
        return _ArchiveReader(archive, finder.find)

    def _is_photo(self, name: str, archive: Archive) -> bool:
        """Say whether a file is taken for a photo, and count it where it is not.

        One that is called a photo is taken for one: what is wrong with it, its row says.
        """
        path = PurePosixPath(name)
        # macOS puts a small file beside each photo into its zips: __MACOSX/…/._1163.jpg.
        if path.name.startswith("._") or "__MACOSX" in path.parts:
            return False
        if path.name.startswith("."):
            self.passed_over[_HIDDEN] += 1
            return False
        if path.suffix.lower() in ENDINGS or photo_format(archive.start(name)):
            return True
        self.passed_over[path.suffix.lower() or _NO_ENDING] += 1
        return False


def read_paths(file: Path, columns: PathColumns) -> list[tuple[str | None, str, str]]:
    """Return of each row the id, None where the CSV has none, the path and the title, or "".

    A title of several columns has U+001F between them, as a served model takes it.

    A row with more cells than the header names no photo, for its cells may stand in other
    columns. The log is told of such rows, and how a CSV was read that is not UTF-8. Raises
    `UserError` where the CSV cannot be read, lacks a column or has it twice, or no row names a
    photo or has a title.
    """
    table = read_csv(file)
    path = None  # a catalogue of titles has no column of photos
    if not columns.titles or columns.path in table.header or columns.path != PathColumns.path:
        path = table.index(columns.path, "--path-column")
    id = None
    if columns.id is not None or "id" in table.header:
        id = table.index(columns.id or "id", "--id-column")
    titles = [table.index(name, "--title-column") for name in columns.titles]
    width = len(table.header)
    if table.note:
        LOGGER.warning(table.note)
    longer = [line for line, row in zip(table.lines, table.rows, strict=True) if len(row) > width]
    if longer:
        rows = "1 row has" if len(longer) == 1 else f"{len(longer):,} rows have"
        LOGGER.warning(
            f"{file}: {rows} more cells than the header, the first in line {longer[0]}, and so "
            "no photo: put a cell that holds a comma in quotes"
        )
    found = [
        (_cell(row, id) or None, _cell(row, path), as_title([_cell(row, at) for at in titles]))
        if len(row) <= width
        else (_cell(row, id) or None, "", "")
        for row in table.rows
    ]
    if not any(name or title for _, name, title in found):
        column = "" if path is None else f"names a photo in column {table.header[path]!r}"
        raise UserError(f"{file}: no row {column or 'has a title'}")
    return found


def _cell(row, column):
    """Return what a row has in a column, "" where it is too short or `column` is None."""
    return from_cell(row[column].strip()) if column is not None and column < len(row) else ""


def read_photos(some: Iterable[Listed]) -> Iterator[Photo]:
    """Read photos, one at a time, each with its header checked."""
    for listed in some:
        (id, path), title = _name(listed), listed.title
        if title and not listed.name:
            yield Photo("", id=id, title=title, cost=len(title))
            continue
        try:
            encoded, pixels = served_photo(listed.read(listed.name))
        except UserError as error:
            yield Photo(path, error=str(error), id=id)
        except MemoryError:
            yield Photo(path, error="it does not fit in memory", id=id)
        else:
            yield Photo(path, encoded, "", max(3 * pixels, len(encoded)), id, title)


def _name(listed: Listed) -> tuple[str, str]:
    """Return a photo's id and path."""
    own = PurePosixPath(listed.name).stem if listed.id is None else listed.id
    return own, listed.prefix + listed.name


def batches(photos: Iterable[Photo], size: int) -> Iterator[list[Photo]]:
    """Group photos, at most `size` a batch and fewer where they are huge; reads one ahead."""
    # A pool of one thread: the next batch is read while this one is classified.
    with ThreadPoolExecutor(1, thread_name_prefix="read-photos") as pool:
        grouped = _grouped(photos, size)
        ahead = pool.submit(next, grouped, None)
        while (batch := ahead.result()) is not None:
            ahead = pool.submit(next, grouped, None)
            yield batch


def _grouped(photos: Iterable[Photo], size: int) -> Iterator[list[Photo]]:
    batch: list[Photo] = []
    cost = 0
    for photo in photos:
        if batch and (len(batch) == size or cost + photo.cost > MAX_BATCH_BYTES):
            yield batch
            batch, cost = [], 0
        batch.append(photo)
        cost += photo.cost
    if batch:
        yield batch


def _is_zip(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix == ".zip" or suffix in ENDINGS:
        return suffix == ".zip"
    if not zipfile.is_zipfile(path):
        return False
    with open(path, "rb") as file:  # a JPEG may have a zip hung on behind
        return photo_format(file.read(START_BYTES)) is None


def _read_file(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except UserError as error:
        raise _shortened(error, str(path)) from error


@dataclasses.dataclass(frozen=True)
class _FileReader:
    """Reads one file, whatever it is called."""

    path: Path

    def __call__(self, name: str) -> bytes:
        return _read_file(self.path)

    def part(self, names: Sequence[str]) -> Reader:
        return _FileReader(self.path.absolute())


@dataclasses.dataclass(frozen=True)
class _FolderReader:
    """Reads files below `root`, found as conversion finds them."""

    root: Path

    def __call__(self, name: str) -> bytes:
        path = self.root / name
        # Looked for only where it is not there: that lists all that is below.
        if not path.exists() and (found := _finder_below(self.root).find(name)):
            path = self.root / found
        return _read_file(path)

    def part(self, names: Sequence[str]) -> Reader:
        return _FolderReader(self.root.absolute())


@functools.lru_cache(4)
def _finder_below(root: Path) -> PhotoFinder:
    with open_archive(root, strict=False) as archive:
        return PhotoFinder(archive.names(), "", own=True, start=archive.start)


@dataclasses.dataclass(frozen=True)
class _ArchiveReader:
    """Reads from a folder or zip; `find` says what a file is called there."""

    archive: Archive
    find: Callable[[str], str | None] | None = None

    def __call__(self, name: str) -> bytes:
        found = self.find(name) if self.find else name
        if found is None:
            raise UserError(f"{self.archive.source} holds no such photo")
        try:
            return self.archive.read(found)
        except UserError as error:
            raise _shortened(error, f"{self.archive.source}: {found}") from error

    def part(self, names: Sequence[str]) -> Reader:
        if self.find is None:
            return _ArchiveReader(self.archive.part(names))
        found = {name: known for name in names if (known := self.find(name)) is not None}
        return _ArchiveReader(self.archive.part(found.values()), found.get)


@dataclasses.dataclass(frozen=True)
class _Raiser:
    """Says why a photo cannot be read."""

    error: UserError

    def __call__(self, name: str) -> bytes:
        raise self.error

    def part(self, names: Sequence[str]) -> Reader:
        return self


def _shortened(error: UserError, path: str) -> UserError:
    """Return the error without the path, which stands beside it in its row."""
    return UserError(str(error).removeprefix(path).lstrip(": "))
