"""A photo's bytes in; whether and how they can be read, and the bytes that are kept of it, out.

The one door: convert, predict and the demo take exactly what this module takes. Imports no
TensorFlow.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from PIL import Image, ImageFile, UnidentifiedImageError, features

from fashion_keras.errors import UserError

MAX_PIXELS = 64_000_000
JPEG_QUALITY = 92
# What TensorFlow decodes to the same pixels as Pillow; anything else is encoded anew.
_KEPT = {"JPEG": ("RGB", "L"), "PNG": ("RGB", "RGBA", "L", "LA", "P")}
# With arithmetic coding, or without loss: TensorFlow's decoder does not know each of them.
_RARE_JPEG = "rare JPEG"
# Pillow knows many more formats, some of which start other programs.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF")
_OPTIONAL = ("WEBP", "AVIF")  # as Pillow was built

_ORIENTATION = 0x0112  # EXIF 2.32, table 4: 1 is upright, 5 to 8 swap height and width
_ORIENTED_BY = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_Seen = TypeVar("_Seen")

# Of metadata that make no sense. Not `catch_warnings`: that is no thread's own, and several read.
_NO_WARNINGS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


@dataclasses.dataclass(frozen=True, slots=True)
class PhotoInfo:
    """A photo's height and width in pixels as displayed, format, Pillow's mode, and orientation.

    `orientation` is EXIF's, 1 to 8: unless it is 1, the stored pixels are turned or mirrored, and
    TensorFlow's decoders leave them so.
    """

    height: int
    width: int
    format: str
    mode: str
    orientation: int = 1


def read_header(data: bytes) -> PhotoInfo:
    """Return what a photo's header says, undecoded.

    Raises `UserError`, a few words that do not name the file, where it is no photo, one of
    another format, cut off, or of more than `MAX_PIXELS`. A PNG has passed its checksums.
    """
    return _look(data, lambda image, format: _info(image, format, data))


def check(data: bytes) -> PhotoInfo:
    """Decode a photo and return what its header says; raises `UserError` as `read_header` does.

    A JPEG is decoded at an eighth of its size: that reads every byte all the same.
    """

    def decoded(image, format):
        info = _info(image, format, data)
        image.draft(None, (1, 1))
        image.load()
        if format != "JPEG":
            # What goes wrong when it is stored should go wrong here: some colours have no RGB.
            _on_white(_turned(image))
        return info

    return _look(data, decoded)


def decode(data: bytes, at_least: int | None = None) -> Image.Image:
    """Return a photo upright, in RGB, on white where it is transparent.

    With `at_least` a JPEG may come smaller, with neither side below so many pixels. Raises
    `UserError` as `read_header` does, and where it is damaged.
    """

    def decoded(image, _):
        if at_least is not None:
            # Has libjpeg decode at 1/2, 1/4 or 1/8.
            image.draft(None, (at_least, at_least))
        return _on_white(_turned(image))

    return _look(data, decoded)


def stored_photo(data: bytes, info: PhotoInfo, max_size: int) -> tuple[bytes, int, int]:
    """Return the bytes to store and their height and width in pixels.

    A JPEG or PNG whose longer side is at most `max_size` keeps its bytes, others are `encode`d.
    `info` is `check`'s. Raises `UserError` as `encode` does.
    """
    small = max(info.height, info.width) <= max_size
    if small and info.orientation == 1 and info.mode in _KEPT.get(info.format, ()):
        return data, info.height, info.width
    return encode(data, max_size)


def encode(data: bytes, max_size: int) -> tuple[bytes, int, int]:
    """Return a photo as a new JPEG, without its metadata, and its height and width in pixels.

    It is turned upright, laid on white where transparent, and shrunk until its longer side is at
    most `max_size`, with antialiasing. Raises `UserError` as `decode` does.
    """
    upright = decode(data, 2 * max_size)
    upright.info = {}  # Pillow would write a comment again, and fails on a long one
    buffer = io.BytesIO()
    try:
        upright.thumbnail((max_size, max_size), Image.Resampling.LANCZOS, reducing_gap=2.0)
        upright.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    except Exception as error:
        raise UserError(_reason(error)) from error
    return buffer.getvalue(), upright.height, upright.width


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Return the formats that are read, by Pillow's names."""
    built_in = (n for n in _OPTIONAL if n.lower() in features.modules and features.check(n.lower()))
    return (*_FORMATS, *built_in)


def _look(data: bytes, look: Callable[[Image.Image, str], _Seen]) -> _Seen:
    """Return what `look` makes of the open photo and its format; `UserError` if anything fails."""
    format = _checked_format(data)
    if warnings.filters[:1] != [_NO_WARNINGS]:
        warnings.filterwarnings("ignore", module=_NO_WARNINGS[3].pattern)
    # Elsewhere in the process it may be on, and half a photo would pass for a whole one.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        try:
            return _open(data, format, look)
        except (UserError, MemoryError):
            raise
        except Exception:  # decoders fed with junk raise nearly anything
            if format != "PNG":
                raise
            # Metadata do not condemn a photo: a colour profile of a megabyte, a damaged text.
            return _open(_png_without_metadata(data), format, look)
    except UserError:
        raise
    except Exception as error:
        raise UserError(_reason(error)) from error


def _open(data, format, look):
    known_as = "JPEG" if format == _RARE_JPEG else format
    with Image.open(io.BytesIO(data), formats=[known_as]) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise UserError(
                f"too many pixels ({width:,} × {height:,}): at most {MAX_PIXELS:,} are read"
            )
        return look(image, format)


def _checked_format(data: bytes) -> str:
    """Return the format; `UserError` where it is not read, or the file is not whole."""
    if not data:
        raise UserError("empty file")
    format = photo_format(data)
    readable = readable_formats()
    if format is None:
        raise UserError(f"not a photo: expected {', '.join(readable)}")
    if format not in readable:
        raise UserError(f"{format} is not read: save it as a JPEG")
    if format == "PNG" and (fault := _png_fault(data)):
        raise UserError(fault)
    if format == "JPEG":
        frame = _jpeg_frame(data)
        if frame is None:
            raise UserError("truncated")
        return format if frame in _PLAIN_FRAMES else _RARE_JPEG
    return format


def _info(image: Image.Image, format: str, data: bytes) -> PhotoInfo:
    (width, height), mode = image.size, image.mode
    # Any code of Huffman's takes a bit at least, and any 8×8 pixels at least one code.
    if format == "JPEG" and width * height > 64 * 8 * len(data):
        raise UserError(f"damaged: it says {width:,} × {height:,} pixels, and holds fewer")
    if format == "PNG" and _png_may_turn_at_its_end(data):
        image.load()
    orientation = _orientation(image)
    if orientation >= 5:
        height, width = width, height
    return PhotoInfo(height, width, format, mode, orientation)


def _turned(image: Image.Image) -> Image.Image:
    # Decoded by itself: whatever fails here is the photo's, and nothing may swallow it.
    image.load()
    orientation = _orientation(image)
    return image.transpose(_TURNS[orientation]) if orientation != 1 else image


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) to 8; 1 where there is none or it is damaged."""
    # Pillow turns a TIFF itself.
    if image.format == "TIFF" or not image.info.keys() & _ORIENTED_BY:
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # metadata fed with junk raise nearly anything, and the photo is fine
        return 1
    return orientation if orientation in range(1, 9) else 1


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow's own conversion cuts off at 255 where 65535 is white.
        image = image.convert("I").point(lambda value: value * (1 / 256))
    if image.mode in ("I", "F"):
        image = image.convert("L")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    background = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(background, rgba).convert("RGB")


def _reason(error: Exception) -> str:
    """Return in a few words why a photo cannot be read."""
    if isinstance(error, MemoryError):
        return "it does not fit in memory"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"too many pixels: at most {MAX_PIXELS:,} are read"
    if isinstance(error, UnidentifiedImageError):
        return "damaged: its header makes no sense"
    text = " ".join(str(error).split())[:200]
    return "truncated" if "truncated" in text.lower() else f"damaged ({text or repr(error)})"


# ---- a file's structure: what decoders forgive, each in its own way, is found here for all ----

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
_PLAIN_FRAMES = (0xC0, 0xC1, 0xC2)
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


def _jpeg_frame(data: bytes) -> int | None:
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


def _png_fault(data: bytes) -> str:
    """Return why a PNG is not whole, "" where it is: each part that decides pixels has a checksum.

    Pillow looks at none of the pixels' checksums, TensorFlow at all.
    """
    view, name = memoryview(data), b""
    for name, start, end in _chunks(data):
        checksum = int.from_bytes(data[end - 4 : end], "big")
        if _decides_pixels(name) and zlib.crc32(view[start + 4 : end - 4]) != checksum:
            return "damaged (a checksum differs)"
    return "" if name == _PNG_END else "truncated"


def _png_without_metadata(data: bytes) -> bytes:
    """Return a PNG with the chunks alone that decide its pixels."""
    kept = [data[start:end] for name, start, end in _chunks(data) if _decides_pixels(name)]
    return data[:_PNG_START] + b"".join(kept)


def _png_may_turn_at_its_end(data: bytes) -> bool:
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
