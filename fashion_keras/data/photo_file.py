"""A photo's bytes in; its format by its first bytes, and whether the file is whole, out.

Reads a file's structure alone, no pixels: what decoders forgive, each in its own way, is found
here, in the same way for all.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

START_BYTES = 64  # what `photo_format` needs of a file

_SIGNATURES = (
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("GIF", rb"GIF8[79]a"),
    ("WEBP", rb"RIFF.{4}WEBP"),
    # Two letters are little: the size of the header behind the file's own is looked at too.
    ("BMP", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
    ("TIFF", rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
    ("AVIF", rb".{4}ftyp(avi[fs]|m[is]f1.{4}(.{4})*avi[fs])"),
    ("HEIF", rb".{4}ftyp(hei.|hev.|m[is]f1)"),
    ("JPEG 2000", rb"\0\0\0\x0cjP  \r\n\x87\n"),
    ("JPEG XL", rb"\0\0\0\x0cJXL \r\n\x87\n"),
)
_PATTERNS = [(name, re.compile(pattern, re.DOTALL)) for name, pattern in _SIGNATURES]

# Frames of a JPEG (ITU-T T.81, table B.1) that any decoder knows: baseline, extended, progressive.
PLAIN_FRAMES = (0xC0, 0xC1, 0xC2)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START, _END, _LONE = 0xD8, 0xD9, 0x01
# A marker among the pixels; a 0 follows an FF of theirs, and D0 to D7 begin parts of them.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")

_PNG_START = 8
# Chunks that decide the pixels; the others are the metadata. PNG 1.2, 4.3: a capital begins those
# that every decoder must read.
_TRANSPARENCY, _PNG_END, _PIXELS = b"tRNS", b"IEND", b"IDAT"
_TURNING_TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")


def photo_format(start: bytes) -> str | None:
    """Return the format of a photo that begins with `start`, None where it is no photo.

    Names are Pillow's; formats that are not read have one too.
    """
    start = start[:START_BYTES]
    return next((name for name, pattern in _PATTERNS if pattern.match(start)), None)


def jpeg_frame(data: bytes) -> int | None:
    """Return the marker of a JPEG's frame, None where the file ends before the JPEG does.

    Follows the markers as libjpeg does. Photos that were cut off end without the last of them;
    Pillow forgives that in some, and TensorFlow in none.
    """
    frame, position = None, 2
    while found := _MARKER.search(data, position):
        marker, position = data[found.start() + 1], found.end()
        if marker == _END:
            return frame
        if marker in (_START, _LONE):
            continue
        if marker in _FRAMES:
            frame = frame or marker
        position += int.from_bytes(data[position : position + 2], "big")
    return None


def png_fault(data: bytes) -> str:
    """Return why a PNG is not whole, "" where it is: each part that decides pixels has a checksum.

    Pillow looks at none of the pixels' checksums, TensorFlow at all.
    """
    view, name = memoryview(data), b""
    for name, start, end in _chunks(data):
        checksum = int.from_bytes(data[end - 4 : end], "big")
        if _decides_pixels(name) and zlib.crc32(view[start + 4 : end - 4]) != checksum:
            return "damaged (a checksum differs)"
    return "" if name == _PNG_END else "truncated"


def png_without_metadata(data: bytes) -> bytes:
    """Return a PNG with the chunks alone that decide its pixels."""
    kept = [data[start:end] for name, start, end in _chunks(data) if _decides_pixels(name)]
    return data[:_PNG_START] + b"".join(kept)


def png_may_turn_at_its_end(data: bytes) -> bool:
    """Say whether behind a PNG's pixels are metadata of the kinds that can turn it."""
    behind = False
    for name, start, _ in _chunks(data):
        behind = behind or name == _PIXELS
        if behind and (name == b"eXIf" or data.startswith(_TURNING_TEXTS, start + 8)):
            return True
    return False


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each whole chunk, up to the one that ends the picture."""
    start, name = _PNG_START, b""
    while name != _PNG_END and start + 12 <= len(data):
        name = data[start + 4 : start + 8]
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        if end > len(data):
            return
        yield name, start, end
        start = end


def _decides_pixels(name: bytes) -> bool:
    return name[:1].isupper() or name == _TRANSPARENCY
