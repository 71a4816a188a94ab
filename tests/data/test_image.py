"""Decode and resize: what Pillow shows is what the model sees."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from drawn_catalogue import encode, pixels
from PIL import Image

from fashion_keras.data.image import decode, decode_and_resize, resize

PNG = encode(pixels(3), "PNG")


def pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"subsampling": 0}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "L", {}),
        ("PNG", "RGB", {}),
        ("PNG", "L", {}),
        ("PNG", "P", {}),
        ("GIF", "P", {}),
        ("BMP", "RGB", {}),
    ],
)
def test_decodes_to_the_pixels_that_pillow_shows(format, mode, options):
    data = encode(pixels(1, 37, 53), format, mode, **options)
    np.testing.assert_array_equal(decode(tf.constant(data)), pillow(data))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_png_is_laid_on_white(mode):
    rgba = np.dstack([pixels(2, 8, 8), np.full((8, 8), 255, np.uint8)])
    rgba[:4, :, 3] = 0
    image = Image.fromarray(rgba, "RGBA").convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    decoded = decode(tf.constant(file.getvalue())).numpy()
    np.testing.assert_array_equal(decoded[:4], np.full((4, 8, 3), 255))
    np.testing.assert_array_equal(decoded[4:], np.asarray(image.convert("RGB"))[4:])


def test_a_palette_png_with_a_transparent_colour_is_laid_on_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 2), 1)
    file = io.BytesIO()
    image.save(file, "PNG", transparency=0)
    decoded = decode(tf.constant(file.getvalue())).numpy()
    assert decoded[2, 1].tolist() == [200, 100, 50]
    assert decoded[0, 0].tolist() == [255, 255, 255]


def on_white(data):
    photo = Image.open(io.BytesIO(data)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo).convert("RGB")


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("colours", [2, 4, 16, 256])
def test_a_palette_of_few_colours_keeps_them(colours, transparent):
    """Below 8 bits TensorFlow takes full opacity for nearly none."""
    file = io.BytesIO()
    options = {"transparency": 0} if transparent else {}
    Image.fromarray(pixels(5)).quantize(colours).save(file, "PNG", **options)
    data = file.getvalue()
    assert data[24] == {2: 1, 4: 2, 16: 4, 256: 8}[colours]  # bits a pixel
    np.testing.assert_array_equal(decode(tf.constant(data)), on_white(data))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_keeps_its_brightness(bits):
    rows = np.arange(2**bits, dtype=np.uint8)[:, None].repeat(8, axis=1)
    packed = np.packbits(
        np.unpackbits(rows[..., None], axis=2)[..., 8 - bits :].reshape(2**bits, -1)
    )
    data = png(8, 2**bits, bits, packed.reshape(2**bits, -1))
    expected = np.round(rows * (255 / (2**bits - 1)))[..., None].repeat(3, axis=2)
    np.testing.assert_array_equal(decode(tf.constant(data)), expected)


def png(width, height, bits, lines):
    """Write a grey PNG (https://www.w3.org/TR/png-3): Pillow writes none of few bits."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = b"".join(b"\0" + line.tobytes() for line in lines)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("data", [b"", b"no photo", encode(pixels(3))[:200], PNG[:16], PNG[:80]])
def test_anything_else_is_an_invalid_argument(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(tf.constant(data))


@pytest.mark.parametrize("mode", ["stretch", "pad", "crop"])
def test_a_photo_of_that_size_passes_unchanged(mode):
    photo = pixels(4)
    np.testing.assert_array_equal(resize(tf.constant(photo), (80, 60), mode), photo)


@pytest.mark.parametrize("mode", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("size", [(32, 32), (41, 97), (200, 10)])
def test_any_size_comes_out(mode, size):
    assert resize(tf.constant(pixels(5)), size, mode).shape == (*size, 3)


def test_pad_keeps_the_shape_and_adds_white_on_both_sides():
    black = tf.zeros([80, 40, 3], tf.uint8)
    padded = resize(black, (40, 40), "pad").numpy()[..., 0]
    np.testing.assert_array_equal(padded[:, 10:30], 0)
    np.testing.assert_array_equal(padded[:, :10], 255)
    np.testing.assert_array_equal(padded[:, 30:], 255)


def test_crop_keeps_the_shape_and_the_middle():
    thirds = np.zeros([90, 30, 3], np.uint8)
    thirds[30:60] = 200
    np.testing.assert_array_equal(resize(tf.constant(thirds), (30, 30), "crop"), 200)


def test_stretch_uses_all_of_the_photo():
    halves = np.zeros([80, 40, 3], np.uint8)
    halves[40:] = 200
    stretched = resize(tf.constant(halves), (20, 20), "stretch").numpy()
    np.testing.assert_array_equal(stretched[:9], 0)
    np.testing.assert_array_equal(stretched[11:], 200)


def test_shrinking_averages_and_does_not_skip_pixels():
    chequered = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    shrunk = resize(tf.constant(np.dstack([chequered] * 3)), (16, 16)).numpy()
    assert 100 < shrunk.min() <= shrunk.max() < 155


def test_another_mode_is_refused():
    with pytest.raises(ValueError, match="stretch"):
        resize(tf.constant(pixels(6)), (8, 8), "squash")


def test_decode_and_resize_runs_inside_a_dataset():
    data = [encode(pixels(7)), encode(pixels(8), "PNG")]
    dataset = tf.data.Dataset.from_tensor_slices(data).map(lambda d: decode_and_resize(d, (80, 60)))
    for photo, encoded in zip(dataset, data, strict=True):
        np.testing.assert_array_equal(photo, pillow(encoded))
