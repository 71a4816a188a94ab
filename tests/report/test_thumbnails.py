"""Thumbnails: small JPEGs in the page itself, and what glows on them."""

import base64
import io

import numpy as np
from PIL import Image

from fashion_keras.report.examples import HEIGHT, thumbnail

PHOTO = np.full((80, 60, 3), (40, 90, 200), np.uint8)


def opened(uri):
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)


def test_it_is_the_photo_in_its_proportions():
    pixels = opened(thumbnail(PHOTO))
    assert pixels.shape == (HEIGHT, HEIGHT * 60 // 80, 3)
    assert np.abs(pixels - PHOTO[0, 0]).max() < 12  # JPEG is not exact


def test_a_banner_does_not_make_a_wide_page():
    assert opened(thumbnail(np.zeros((10, 400, 3), np.uint8))).shape[1] == 2 * HEIGHT


def test_heat_glows_where_it_is_and_the_rest_turns_grey():
    pixels = opened(thumbnail(PHOTO, np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])))
    cold, hot = pixels[5, 60], pixels[-5, 60]
    assert np.ptp(cold) < 12
    assert hot[0] > hot[2] + 60


def test_large_photos_stay_small():
    noise = np.random.default_rng(0).integers(0, 256, (1024, 768, 3)).astype(np.uint8)
    assert len(thumbnail(noise)) < 30_000
