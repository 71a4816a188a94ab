"""A photo's bytes in; bytes of it that a served model decodes to what conversion stores, out.

Imports no TensorFlow: the graph and the client that feeds it go by the same numbers.
"""

from __future__ import annotations

from fashion_keras.data.photo import encode, read_header

# Pixels at most, by the format's name. A header of 40 bytes can claim a picture that fills the
# memory. A PNG is laid on white in float32, which takes about 40 bytes a pixel; a JPEG takes 3 to
# 9. Training sees JPEG and PNG alone: conversion makes JPEGs of everything else.
MAX_PIXELS = {"JPEG": 64_000_000, "PNG": 16_000_000}
_MAX_SIDE = 1024  # pixels, of a photo that is encoded anew: more than any model looks at

# EXIF 2.32, 4.5.4 and 4.6.4: a JPEG's APP1 segment holds "Exif\0\0" and a TIFF file, whose first
# directory holds the orientation.
ORIENTATION, ENTRY_BYTES, MOST_ENTRIES = 0x0112, 12, 64
MOST_SEGMENT = 65_537  # a marker's two bytes and the two-byte length that it counts


def served_photo(data: bytes) -> tuple[bytes, int]:
    """Return a photo as a served model decodes it, upright, and how many pixels it has then.

    A JPEG or PNG keeps its bytes, undecoded here: whether its pixels can be decoded, the model's
    `valid` says. Others, those too large for it, and those that it would leave lying become
    JPEGs. Raises `UserError`, a few words that do not name the file, where the photo cannot be
    read; `data.photo` decides that.
    """
    info = read_header(data)
    pixels = info.height * info.width
    fits = pixels <= MAX_PIXELS.get(info.format, 0)
    if fits and info.orientation == (graph_orientation(data) if info.format == "JPEG" else 1):
        return data, pixels
    anew, height, width = encode(data, _MAX_SIDE)
    return anew, height * width


def graph_orientation(jpeg: bytes) -> int:
    """Return the orientation that `serving.decoding` reads from a JPEG within the graph.

    Pillow knows more places for it, and other ways to be damaged.
    """
    start = next((at for at in (2, 4 + _number(jpeg, 4, 2)) if _is_exif(jpeg, at)), None)
    if start is None:
        return 1
    tiff = jpeg[start + 10 : start + MOST_SEGMENT]  # behind the marker, its length, "Exif\0\0"
    order = "big" if tiff[:1] == b"M" else "little"
    directory = _number(tiff, 4, 4, order)
    directory -= (directory >> 31) << 32  # the graph counts in int32
    for index in range(min(MOST_ENTRIES, _number(tiff, directory, 2, order))):
        entry = directory + 2 + ENTRY_BYTES * index
        if _number(tiff, entry, 2, order) == ORIENTATION:
            value = _number(tiff, entry + 8, 2, order)
            return value if 1 <= value <= 8 else 1
    return 1


def _is_exif(jpeg, at):
    return jpeg[at : at + 2] == b"\xff\xe1" and jpeg[at + 4 : at + 10] == b"Exif\0\0"


def _number(data, at, size, order="big"):
    """Return a number of `size` bytes at `at`; bytes outside of `data` are 0."""
    part = bytes(data[i] if 0 <= i < len(data) else 0 for i in range(at, at + size))
    return int.from_bytes(part, order)
