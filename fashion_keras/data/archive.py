"""A `.zip` or a folder in; the names and bytes of its files out, with nothing extracted.

A zip says everything twice: in the directory at its end, and in a header before each file. Zips
from strangers, and zips that were damaged, are told by comparing the two: none of their files
may be lost without a word, and none may do harm.
"""

from __future__ import annotations

import abc
import copy
import hashlib
import os
import re
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fashion_keras.data.photo import START_BYTES
from fashion_keras.errors import UserError
from fashion_keras.places import local, with_addresses
from fashion_keras.reading import read_bytes, read_start

# A photo of 64 megapixels or a table of a million products stays well below it.
MAX_FILE_BYTES = 256 * 2**20
MAX_RATIO = 1000
# Below this size no ratio does harm, and a drawing of one colour packs very well.
RATIO_APPLIES_FROM = 2**20
# The same for all files of a zip together: drawings of one colour pack 1,000 times, shops do not.
MAX_TOTAL_RATIO = 100
TOTAL_RATIO_APPLIES_FROM = 2**30

_ENCRYPTED, _UTF8 = 0x1, 0x800  # general-purpose flag bits 0 and 11, APPNOTE.TXT 4.4.4
# APPNOTE.TXT 4.3.7: signature, then after 22 bytes the lengths of the name and of the extra field
# that stand between this header and the file.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LOCAL_SIGNATURE = b"PK\x03\x04"
# 4.3.16: the number of entries, 10 bytes behind the signature; 4.3.14 and 4.3.15: in a large zip
# it is 32 bytes behind a second end record, which stands 76 bytes before the first.
_END_SIGNATURE, _LOCATOR_SIGNATURE = b"PK\x05\x06", b"PK\x06\x07"
_LONGEST_END = 76 + 22 + 65_535
_DRIVE = re.compile(r"^[A-Za-z]:")


class Entry(NamedTuple):
    """One file in a zip: the place and number of its packed bytes, its own size and CRC-32."""

    start: int
    packed_size: int
    is_deflated: bool
    size: int
    crc: int


def read_directory(file: BinaryIO, source: str) -> dict[str, Entry]:
    """Return a zip's files by posix-relative name, `/` between folders, without the folders.

    Raises `UserError`, with `source`, where the zip is damaged or incomplete, holds two files of
    one name, or is unsafe: an entry with an absolute or `..` path, an encrypted entry, entries
    that lie upon one another, or a decompression bomb.
    """
    try:
        with zipfile.ZipFile(file) as directory:
            infos, end = directory.infolist(), directory.start_dir
        size = file.seek(0, os.SEEK_END)
        _check_count(file, size, len(infos))
        names = [_checked_name(source, info) for info in infos]
        _check_total(source, infos, size)
        starts = _starts(file, infos, end)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise UserError(
            f"{source} cannot be read as a zip ({error}): damaged or incomplete, download it again"
        ) from error
    entries: dict[str, Entry] = {}
    for name, info in zip(names, infos, strict=True):
        if info.orig_filename.endswith(("/", "\\")):
            continue
        if name in entries:
            raise UserError(
                f"{source} holds two files of one name ({_short(name)}): pack it again with one"
            )
        is_deflated = info.compress_type == zipfile.ZIP_DEFLATED
        entries[name] = Entry(
            starts[info.header_offset], info.compress_size, is_deflated, info.file_size, info.CRC
        )
    return entries


def _check_count(file: BinaryIO, size: int, found: int) -> None:
    """Raise `BadZipFile` where the end record counts other entries than the directory has."""
    file.seek(max(0, size - _LONGEST_END))
    tail = file.read()
    end = tail.rfind(_END_SIGNATURE)
    (declared,) = struct.unpack_from("<H", tail, end + 10)
    if end >= 76 and tail[end - 20 : end - 16] == _LOCATOR_SIGNATURE:
        (declared,) = struct.unpack_from("<Q", tail, end - 76 + 32)
    # macOS and old Javas write 16 bits of the number of more entries than those can count.
    if (declared - found) % 2**16:
        raise zipfile.BadZipFile(f"its directory lists {found:,} of {declared:,} entries")


def _starts(file: BinaryIO, infos: list[zipfile.ZipInfo], end: int) -> dict[int, int]:
    """Return where the packed bytes behind each local header begin, by the header's place.

    Raises `BadZipFile` where a header and the directory, which begins at `end`, contradict each
    other, where entries lie upon one another, or where one lies between them that is not listed.
    """
    starts: dict[int, int] = {}
    place = 0  # behind the entry before
    for info in sorted(infos, key=lambda info: info.header_offset):
        offset, name = info.header_offset, info.orig_filename
        if offset < place:
            raise zipfile.BadZipFile(f"its entry {_short(name)} lies upon another one")
        if _hides_entry(file, place, offset):
            raise zipfile.BadZipFile(f"an entry before {_short(name)} is not in its directory")
        raw = name.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
        file.seek(offset)
        header = file.read(_LOCAL_HEADER.size + len(raw))
        signature, name_length, extra_length = _LOCAL_HEADER.unpack_from(header)
        is_named = name_length == len(raw) and header.endswith(raw)
        if signature != _LOCAL_SIGNATURE or not is_named:
            raise zipfile.BadZipFile(f"its entry {_short(name)} is not where its directory says")
        starts[offset] = offset + len(header) + extra_length
        place = starts[offset] + info.compress_size
        if place > end:
            raise zipfile.BadZipFile(f"its entry {_short(name)} goes on behind the last")
    if _hides_entry(file, place, end):
        raise zipfile.BadZipFile("its last entry is not in its directory")
    return starts


def _hides_entry(file: BinaryIO, start: int, end: int) -> bool:
    """Say whether an entry begins near `start`, where only a few bytes of a descriptor may be."""
    if end - start < _LOCAL_HEADER.size:
        return False
    file.seek(start)
    return _LOCAL_SIGNATURE in file.read(_LOCAL_HEADER.size)


def _unicode_name(info: zipfile.ZipInfo) -> str:
    """Return an entry's name as UTF-8 where it is that; Linux's zip does not set the flag."""
    if info.flag_bits & _UTF8 or info.orig_filename.isascii():
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.orig_filename


def _checked_name(source: str, info: zipfile.ZipInfo) -> str:
    """Return an entry's name with `/` between folders; `UserError` if the entry is unsafe."""
    shown = _short(info.orig_filename)
    # Some Windows tools write backslashes; a name that is safe with them is welcome.
    name = _unicode_name(info).replace("\\", "/")
    if name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/"):
        raise UserError(f"{source} is refused: its entry {shown} points outside the archive")
    if "\0" in name:
        raise UserError(f"{source} is refused: the name of its entry {shown} has a zero byte")
    if info.flag_bits & _ENCRYPTED:
        raise UserError(f"{source} is encrypted ({shown}): unpack it and name the folder instead")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Python unpacks the others without a limit, so that a small bomb would go off.
        raise UserError(
            f"{source} packs {shown} in an unusual way (method {info.compress_type}): pack it "
            "again with the usual one, deflate"
        )
    size = max(info.file_size, info.compress_size)
    if size > MAX_FILE_BYTES:
        raise UserError(
            f"{source} is refused: its entry {shown} declares {size / 2**20:,.0f} MiB, "
            f"at most {MAX_FILE_BYTES / 2**20:,.0f} MiB is read"
        )
    if info.file_size > RATIO_APPLIES_FROM and info.file_size > MAX_RATIO * info.compress_size:
        raise UserError(
            f"{source} is refused: its entry {shown} would unpack to more than "
            f"{MAX_RATIO} times its size (a decompression bomb)"
        )
    while name.startswith("./"):
        name = name[2:]
    return name


def _check_total(source: str, infos: list[zipfile.ZipInfo], size: int) -> None:
    total = sum(info.file_size for info in infos)
    if total > TOTAL_RATIO_APPLIES_FROM and total > MAX_TOTAL_RATIO * size:
        raise UserError(
            f"{source} is refused: it would unpack to {total / 2**30:,.1f} GiB, more than "
            f"{MAX_TOTAL_RATIO} times its size (a decompression bomb)"
        )


def _short(name: str) -> str:
    return repr(name if len(name) <= 100 else f"{name[:100]}…")


_LINK = "a link that leads elsewhere is not followed: name what it leads to"
_NO_FILE = "a pipe, a socket or a device: expected a file"


class Archive(abc.ABC):
    """Files under one roof, by posix-relative name; a context manager.

    Attributes:
        source: path of the zip or folder, as given, or the address that it mirrors.
        left_out: name and reason of what is there and not among `names`; a folder's ends in `/`.
    """

    def __init__(self, source: Path):
        self.source = with_addresses(str(source))
        self.left_out: dict[str, str] = {}
        self._files: dict[str, Any] = {}  # by name what a subclass knows of each

    def names(self) -> list[str]:
        """Return the files' names (no directories), sorted, with `/` between folders."""
        return sorted(self._files)

    def read(self, name: str) -> bytes:
        """Return a file's bytes; safe to call from several threads.

        Raises `UserError` where the file is unknown, damaged, or larger than it declares.
        """
        if name not in self._files:
            raise UserError(f"{self.source} holds no file {name!r}")
        return self._read(name)

    @abc.abstractmethod
    def _read(self, name: str) -> bytes: ...

    @abc.abstractmethod
    def start(self, name: str) -> bytes:
        """Return a file's first bytes, which tell its format; none where it cannot be read."""

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Return a sha256 (hex) that changes when a file comes, goes or changes.

        Fast: photos are not read. See the subclasses for what is hashed.
        """

    def part(self, names: Iterable[str]) -> Archive:
        """Return an archive of these files alone, which another process can be given (pickled)."""
        result = copy.copy(self)
        result._files = {name: self._files[name] for name in names if name in self._files}
        return result

    def close(self) -> None:  # noqa: B027 (a folder has none)
        """Release the file handle, if any."""

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()


class ZipArchive(Archive):
    """A zip file, read in place. Its fingerprint covers (name, size, CRC-32) of every file."""

    def __init__(self, source: Path):
        super().__init__(source)
        self._open(source)
        try:
            self._files = read_directory(self._file, str(source))
        except BaseException:
            self._file.close()
            raise

    def _read(self, name: str) -> bytes:
        # `ZipFile.read` takes 70 µs for a photo of 2 kB, mostly with the interpreter's lock held,
        # which would slow the threads that decode; this takes a fifth of it.
        entry = self._files[name]
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
        try:
            entry = self._files[name]
            return self._unpacked(entry, min(entry.packed_size, 16 * START_BYTES), START_BYTES)
        except (KeyError, OSError, ValueError, zlib.error):
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
        entries = ((name, self._files[name]) for name in self.names())
        return _digest(f"{name}\0{entry.size}\0{entry.crc:08x}\n" for name, entry in entries)

    def close(self) -> None:
        self._file.close()

    def __getstate__(self) -> dict:
        state = {k: v for k, v in vars(self).items() if k not in ("_file", "_lock")}
        return state | {"_path": os.path.abspath(self.source)}

    def __setstate__(self, state: dict) -> None:
        path = state.pop("_path")
        vars(self).update(state)
        self._open(path)

    def _open(self, path: str | os.PathLike) -> None:
        try:
            self._file = open(path, "rb")  # noqa: SIM115 (closed by `close`)
        except OSError as error:
            raise UserError(f"{self.source} cannot be read: {error.strerror}") from error
        self._lock = threading.Lock()


class FolderArchive(Archive):
    """A folder and all below it; links that leave it are not followed.

    Its fingerprint covers (name, size) of every file and the bytes of every `.csv`, but no
    modification times, so that a copy has the same one.
    """

    def __init__(self, source: Path, *, strict: bool = True, leave_out: Path | None = None):
        super().__init__(source)
        self._root = source.resolve()
        self._strict = strict
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
                    self._files[self._name(path)] = status.st_size
                else:
                    self.left_out[self._name(path)] = _NO_FILE

    def _read(self, name: str) -> bytes:
        return read_bytes(self._root / name, MAX_FILE_BYTES, name=f"{self.source}: {name}")

    def start(self, name: str) -> bytes:
        try:
            return read_start(self._root / name, START_BYTES) if name in self._files else b""
        except UserError:
            return b""

    def fingerprint(self) -> str:
        lines = []
        for name, size in sorted(self._files.items()):
            content = ""
            if name.lower().endswith(".csv") and size <= MAX_FILE_BYTES:
                content = hashlib.sha256(self.read(name)).hexdigest()
            lines.append(f"{name}\0{size}\0{content}\n")
        return _digest(lines)

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
    path = local(source)
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
