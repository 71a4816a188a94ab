"""A batch of photos and an affine map for each in, the photos seen through their maps out.

The three colours of a pixel lie side by side in one 64-bit integer, so that what is read and
multiplied is a pixel and not a colour, and XLA makes one loop of all of it. TensorFlow's own
`ImageProjectiveTransformV3` finds its place in the photo anew for each colour.

All is in whole numbers: the same photo and map give the same pixels on every processor.
"""

from __future__ import annotations

import tensorflow as tf

# A pixel in 64 bits: 21 for each colour, which hold its 8 and the two products with a share of 8.
_PLACES = (0, 21, 42)
_EACH = sum(1 << place for place in _PLACES)
# Coordinates count in 65,536ths of a pixel, the share of the next pixel in 256ths.
_ONE, _WHOLE = 1 << 16, 1 << 8


def affine_transform(photos: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
    """Sample each photo where its map says, bilinearly, with white around the photo.

    `photos` is uint8 `[N, H, W, 3]`. `maps` is float32 `[N, 2, 3]`: of the place that is seen at
    a pixel, row 0 gives x and row 1 gives y, as factors of the pixel's x, its y and 1. Returns
    uint8 `[N, H, W, 3]`.

    >>> mirrored = affine_transform(photos, [[[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]]])
    """
    # Three calls: in one, XLA would do the first anew for each pixel that the second reads.
    photos, maps = tf.convert_to_tensor(photos), tf.convert_to_tensor(maps, tf.float32)
    return _unpacked(_sampled(_packed(photos), maps))


def _compiled(function):
    return tf.function(function, jit_compile=True, autograph=False)


@_compiled
def _packed(photos):
    """Put a pixel's colours into one number; returns int64 `[N, H + 3, W + 3]`, with white as 0."""
    ink = tf.cast(255 - photos, tf.int64)
    pixels = sum(ink[..., colour] * (1 << place) for colour, place in enumerate(_PLACES))
    # White before the photo, and behind it, where a place has a next pixel even if it is far out.
    return tf.pad(pixels, [[0, 0], [1, 2], [1, 2]])


@_compiled
def _sampled(pixels, maps):
    """Mix the four pixels around each place; returns int64 `[N, H, W]`, colours in 8192ths."""
    height, width = (size - 3 for size in pixels.shape[1:])
    maps = tf.cast(tf.round(maps * _ONE), tf.int32)[..., None, None]
    y, x = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")

    def place(axis, size):
        """Return the pixel before a place, counted from the white one, and the next one's share."""
        at = maps[:, axis, 0] * x + maps[:, axis, 1] * y + maps[:, axis, 2]
        at = tf.clip_by_value(at + _ONE + _WHOLE // 2, 0, (size + 1) * _ONE)
        return _shifted(at, 16), tf.cast(_shifted(at, 8) & 255, tf.int64)

    (column, right), (row, below) = place(0, width), place(1, height)
    photo = tf.range(tf.shape(pixels)[0])[:, None, None]
    first = (photo * (height + 3) + row) * (width + 3) + column
    pixels = tf.reshape(pixels, [-1])

    def mixed(first):
        # Written so that each pixel stands there once: XLA reads it as often as it does.
        pair = tf.gather(pixels, first) * (_WHOLE - right) + tf.gather(pixels, first + 1) * right
        return _shifted(pair, 3) & (0x1FFF * _EACH)

    return mixed(first) * (_WHOLE - below) + mixed(first + width + 3) * below


@_compiled
def _unpacked(pixels):
    """Take the colours out again, rounded; returns uint8 `[N, H, W, 3]`."""
    pixels = (pixels + 4096 * _EACH)[..., None]
    ink = _shifted(pixels, [place + 13 for place in _PLACES]) & 255
    return 255 - tf.cast(ink, tf.uint8)


def _shifted(numbers, bits):
    return tf.bitwise.right_shift(numbers, tf.constant(bits, numbers.dtype))
