"""Photo bytes in, pixels out: the one decode-and-resize that training and serving share."""

from __future__ import annotations

import tensorflow as tf

RESIZE_MODES = ("stretch", "pad", "crop")
WHITE = 255
_PNG_DEPTH = 24  # byte: https://www.w3.org/TR/png-3/#11IHDR
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decode one JPEG, PNG, GIF or BMP to RGB.

    `encoded` is a string scalar. Returns uint8 `[height, width, 3]`. Grey becomes RGB,
    transparent PNG is laid on white (shops cut products out on transparency; black would be
    taken for part of the product), of an animated GIF the first frame is taken. Raises
    `tf.errors.InvalidArgumentError` when run on anything else.
    """

    def jpeg():
        # INTEGER_ACCURATE is what Pillow and browsers use; TensorFlow's default trades
        # accuracy for a speed that photos of this size do not show.
        return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")

    def png():
        return tf.cond(_few_bits_and_opaque(encoded), opaque_png, any_png)

    def opaque_png():
        return tf.io.decode_png(encoded, channels=3)

    def any_png():
        rgba = tf.io.decode_png(encoded, channels=4)
        alpha = tf.cast(rgba[..., 3:], tf.float32) / 255.0
        colour = tf.cast(rgba[..., :3], tf.float32)
        return tf.cast(tf.round(colour * alpha + WHITE * (1.0 - alpha)), tf.uint8)

    def other():
        return tf.io.decode_image(encoded, channels=3, expand_animations=False)

    starts_png = tf.strings.substr(encoded, 0, 8) == tf.constant(_PNG_SIGNATURE)
    starts_jpeg = tf.strings.substr(encoded, 0, 3) == tf.constant(b"\xff\xd8\xff")
    pixels = tf.case([(starts_jpeg, jpeg), (starts_png, png)], default=other)
    return tf.ensure_shape(pixels, [None, None, 3])


def _few_bits_and_opaque(png: tf.Tensor) -> tf.Tensor:
    """Say whether a PNG has fewer than 8 bits a pixel and no transparency (its chunk `tRNS`).

    Asked for an alpha channel, TensorFlow gives such a one 1, 3 or 15 for 255, nearly none.
    """
    # Sliced, and not a substring: there may be no such byte, which is for the decoder to say.
    depth = tf.io.decode_raw(png, tf.uint8)[_PNG_DEPTH : _PNG_DEPTH + 1]
    few_bits = tf.reduce_any(depth < 8)
    # Split only where that is so: for most photos the bytes need no second look.
    return tf.cond(few_bits, lambda: tf.size(tf.strings.split(png, "tRNS")) == 1, lambda: False)


def resize(pixels: tf.Tensor, image_size: tuple[int, int], mode: str = "stretch") -> tf.Tensor:
    """Bring one photo to `image_size` (height, width in pixels).

    `pixels` is uint8 `[h, w, 3]`; returns uint8 `[height, width, 3]`, bilinear with
    antialiasing. `stretch` changes the shape, `pad` keeps it and fills with white, `crop`
    keeps it and cuts the longer side about the centre. A photo of that size passes unchanged.
    """
    height, width = image_size
    if mode not in RESIZE_MODES:
        raise ValueError(f"Invalid `mode`. Expected one of {RESIZE_MODES}. Received: {mode!r}")
    shape = tf.shape(pixels)
    fits = tf.logical_and(shape[0] == height, shape[1] == width)
    resized = tf.cond(fits, lambda: pixels, lambda: _resize(pixels, height, width, mode))
    return tf.ensure_shape(resized, [height, width, 3])


def decode_and_resize(
    encoded: tf.Tensor, image_size: tuple[int, int], mode: str = "stretch"
) -> tf.Tensor:
    """Decode one photo's bytes (string scalar) to uint8 `[height, width, 3]`."""
    return resize(decode(encoded), image_size, mode)


def _resize(pixels, height, width, mode):
    if mode == "stretch":
        return _scaled(pixels, height, width)
    size = tf.cast(tf.shape(pixels)[:2], tf.float32)
    ratios = tf.constant([height, width], tf.float32) / size
    ratio = tf.reduce_min(ratios) if mode == "pad" else tf.reduce_max(ratios)
    scaled = tf.maximum(tf.cast(tf.round(size * ratio), tf.int32), 1)
    pixels = _scaled(pixels, scaled[0], scaled[1])
    if mode == "crop":
        top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
        return pixels[top : top + height, left : left + width]
    top, left = (height - scaled[0]) // 2, (width - scaled[1]) // 2
    padding = [[top, height - scaled[0] - top], [left, width - scaled[1] - left], [0, 0]]
    return tf.pad(pixels, padding, constant_values=WHITE)


def _scaled(pixels, height, width):
    scaled = tf.image.resize(pixels, [height, width], "bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(scaled), 0, 255), tf.uint8)
