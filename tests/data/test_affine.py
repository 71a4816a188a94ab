"""Affine maps of photos, against SciPy's interpolation."""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from fashion_keras.data.augment import affine_transform

STILL = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def noise(count=12, height=23, width=17):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def by_scipy(photos, maps):
    y, x = np.mgrid[: photos.shape[1], : photos.shape[2]]
    places = np.asarray(maps) @ np.stack([x, y, x * 0 + 1]).reshape(3, -1)
    seen = [
        scipy.ndimage.map_coordinates(
            photo[..., colour].astype(float), at[::-1], order=1, mode="grid-constant", cval=255
        )
        for photo, at in zip(photos, places, strict=True)
        for colour in range(3)
    ]
    return np.moveaxis(np.reshape(seen, (len(photos), 3, *photos.shape[1:3])), 1, -1)


@pytest.mark.parametrize("size", [(23, 17), (80, 60), (1, 5)])
def test_a_map_of_any_kind_is_what_scipy_makes_of_it(size):
    photos = noise(12, *size)
    draw = np.random.default_rng(1)
    maps = STILL + draw.uniform(-0.5, 0.5, (12, 2, 3)) * [1, 1, 0.6 * max(size)]
    found = affine_transform(photos, tf.constant(maps, tf.float32)).numpy()
    assert found.dtype == np.uint8
    # Noise between black and white, in 256ths of a pixel: half a grey level a direction, and
    # half for rounding.
    difference = found - by_scipy(photos, maps)
    assert np.abs(difference).max() < 2 and np.abs(difference).mean() < 0.35
    assert abs(difference.mean()) < 0.1


def test_whole_pixels_are_moved_as_they_are():
    photos = noise(4)
    width = photos.shape[2]
    mirror, shift = [[-1.0, 0.0, width - 1.0], STILL[1]], [[1.0, 0.0, 2.0], [0.0, 1.0, -3.0]]
    away = [[1.0, 0.0, 1000.0], STILL[1]]
    found = affine_transform(photos, [STILL, mirror, shift, away]).numpy()
    np.testing.assert_array_equal(found[0], photos[0])
    np.testing.assert_array_equal(found[1], photos[1, :, ::-1])
    moved = np.full_like(photos[2], 255)
    moved[3:, :-2] = photos[2, :-3, 2:]
    np.testing.assert_array_equal(found[2], moved)
    assert (found[3] == 255).all()


def test_black_and_white_stay_so_between_pixels():
    photos = np.stack([np.full((9, 9, 3), level, np.uint8) for level in (0, 255)])
    half = [[0.5, 0.1, 1.3], [0.1, 0.5, 1.7]]
    for photo, found in zip(photos, affine_transform(photos, [half] * 2).numpy(), strict=True):
        np.testing.assert_array_equal(found, photo)
