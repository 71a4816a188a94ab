"""What is stored of a photo: its own bytes where they serve, else a well-made JPEG."""

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from drawn_catalogue import encode, pixels
from PIL import Image

from fashion_keras.data.catalog import PhotoInfo
from fashion_keras.data.photos import stored_photo
from fashion_keras.errors import UserError


def info_of(data, rotated=False):
    with Image.open(io.BytesIO(data)) as image:
        height, width = image.height, image.width
        if rotated:
            height, width = width, height
        return PhotoInfo(height, width, image.format, image.mode, rotated)


def stored(data, max_size=320, **options):
    result, height, width = stored_photo(data, info_of(data, **options), max_size)
    with Image.open(io.BytesIO(result)) as image:
        image.load()
    assert (image.height, image.width) == (height, width)
    return result, image


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize(("format", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGBA")])
def test_a_small_photo_keeps_its_bytes(format, mode):
    data = encode(pixels(1), format, mode)
    assert stored(data, 80)[0] == data


def test_a_photo_that_tensorflow_does_not_decode_is_made_one_that_it_does():
    data = encode(pixels(1), "PNG")
    damaged = dataclasses.replace(info_of(data), damaged=True)
    result, *_ = stored_photo(data, damaged, 80)
    assert tf.io.decode_jpeg(result).shape == (80, 60, 3)


def test_a_large_photo_is_shrunk_in_its_shape():
    _, image = stored(encode(pixels(2, 1200, 900)), 320)
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (240, 320))


def test_shrinking_is_close_to_the_best_that_pillow_can_do():
    stripes = (np.indices((960, 720)).sum(axis=0) // 7 % 2 * 255).astype(np.uint8)
    data = saved(Image.fromarray(stripes).convert("RGB"), "PNG")
    _, image = stored(data, 320)
    best = Image.open(io.BytesIO(data)).resize((240, 320), Image.Resampling.LANCZOS)
    difference = np.abs(np.asarray(image, float) - np.asarray(best, float))
    assert difference.mean() < 4


def test_a_turned_photo_is_stored_upright():
    photo = Image.fromarray(pixels(3, 40, 60))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    data = saved(photo, "JPEG", exif=exif, quality=95)
    _, image = stored(data, rotated=True)
    assert (image.height, image.width) == (60, 40)
    upright = np.asarray(photo.rotate(-90, expand=True), float)
    assert np.abs(np.asarray(image, float) - upright).mean() < 4
    assert image.getexif().get(0x0112) is None


def test_a_transparent_webp_is_laid_on_white():
    photo = Image.new("RGBA", (20, 30), (255, 0, 0, 0))
    _, image = stored(saved(photo, "WEBP", lossless=True))
    assert image.getpixel((10, 10)) == (255, 255, 255)


def test_a_cmyk_jpeg_becomes_rgb():
    data = saved(Image.new("RGB", (20, 30), (200, 30, 40)).convert("CMYK"), "JPEG", quality=95)
    _, image = stored(data)
    assert image.mode == "RGB"
    assert np.abs(np.subtract(image.getpixel((10, 10)), (200, 30, 40))).max() < 12


def test_sixteen_bits_a_pixel_become_eight():
    data = saved(Image.fromarray(np.full((30, 20), 128 * 256, np.uint16)), "PNG")
    _, image = stored(data)
    assert np.abs(np.subtract(image.getpixel((10, 10)), 128)).max() <= 1


def test_what_pillow_cannot_convert_is_named():
    data = encode(pixels(4, 400, 300))
    with pytest.raises(UserError, match=r"images/7\.jpg"):
        stored_photo(data[:300], info_of(data), 320, "images/7.jpg")
