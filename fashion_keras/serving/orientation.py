"""A JPEG's bytes in, its pixels as they are meant to be seen out, in graph operations.

Conversion turns photos upright before they are stored, so training never sees a lying one;
a served model gets them as the camera wrote them.
"""

from __future__ import annotations

import tensorflow as tf

# EXIF 2.32, 4.5.4 and 4.6.4: a JPEG's APP1 segment holds "Exif\0\0" and a TIFF file, whose first
# directory holds the orientation.
_TAG = 0x0112
_ENTRY_BYTES = 12
_MAX_ENTRIES = 64
_MAX_SEGMENT = 65_537  # a marker's two bytes and the two-byte length that it counts


def exif_orientation(jpeg: tf.Tensor) -> tf.Tensor:
    """Return a JPEG's EXIF orientation, int32 scalar 1 to 8; 1 where there is none.

    `jpeg` is a string scalar. EXIF is looked for where its standard puts it, first in the file
    or behind one other segment (JFIF's). Raises nothing for damaged metadata: that gives 1.
    """
    first = tf.constant(2)
    second = first + 2 + _length(jpeg, first)
    at_first, at_second = _is_exif(jpeg, first), _is_exif(jpeg, second)
    return tf.cond(
        at_first | at_second,
        lambda: _read(jpeg, tf.where(at_first, first, second)),
        lambda: tf.constant(1),
    )


def turn_upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn and mirror `[height, width, channels]` by an EXIF orientation, as Pillow does."""

    def turned():
        sideways = orientation >= 5
        left_right = tf.reduce_any(orientation == [2, 3, 6, 7])
        up_down = tf.reduce_any(orientation == [3, 4, 7, 8])
        x = tf.cond(sideways, lambda: _transposed(pixels), lambda: pixels)
        x = tf.cond(left_right, lambda: tf.reverse(x, [1]), lambda: x)
        return tf.cond(up_down, lambda: tf.reverse(x, [0]), lambda: x)

    return tf.cond(orientation > 1, turned, lambda: pixels)


def _transposed(pixels):
    # Not tf.transpose: for uint8, oneDNN prints an error on CPUs without AVX-512, though it falls
    # back; and a cast around it is optimised away.
    height, width, channels = tf.unstack(tf.shape(pixels))
    index = tf.range(width)[:, None] + width * tf.range(height)[None, :]
    return tf.gather(tf.reshape(pixels, [-1, channels]), index)


def _read(jpeg, start):
    """Read the orientation from the EXIF segment at `start`."""
    segment = _part(jpeg, start, _MAX_SEGMENT)
    data = tf.cast(tf.io.decode_raw(segment, tf.uint8), tf.int32)
    tiff = data[10:]  # behind the marker, its length and "Exif\0\0"
    big_endian = _at(tiff, 0) == ord("M")

    def number(offset, size):
        values = [_at(tiff, offset + i) for i in range(size)]
        forwards = sum(value * 256 ** (size - 1 - i) for i, value in enumerate(values))
        backwards = sum(value * 256**i for i, value in enumerate(values))
        return tf.where(big_endian, forwards, backwards)

    directory = number(4, 4)
    index = tf.range(_MAX_ENTRIES)
    entries = directory + 2 + _ENTRY_BYTES * index
    found = (number(entries, 2) == _TAG) & (index < number(directory, 2))
    values = tf.boolean_mask(number(entries + 8, 2), found)
    value = tf.concat([values, [1]], 0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _at(data, offset):
    """Return bytes at `offset`, an int or int32 of any shape; 0 outside of `data`."""
    inside = (offset >= 0) & (offset < tf.size(data))
    padded = tf.concat([data, [0]], 0)
    return tf.gather(padded, tf.where(inside, offset, tf.size(data)))


def _length(jpeg, start):
    data = tf.cast(tf.io.decode_raw(_part(jpeg, start + 2, 2), tf.uint8), tf.int32)
    return _at(data, 0) * 256 + _at(data, 1)


def _is_exif(jpeg, start):
    return (_part(jpeg, start, 2) == b"\xff\xe1") & (_part(jpeg, start + 4, 6) == b"Exif\0\0")


def _part(jpeg, start, length):
    # substr fails on a start beyond the end.
    return tf.strings.substr(jpeg, tf.minimum(start, tf.strings.length(jpeg)), length)
