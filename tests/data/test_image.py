"""Decode and resize: what Pillow shows is what the model sees."""

import io

import numpy as np
import pytest
import tensorflow as tf
from drawn_catalogue import encode, pixels
from PIL import Image

from fashion_keras.data.image import decode, decode_and_resize, resize


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


@pytest.mark.parametrize("data", [b"", b"no photo", encode(pixels(3))[:200]])
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
