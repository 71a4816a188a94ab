"""Encoded photos in; pixels, and which of the photos could be decoded, out, in one graph.

A graph cannot catch what its operations raise, but a tf.data pipeline can: it drops the element.
"""

from __future__ import annotations

import tensorflow as tf

from fashion_keras.data.image import WHITE, decode, resize
from fashion_keras.serving.formats import MAX_PIXELS
from fashion_keras.serving.orientation import exif_orientation, turn_upright

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
        `formats.MAX_PIXELS`, empty and damaged ones. JPEGs are turned upright by their EXIF
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
