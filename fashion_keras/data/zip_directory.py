"""A zip in; where each file lies in it, out, with nothing unpacked.

A zip says everything twice: in the directory at its end, and in a header before each file. Zips
from strangers, and zips that were damaged, are told by comparing the two: none of their files
may be lost without a word, and none may do harm.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
from typing import BinaryIO, NamedTuple

from fashion_keras.errors import UserError

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
