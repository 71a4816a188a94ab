"""The served graph's decoder: training's pixels, and a flag where there are none."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from serving.photo_bytes import BAD, GOOD, turned
from serving.tiny import PHOTOS, photo

from fashion_keras.data.image import decode, decode_and_resize
from fashion_keras.serving.decoding import decode_photos, exif_orientation, turn_upright

SIZE = (40, 32)


@pytest.fixture(scope="module")
def decoder():
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def graph(encoded):
        return decode_photos(encoded, SIZE, "stretch")

    return lambda photos: [part.numpy() for part in graph(tf.constant(photos, tf.string))]


@pytest.fixture(scope="module")
def orient():
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def graph(encoded):
        orientation = exif_orientation(encoded)
        return orientation, turn_upright(decode(encoded), orientation)

    return lambda encoded: [part.numpy() for part in graph(encoded)]


def test_good_photos_get_trainings_pixels_bit_for_bit(decoder):
    pixels, valid = decoder(list(GOOD.values()))
    assert valid.all()
    for name, found in zip(GOOD, pixels, strict=True):
        expected = decode_and_resize(tf.constant(GOOD[name]), SIZE)
        np.testing.assert_array_equal(found, expected, err_msg=name)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_photo_is_flagged_and_blank_and_spares_its_neighbours(decoder, kind):
    pixels, valid = decoder([PHOTOS["jpeg"], BAD[kind], PHOTOS["png"]])
    assert valid.tolist() == [True, False, True]
    assert (pixels[1] == 255).all()
    for row, name in ((0, "jpeg"), (2, "png")):
        np.testing.assert_array_equal(
            pixels[row], decode_and_resize(tf.constant(PHOTOS[name]), SIZE)
        )


def test_bad_photos_alone_and_no_photos_at_all_are_no_error(decoder):
    pixels, valid = decoder(list(BAD.values()))
    assert pixels.shape == (len(BAD), *SIZE, 3)
    assert not valid.any()
    pixels, valid = decoder([])
    assert (pixels.shape, valid.shape) == ((0, *SIZE, 3), (0,))


def test_large_photos_within_the_limit_are_decoded(decoder):
    _, valid = decoder([photo(4000, 1000), photo(1000, 4000, format="PNG")])
    assert valid.all()


@pytest.mark.parametrize("value", range(1, 9))
def test_a_jpeg_is_turned_as_pillow_turns_it(orient, value):
    encoded = turned(value)
    orientation, pixels = orient(encoded)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded)))
    assert orientation == value
    np.testing.assert_array_equal(pixels, np.asarray(upright))


def test_orientation_is_found_in_either_byte_order_and_without_jfif(orient):
    tiff = {
        b"II": b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + bytes(4),
        b"MM": b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + bytes(4),
    }
    plain = PHOTOS["jpeg"]
    jfif_end = 4 + int.from_bytes(plain[4:6], "big")
    for data in tiff.values():
        exif = b"\xff\xe1" + (8 + len(data)).to_bytes(2, "big") + b"Exif\0\0" + data
        assert orient(plain[:2] + exif + plain[jfif_end:])[0] == 6
        assert orient(plain[:jfif_end] + exif + plain[jfif_end:])[0] == 6


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"II",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\xff\xff\xff\x7f",
        b"II*\0\x08\0\0\0\xff\xff",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0",
    ],
    ids=repr,
)
def test_damaged_exif_leaves_the_photo_as_it_is(orient, data):
    exif = b"\xff\xe1" + (8 + len(data)).to_bytes(2, "big") + b"Exif\0\0" + data
    plain = PHOTOS["jpeg"]
    orientation, pixels = orient(plain[:2] + exif + plain[2:])
    assert orientation == 1
    np.testing.assert_array_equal(pixels, decode(tf.constant(plain)))


def test_a_photo_without_exif_is_not_turned(orient):
    assert orient(PHOTOS["jpeg"])[0] == 1


def test_cmyk_has_the_colours_that_pillow_shows():
    encoded = GOOD["cmyk jpeg"]
    shown = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")).astype(int)
    assert np.abs(decode(tf.constant(encoded)).numpy() - shown).max() <= 1
