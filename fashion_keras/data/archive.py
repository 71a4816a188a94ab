"""A `.zip` or a folder in; the names and bytes of its files out, with nothing extracted.

Zips from strangers are checked before anything is read: paths that leave the archive,
encrypted entries and decompression bombs are refused.
"""

from __future__ import annotations

import abc
import hashlib
import os
import re
import stat
import struct
import threading
import zipfile
import zlib
from pathlib import Path

from fashion_keras.errors import UserError

# A photo of 64 megapixels or a table of a million products stays well below it.
MAX_FILE_BYTES = 256 * 2**20
MAX_RATIO = 1000
# Below this size no ratio does harm, and a drawing of one colour packs very well.
RATIO_APPLIES_FROM = 2**20

_ENCRYPTED, _UTF8 = 0x1, 0x800  # general-purpose flag bits 0 and 11, APPNOTE.TXT 4.4.4
# Signature, then after 22 bytes that the directory repeats the lengths of name and extra field.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LINK = "a link that leads elsewhere is not followed: name what it leads to"
_DRIVE = re.compile(r"^[A-Za-z]:")


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
            with zipfile.ZipFile(self._file) as file:
                entries = {_checked_name(source, info): info for info in file.infolist()}
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            self._file.close()
            raise UserError(
                f"{source} cannot be read as a zip ({error}): damaged or incomplete, "
                "download it again"
            ) from error
        except UserError:
            self._file.close()
            raise
        self._infos = {name: info for name, info in entries.items() if not name.endswith("/")}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return the files' names, sorted."""
        return sorted(self._infos)

    def read(self, name: str) -> bytes:
        """Return a file's bytes, at most as many as the zip's directory declares."""
        info = self._infos.get(name)
        if info is None:
            raise self._unknown(name)
        try:
            data = self._packed(info)
            if info.compress_type == zipfile.ZIP_DEFLATED:
                # -15: deflate without a header. The limit makes a bomb harmless; 0 were none.
                data = zlib.decompressobj(-15).decompress(data, max(1, info.file_size))
        except (OSError, ValueError, OverflowError, struct.error, zlib.error) as error:
            raise UserError(f"{self.source}: {name} is damaged ({error})") from error
        if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise UserError(f"{self.source}: {name} is damaged (its checksum differs)")
        return data

    def _packed(self, info: zipfile.ZipInfo) -> bytes:
        """Return an entry's bytes as they lie in the zip (APPNOTE.TXT 4.3.7).

        `ZipFile.read` takes 70 µs for a photo of 2 kB, mostly with the interpreter's lock
        held, which would slow the threads that decode; this takes a fifth of it.
        """
        with self._lock:
            self._file.seek(info.header_offset)
            signature, name_length, extra_length = _LOCAL_HEADER.unpack(
                self._file.read(_LOCAL_HEADER.size)
            )
            if signature != b"PK\x03\x04":
                raise zlib.error("no file header where the directory says")
            self._file.seek(name_length + extra_length, os.SEEK_CUR)
            return self._file.read(info.compress_size)

    def fingerprint(self) -> str:
        """Return the sha256 over the sorted (name, size, CRC-32) of all files."""
        return _digest(
            f"{name}\0{info.file_size}\0{info.CRC:08x}\n"
            for name, info in sorted(self._infos.items())
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

    def names(self) -> list[str]:
        """Return the files' names, sorted."""
        return sorted(self._sizes)

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        if name not in self._sizes:
            raise self._unknown(name)
        try:
            with open(self._root / name, "rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise UserError(f"{self.source}: {name} cannot be read ({error.strerror})") from error
        if len(data) > MAX_FILE_BYTES:
            raise UserError(f"{self.source}: {name} is larger than {_mib(MAX_FILE_BYTES)}")
        return data

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

    Raises `UserError` where it is missing, neither zip nor folder, damaged, or unsafe: an
    entry with an absolute or `..` path, an encrypted entry, or a decompression bomb (more
    than 256 MiB, or more than 1,000 times its packed size).
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
        is_zip = path.is_file() and zipfile.is_zipfile(path)
        with open(path, "rb"):
            pass
    except OSError as error:
        raise UserError(f"{source} cannot be read: {error.strerror}") from error
    if not is_zip:
        if path.suffix.lower() == ".zip":
            raise UserError(f"{source} is not a zip, or an incomplete one: download it again")
        raise UserError(f"{source} is neither a .zip nor a folder")
    return ZipArchive(path)


def _unicode_name(info: zipfile.ZipInfo) -> str:
    """Return an entry's name as UTF-8 where it is that; Linux's zip does not set the flag."""
    if info.flag_bits & _UTF8 or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _checked_name(source: Path, info: zipfile.ZipInfo) -> str:
    """Return an entry's name with `/` between folders; `UserError` if the entry is unsafe."""
    # Some Windows tools write backslashes; a name that is safe with them is welcome.
    name = _unicode_name(info).replace("\\", "/")
    if name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/"):
        raise UserError(
            f"{source} is refused: its entry {info.filename!r} points outside the archive"
        )
    if info.flag_bits & _ENCRYPTED:
        raise UserError(
            f"{source} is encrypted ({info.filename!r}): unpack it and name the folder instead"
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Python unpacks the others without a limit, so that a small bomb would go off.
        raise UserError(
            f"{source} packs {info.filename!r} in an unusual way (method "
            f"{info.compress_type}): pack it again with the usual one, deflate"
        )
    size = max(info.file_size, info.compress_size)
    if size > MAX_FILE_BYTES:
        raise UserError(
            f"{source} is refused: its entry {info.filename!r} declares {_mib(size)}, "
            f"at most {_mib(MAX_FILE_BYTES)} is read"
        )
    if info.file_size > RATIO_APPLIES_FROM and info.file_size > MAX_RATIO * info.compress_size:
        raise UserError(
            f"{source} is refused: its entry {info.filename!r} would unpack to more than "
            f"{MAX_RATIO} times its size (a decompression bomb)"
        )
    while name.startswith("./"):
        name = name[2:]
    return name


def _digest(lines) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
