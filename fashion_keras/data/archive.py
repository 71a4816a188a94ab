"""A `.zip` or a folder in; the names and bytes of its files out, with nothing extracted.

Zips from strangers are checked before anything is read, see `zip_directory`.
"""

from __future__ import annotations

import abc
import hashlib
import os
import stat
import threading
import zipfile
import zlib
from pathlib import Path

from fashion_keras.data.photo_file import START_BYTES
from fashion_keras.data.zip_directory import MAX_FILE_BYTES, Entry, read_directory
from fashion_keras.errors import UserError
from fashion_keras.reading import read_bytes, read_start

_LINK = "a link that leads elsewhere is not followed: name what it leads to"
_NO_FILE = "a pipe, a socket or a device: expected a file"


class Archive(abc.ABC):
    """Files under one roof, by posix-relative name; a context manager.

    Attributes:
        source: path of the zip or folder, as given.
        left_out: name and reason of what is there and not among `names`; a folder's ends in `/`.
    """

    def __init__(self, source: Path):
        self.source = source
        self.left_out: dict[str, str] = {}

    @abc.abstractmethod
    def names(self) -> list[str]:
        """Return the files' names (no directories), sorted, with `/` between folders."""

    @abc.abstractmethod
    def read(self, name: str) -> bytes:
        """Return a file's bytes; safe to call from several threads.

        Raises `UserError` where the file is unknown, damaged, or larger than it declares.
        """

    @abc.abstractmethod
    def start(self, name: str) -> bytes:
        """Return a file's first bytes, which tell its format; none where it cannot be read."""

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Return a sha256 (hex) that changes when a file comes, goes or changes.

        Fast: photos are not read. See the subclasses for what is hashed.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Release the file handle, if any."""

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def _unknown(self, name: str) -> UserError:
        return UserError(f"{self.source} holds no file {name!r}")


class ZipArchive(Archive):
    """A zip file, read in place. Its fingerprint covers (name, size, CRC-32) of every file."""

    def __init__(self, source: Path):
        super().__init__(source)
        try:
            self._file = open(source, "rb")  # noqa: SIM115 (closed by `close`)
        except OSError as error:
            raise UserError(f"{source} cannot be read: {error.strerror}") from error
        try:
            self._entries = read_directory(self._file, str(source))
        except BaseException:
            self._file.close()
            raise
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return the files' names, sorted."""
        return sorted(self._entries)

    def read(self, name: str) -> bytes:
        """Return a file's bytes, at most as many as the zip's directory declares.

        `ZipFile.read` takes 70 µs for a photo of 2 kB, mostly with the interpreter's lock held,
        which would slow the threads that decode; this takes a fifth of it.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise self._unknown(name)
        try:
            data = self._unpacked(entry, entry.packed_size, entry.size)
        except (OSError, ValueError, OverflowError, zlib.error) as error:
            raise UserError(f"{self.source}: {name} is damaged ({error})") from error
        except MemoryError as error:
            raise UserError(f"{self.source}: {name} does not fit in memory") from error
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise UserError(f"{self.source}: {name} is damaged (its checksum differs)")
        return data

    def start(self, name: str) -> bytes:
        """Return a file's first bytes."""
        entry = self._entries.get(name)
        if entry is None:
            return b""
        try:
            return self._unpacked(entry, min(entry.packed_size, 16 * START_BYTES), START_BYTES)
        except (OSError, ValueError, zlib.error):
            return b""

    def _unpacked(self, entry: Entry, packed_size: int, size: int) -> bytes:
        """Return at most `size` bytes of a file, unpacked from its first `packed_size`."""
        if hasattr(os, "pread"):  # several processes may share the file and its position
            data = os.pread(self._file.fileno(), packed_size, entry.start)
        else:
            with self._lock:
                self._file.seek(entry.start)
                data = self._file.read(packed_size)
        if entry.is_deflated:
            # -15: deflate without a header. The limit makes a bomb harmless; 0 were none.
            data = zlib.decompressobj(-15).decompress(data, max(1, size))
        return data

    def fingerprint(self) -> str:
        """Return the sha256 over the sorted (name, size, CRC-32) of all files."""
        return _digest(
            f"{name}\0{entry.size}\0{entry.crc:08x}\n"
            for name, entry in sorted(self._entries.items(), key=lambda item: item[0])
        )

    def close(self) -> None:
        """Close the zip."""
        self._file.close()


class FolderArchive(Archive):
    """A folder and all below it; links that leave it are not followed.

    Its fingerprint covers (name, size) of every file and the bytes of every `.csv`, but no
    modification times, so that a copy has the same one.
    """

    def __init__(self, source: Path, *, strict: bool = True, leave_out: Path | None = None):
        super().__init__(source)
        self._root = source.resolve()
        self._strict = strict
        self._sizes: dict[str, int] = {}
        for folder, folders, files in os.walk(self._root, onerror=self._unreadable):
            if leave_out is not None:
                folders[:] = [f for f in folders if not _is_or_beside(Path(folder, f), leave_out)]
            for name in folders:
                if (path := Path(folder, name)).is_symlink():
                    self.left_out[f"{self._name(path)}/"] = _LINK
            for file in files:
                path = Path(folder, file)
                if path.is_symlink() and not self._inside(path):
                    self.left_out[self._name(path)] = _LINK
                    continue
                try:
                    status = path.stat()
                except OSError as error:  # a dangling link
                    self.left_out[self._name(path)] = f"cannot be read: {error.strerror}"
                    continue
                if stat.S_ISREG(status.st_mode):
                    self._sizes[self._name(path)] = status.st_size
                else:
                    self.left_out[self._name(path)] = _NO_FILE

    def names(self) -> list[str]:
        """Return the files' names, sorted."""
        return sorted(self._sizes)

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        if name not in self._sizes:
            raise self._unknown(name)
        return read_bytes(self._root / name, MAX_FILE_BYTES, name=f"{self.source}: {name}")

    def start(self, name: str) -> bytes:
        """Return a file's first bytes."""
        try:
            return read_start(self._root / name, START_BYTES) if name in self._sizes else b""
        except UserError:
            return b""

    def fingerprint(self) -> str:
        """Return the sha256 over the sorted (name, size) of all files and the `.csv` bytes."""
        lines = []
        for name, size in sorted(self._sizes.items()):
            content = ""
            if name.lower().endswith(".csv") and size <= MAX_FILE_BYTES:
                content = hashlib.sha256(self.read(name)).hexdigest()
            lines.append(f"{name}\0{size}\0{content}\n")
        return _digest(lines)

    def close(self) -> None:
        """Do nothing: files are opened one at a time."""

    def _inside(self, path: Path) -> bool:
        try:
            return path.resolve().is_relative_to(self._root)
        except (OSError, RuntimeError):  # a link that points to itself
            return False

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _unreadable(self, error: OSError) -> None:
        path = Path(error.filename)
        if self._strict or path == self._root:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        self.left_out[f"{self._name(path)}/"] = f"cannot be read: {error.strerror}"


def _is_or_beside(path: Path, folder: Path) -> bool:
    """Say whether `path` is `folder`, or one that a conversion to it makes beside it."""
    beside = (f"{folder.name}.partial", f"{folder.name}.replaced-")
    return path.parent == folder.parent and (
        path.name == folder.name or path.name.startswith(beside)
    )


def open_archive(
    source: str | os.PathLike, *, strict: bool = True, leave_out: Path | None = None
) -> Archive:
    """Open a `.zip` or a folder for reading.

    A folder below that cannot be read is an error if `strict`, and else among `left_out`. A
    folder `leave_out`, where a conversion of this very archive goes, is no part of it.

    Raises `UserError` where it is missing, neither zip nor folder, or a zip that
    `read_directory` refuses: damaged, or unsafe.
    """
    path = Path(source)
    if path.is_dir():
        return FolderArchive(path, strict=strict, leave_out=leave_out)
    if not path.exists():
        raise UserError(
            f"{source} does not exist: expected the Kaggle .zip, or a folder with styles.csv "
            "and images/"
        )
    try:
        is_zip = False
        if path.is_file():  # opening a pipe that nobody writes to would never end
            is_zip = zipfile.is_zipfile(path)
            with open(path, "rb"):
                pass
    except OSError as error:
        raise UserError(f"{source} cannot be read: {error.strerror}") from error
    if not is_zip:
        if path.suffix.lower() == ".zip":
            raise UserError(f"{source} is not a zip, or an incomplete one: download it again")
        raise UserError(f"{source} is neither a .zip nor a folder")
    return ZipArchive(path)


def _digest(lines) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
