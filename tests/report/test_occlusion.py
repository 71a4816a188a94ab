"""Occlusion maps on models whose answers can be worked out by hand, and on a whole network."""

import keras
import numpy as np
import pytest

from fashion_keras.models.classifier import build_classifier
from fashion_keras.report.examples import occlusion_maps

WHITE = 255
# Red, green and blue speak for three classes.
KERNEL = np.array([[2.0, -1.0, 0.0], [-1.0, 3.0, 0.0], [0.0, 0.5, 1.0]], np.float32)


def model_of_colours(kernel=KERNEL, crop=((0, 0), (0, 0)), size=(16, 16)):
    """Logits are the mean colour of a photo, or of what is left of it, times a kernel."""
    inputs = keras.Input((*size, 3), name="image")
    seen = keras.layers.Rescaling(1 / 5)(keras.layers.Cropping2D(crop)(inputs))
    pooled = keras.layers.GlobalAveragePooling2D(name="features")(seen)
    head = keras.layers.Dense(kernel.shape[1], name="kind")
    other = keras.layers.Dense(2, name="other")
    model = keras.Model(inputs, {"other": other(pooled), "kind": head(pooled)}, name="tiny")
    head.set_weights([kernel, np.array([0.5, -0.5, 0.0], np.float32)])
    return model


def products(count, size=(16, 16)):
    """Photos of noise on white, the outermost two pixels of them white."""
    photos = np.full((count, *size, 3), WHITE, np.uint8)
    inner = (count, size[0] - 4, size[1] - 4, 3)
    photos[:, 2:-2, 2:-2] = np.random.default_rng(0).integers(0, 256, inner)
    return photos


def log_odds_by_hand(photo, asked):
    logits = photo.astype(float).mean(axis=(0, 1)) / 5 @ KERNEL + [0.5, -0.5, 0.0]
    shares = np.exp(logits) / np.exp(logits).sum()
    return np.log(shares[asked] / (1 - shares[asked]))


def map_by_hand(photo, asked):
    """Cover 4×4 pixels about the middle of each 2×2 cell with white, one photo at a time."""
    found = np.zeros((8, 8))
    for row, column in np.ndindex(8, 8):
        covered = photo.copy()
        for y, x in np.ndindex(16, 16):
            if abs(y + 0.5 - (2 * row + 1)) < 2 and abs(x + 0.5 - (2 * column + 1)) < 2:
                covered[y, x] = WHITE
        found[row, column] = log_odds_by_hand(photo, asked) - log_odds_by_hand(covered, asked)
    return np.maximum(found, 0) / found.max()


@pytest.mark.parametrize("batch_size", [7, 64])
def test_the_map_is_how_far_the_log_odds_fall_patch_by_patch(batch_size):
    photos, asked = products(3), [2, 2, 0]
    photos[2, 4:9, 4:9] = (255, 0, 0)  # without it nothing here speaks for red
    found = occlusion_maps(model_of_colours(), "kind", photos, asked, batch_size=batch_size)
    expected = [map_by_hand(photo, one) for photo, one in zip(photos, asked, strict=True)]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_the_model_does_not_look_at_stays_clear():
    model = model_of_colours(crop=((0, 8), (0, 8)))  # it sees the upper left quarter alone
    (found,) = occlusion_maps(model, "kind", products(1), [0])
    assert (found[:4, :4] > 0).any()
    assert (found[5:] == 0).all() and (found[:, 5:] == 0).all()


def test_a_background_that_is_not_quite_white_is_not_lit():
    photos = np.random.default_rng(0).integers(249, 256, (1, 16, 16, 3)).astype(np.uint8)
    photos[:, 4:8, 4:8] = 0
    (found,) = occlusion_maps(model_of_colours(), "kind", photos, [0])
    assert found.max() == 1
    assert (found[5:] == 0).all() and (found[:, 5:] == 0).all()


def test_where_nothing_makes_a_difference_the_map_is_empty():
    unmoved = model_of_colours(np.zeros((3, 3), np.float32))
    assert occlusion_maps(unmoved, "kind", products(2), [0, 1]).max() == 0


def test_no_photos_have_no_maps():
    nothing = np.zeros((0, 16, 16, 3), np.uint8)
    assert occlusion_maps(model_of_colours(), "kind", nothing, []).shape == (0, 8, 8)


@pytest.mark.parametrize(
    ("size", "cells"),
    [((32, 32), (8, 8)), ((48, 32), (12, 8)), ((80, 60), (11, 8)), ((32, 320), (2, 16))],
)
def test_small_photos_have_as_many_cells_as_large_ones(size, cells):
    model = model_of_colours(size=size)
    assert occlusion_maps(model, "kind", products(1, size), [0]).shape == (1, *cells)


def test_a_whole_network_shows_places_of_a_photo_of_which_its_last_map_has_two_cells():
    keras.utils.set_random_seed(0)
    model = build_classifier("resnet18", (48, 32), {"kind": 3})
    assert model.get_layer("features").input.shape[1:3] == (2, 1)
    head = model.get_layer("kind")
    head.set_weights([1000 * weights for weights in head.get_weights()])  # an untrained one is dull
    photos = products(1, (48, 32))
    (found,) = occlusion_maps(model, "kind", photos, [0], batch_size=16)
    assert found.shape == (12, 8)
    assert found.max() == 1 and (found < 0.5).any()
