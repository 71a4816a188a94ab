"""Encoded photos in; upright pixels, and which photos could be decoded, out, in one graph.

A graph cannot catch what its operations raise, but a tf.data pipeline can: it drops the element.
Conversion turns photos upright before they are stored, so training never sees a lying one; a
served model gets them as the camera wrote them.
"""

from __future__ import annotations

import tensorflow as tf

from fashion_keras.data.image import WHITE, decode, resize
from fashion_keras.serving.served_photo import (
    ENTRY_BYTES,
    MAX_PIXELS,
    MOST_ENTRIES,
    MOST_SEGMENT,
    ORIENTATION,
)


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
    segment = _part(jpeg, start, MOST_SEGMENT)
    data = tf.cast(tf.io.decode_raw(segment, tf.uint8), tf.int32)
    tiff = data[10:]  # behind the marker, its length and "Exif\0\0"
    big_endian = _at(tiff, 0) == ord("M")

    def number(offset, size):
        values = [_at(tiff, offset + i) for i in range(size)]
        forwards = sum(value * 256 ** (size - 1 - i) for i, value in enumerate(values))
        backwards = sum(value * 256**i for i, value in enumerate(values))
        return tf.where(big_endian, forwards, backwards)

    directory = number(4, 4)
    index = tf.range(MOST_ENTRIES)
    entries = directory + 2 + ENTRY_BYTES * index
    found = (number(entries, 2) == ORIENTATION) & (index < number(directory, 2))
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


# At a time, so that large photos keep a server's cores busy and its memory within bounds.
_PARALLEL = 4


def decode_photos(
    encoded: tf.Tensor, image_size: tuple[int, int], mode: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode a batch of JPEGs and PNGs as training does, one bad photo sparing the others.

    Args:
        encoded: string `[N]`, N may be 0.
        image_size: height and width in pixels.
        mode: how photos are brought to that size, as in `data.image.resize`.

    Returns:
        uint8 `[N, height, width, 3]`, white where a photo cannot be decoded; and bool `[N]`,
        whether it can. Refused are other formats, photos of more pixels than
        `served_photo.MAX_PIXELS`, empty and damaged ones. JPEGs are turned upright by their EXIF
        orientation.
    """
    count = tf.size(encoded, out_type=tf.int64)
    blank = tf.fill([*image_size, 3], tf.constant(WHITE, tf.uint8))
    decoded = (
        tf.data.Dataset.from_tensor_slices(encoded)
        .enumerate()
        .map(
            lambda index, photo: (index, _decode(photo, image_size, mode)),
            num_parallel_calls=_PARALLEL,
            deterministic=True,
        )
        .ignore_errors()
    )
    # The blank comes first, so that a batch of bad photos alone is not an empty dataset.
    stand_in = tf.data.Dataset.from_tensors((tf.constant(-1, tf.int64), blank))
    everything = stand_in.concatenate(decoded).batch(count + 1)
    index, pixels = everything.with_options(_plain_options()).get_single_element()
    # Row 0 is the blank, and where every photo without a row of its own points to.
    rows = tf.scatter_nd(index[1:, None], tf.range(1, tf.size(index)), count[None])
    pixels = tf.ensure_shape(tf.gather(pixels, rows), [None, *image_size, 3])
    return pixels, rows > 0


def _decode(photo, image_size, mode):
    is_jpeg = tf.strings.substr(photo, 0, 3) == b"\xff\xd8\xff"
    orientation = tf.cond(is_jpeg, lambda: _checked_jpeg(photo), lambda: _checked_png(photo))
    # What is refused must not be decoded, and only data holds an operation back for sure.
    with tf.control_dependencies([orientation]):
        photo = tf.identity(photo)
    return resize(turn_upright(decode(photo), orientation), image_size, mode)


def _checked_jpeg(photo):
    """Fail on a JPEG that is too large or whose header is damaged; return its orientation."""
    height, width, _ = tf.unstack(tf.cast(tf.io.extract_jpeg_shape(photo), tf.int64))
    with tf.control_dependencies([tf.debugging.assert_less_equal(height * width, _limit("JPEG"))]):
        return exif_orientation(photo)


def _checked_png(photo):
    """Fail on what is no PNG or too large a one; return the orientation 1."""
    # PNG 1.2, 11.2.2: signature, then the header's length and name, width, height.
    is_png = tf.strings.substr(photo, 0, 8) == b"\x89PNG\r\n\x1a\n"
    size = tf.io.decode_raw(tf.strings.substr(photo, 16, 8), tf.int32, little_endian=False)
    width, height = tf.unstack(tf.cast(size, tf.int64), 2)
    checks = [
        tf.debugging.Assert(is_png, ["neither JPEG nor PNG"]),
        tf.debugging.assert_less_equal(height * width, _limit("PNG")),
    ]
    with tf.control_dependencies(checks):
        return tf.constant(1)


def _limit(kind):
    return tf.constant(MAX_PIXELS[kind], tf.int64)


def _plain_options():
    # A request's pipeline lives for milliseconds: too short to be tuned.
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return options
