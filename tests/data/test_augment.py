"""Augmentation: the right geometry, white edges, labels that keep their mass, replayable."""

import keras
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import tensorflow as tf
from drawn_catalogue import pixels

from fashion_keras.data import augment
from fashion_keras.data.augment import NUM_OPS, draw, operations, rand_augment
from fashion_keras.errors import UserError

SEED = tf.constant([3, 4])


@pytest.fixture(scope="module")
def light():
    return tf.function(augment.batch_policy("light"))


def composed(mirrored, angle, scale, shift, height, width):
    """Return the map of Keras's flip, rotation, zoom and translation in turn, `[2, 3]`."""
    x, y = (width - 1) / 2, (height - 1) / 2
    cos, sin = np.cos(angle), np.sin(angle)
    flip = [[1 - 2 * mirrored, 0, mirrored * (width - 1)], [0, 1, 0], [0, 0, 1]]
    turn = [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y], [0, 0, 1]]
    zoom = [[scale, 0, (1 - scale) * x], [0, scale, (1 - scale) * y], [0, 0, 1]]
    translate = [[1, 0, -shift[0]], [0, 1, -shift[1]], [0, 0, 1]]
    return np.linalg.multi_dot([flip, turn, zoom, translate])[:2]


def drawn_by_keras(count, height, width):
    """Return maps of amounts that are drawn as Keras's layers draw them, `[count, 2, 3]`."""
    draw = np.random.default_rng(5).uniform
    maps = []
    for _ in range(count):
        mirrored, sharp = draw() <= 0.5, draw() < 1 / 3
        angle, scale = np.radians(draw(-0.02 * 360, 0.02 * 360)), draw(1 - 0.12, 1 + 0.12)
        shift = draw(-0.06, 0.06, 2) * (width, height)
        amounts = (0.0, 1.0, (0, 0)) if sharp else (angle, scale, shift)
        maps.append(composed(mirrored, *amounts, height, width))
    return np.array(maps)


def amounts_of(maps, height, width):
    """Return what maps do to photos: side, angle, scale, and shift of the moved ones."""
    side = np.sign(maps[:, 0, 0])
    angle, scale = np.arctan2(maps[:, 1, 0], maps[:, 1, 1]), np.hypot(*maps[:, 1, :2].T)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    constant = (maps[:, :, 2] - middle)[..., None]
    shift = -np.linalg.solve(maps[:, :, :2], constant)[..., 0] - middle
    moved = np.abs(angle) > 1e-5
    return {
        "mirrored": side < 0,
        "moved": moved,
        "angle": angle[moved],
        "scale": scale[moved],
        "right": shift[moved, 0],
        "down": shift[moved, 1],
    }


def test_a_map_of_light_is_what_four_layers_do_one_after_another():
    drawn = np.random.default_rng(1).uniform(size=(50, 6)).astype(np.float32)
    drawn[:, 1] = 0.9  # none that is only mirrored
    found = augment.light_maps(drawn, 80, 60)
    for row, (mirrored, _, turn, scale, *shift) in zip(found, drawn, strict=True):
        expected = composed(
            mirrored < 0.5,
            np.radians(-7.2 + 14.4 * turn),
            0.88 + 0.24 * scale,
            (-0.06 + 0.12 * np.array(shift)) * (60, 80),
            80,
            60,
        )
        np.testing.assert_allclose(row, expected, atol=1e-4)


def test_light_draws_its_amounts_as_keras_layers_do():
    height, width, count = 80, 60, 4000
    drawn = tf.random.stateless_uniform([count, 6], SEED)
    found = amounts_of(augment.light_maps(drawn, height, width).numpy(), height, width)
    expected = amounts_of(drawn_by_keras(count, height, width), height, width)
    for name, values in expected.items():
        if values.dtype == bool:
            assert found[name].mean() == pytest.approx(values.mean(), abs=0.03), name
        else:
            assert scipy.stats.ks_2samp(found[name], values).pvalue > 0.01, name
    # And each by itself: no two of a photo's amounts go together.
    moved = np.stack([found[name] for name in ("angle", "scale", "right", "down")])
    assert np.abs(np.corrcoef(moved) - np.eye(4)).max() < 0.06


def test_light_gives_the_pixels_that_keras_layers_do(light):
    """In brightness, contrast, sharpness and the white that comes in, over many photos."""
    photo, count = pixels(1), 600
    height, width = photo.shape[:2]
    found = light(np.stack([photo] * count), SEED).numpy().astype(float)
    y, x = np.mgrid[:height, :width]
    places = drawn_by_keras(count, height, width) @ np.stack([x, y, x * 0 + 1]).reshape(3, -1)
    expected = np.array(
        [
            scipy.ndimage.map_coordinates(
                photo[..., 0].astype(float), at[::-1], order=1, mode="grid-constant", cval=255
            )
            for at in places
        ]
    ).reshape(count, height, width)
    found = found[..., 0]
    for statistic in (
        lambda photos: photos.mean(axis=(1, 2)),
        lambda photos: photos.std(axis=(1, 2)),
        lambda photos: np.abs(np.diff(photos, axis=2)).mean(axis=(1, 2)),
        lambda photos: (photos[:, :, 0] > 254).mean(axis=1),
    ):
        some, others = statistic(found), statistic(expected)
        error = np.hypot(some.std(), others.std()) / count**0.5
        assert abs(some.mean() - others.mean()) < 3 * error + 0.02
    shares = [np.histogram(photos, 16, (0, 256))[0] / photos.size for photos in (found, expected)]
    np.testing.assert_allclose(*shares, atol=0.01)


def test_light_leaves_a_third_of_the_photos_sharp_and_varies_each_other_by_its_own_amounts(light):
    photo = pixels(1)
    varied = light(tf.constant(np.stack([photo] * 300)), SEED).numpy()
    assert varied.dtype == np.uint8
    sharp = [
        np.array_equal(found, photo) or np.array_equal(found, photo[:, ::-1]) for found in varied
    ]
    assert np.mean(sharp) == pytest.approx(augment.SHARP, abs=0.1)
    moved = [found.tobytes() for found, same in zip(varied, sharp, strict=True) if not same]
    assert len(set(moved)) == len(moved)


def test_light_brings_in_white_at_the_edges(light):
    varied = light(np.full([32, 80, 60, 3], 100, np.uint8), SEED).numpy()
    assert varied.max() == 255
    assert varied.min() == 100  # and nothing darker, such as black


@pytest.mark.parametrize("policy", ["light", "rand-augment"])
def test_a_seed_gives_the_same_photos_again(policy, light):
    if policy == "light":
        vary, photos = light, tf.constant(np.stack([pixels(1), pixels(2)]))
    else:
        vary, photos = tf.function(augment.photo_policy(policy)), tf.constant(pixels(1))
    first = vary(photos, SEED).numpy()
    np.testing.assert_array_equal(vary(photos, SEED), first)
    assert (vary(photos, SEED + 1).numpy() != first).any()
    assert first.shape == photos.shape and first.min() >= 0 and first.max() <= 255.01


class Adding:
    """A stand-in for a layer that leaves a mark of its own."""

    def __init__(self, mark):
        self.mark = mark

    def get_random_transformation(self, pixels, training, seed):
        return tf.cast(self.mark, tf.float32)

    def transform_images(self, pixels, transformation):
        return pixels + transformation


def test_rand_augment_draws_operations_for_each_photo():
    marks = 10.0 ** np.arange(5)
    layers = [Adding(mark) for mark in marks]
    vary = tf.function(lambda seed: rand_augment(layers, tf.zeros([1, 1, 3]), seed))
    sums = [int(vary(tf.constant([number, 0]))[0, 0, 0]) for number in range(100)]
    drawn = [tuple(int(digit) for digit in f"{total:05d}"[::-1]) for total in sums]
    assert all(sum(counts) == NUM_OPS for counts in drawn)
    assert len(set(drawn)) == 15  # every pair of five, doubles included
    assert all(10 < sum(counts) < 80 for counts in zip(*drawn, strict=True))


@pytest.mark.parametrize("layer", operations(), ids=lambda layer: type(layer).__name__)
def test_an_operation_changes_a_photo_and_keeps_its_range(layer):
    photos = tf.constant(np.stack([pixels(n) // 2 + 60 for n in range(4)]), tf.float32)
    varied = layer.transform_images(photos, draw(layer, photos, SEED)).numpy()
    assert (varied != photos.numpy()).any()
    assert varied.min() >= -0.01 and varied.max() <= 255.01
    # No photo is wiped out, as Keras's RandAugment does with 0 bits a colour.
    assert varied.std(axis=(1, 2, 3)).min() > 2


@pytest.mark.parametrize(
    ("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)], ids=["mixup", "cutmix", "both"]
)
def test_mixed_labels_are_the_shares_of_the_mixed_photos(mixup, cutmix):
    # White photos are of class 0 and black ones of class 1: a photo's mean is class 0's share.
    white = np.arange(16) % 2 == 0
    photos = np.where(white[:, None, None, None], 255.0, 0.0) * np.ones((1, 40, 30, 3))
    labels = np.stack([white, ~white], axis=1).astype("float32")
    mix = tf.function(augment.mixing_policy(mixup, cutmix))
    shares = []
    for number in range(6):
        images, mixed = mix(
            tf.constant(photos, tf.float32), {"a": labels}, tf.constant([number, 1])
        )
        np.testing.assert_allclose(mixed["a"].numpy().sum(axis=1), 1, atol=1e-5)
        means = images.numpy().mean(axis=(1, 2, 3)) / 255
        # CutMix counts parts of pixels at the edges of its box.
        tolerance = 1 / 40 + 1 / 30 if cutmix else 1e-4
        np.testing.assert_allclose(mixed["a"][:, 0], means, atol=tolerance)
        shares += means.tolist()
    assert any(0.01 < share < 0.99 for share in shares)


def test_an_alpha_that_keras_does_not_take_is_named():
    with pytest.raises(UserError, match="cutmix 2"):
        augment.mixing_policy(0.0, 2.0)


def test_no_augmentation_is_no_function():
    assert augment.photo_policy("none") is None
    assert augment.batch_policy("none") is None
    assert augment.mixing_policy(0, 0) is None


def test_equalisation_is_keras_own():
    """Ours only counts in another way, which is quick under JAX too."""
    generator = np.random.default_rng(0)
    photos = generator.normal(120, 30, (2, 20, 16, 3)).clip(0, 255).astype(np.float32)
    photos[1] = 77.0  # one brightness alone
    *_, ours = operations()
    assert isinstance(ours, keras.layers.Equalization)
    for photo in photos:
        keras_own = keras.layers.Equalization(value_range=(0, 255), dtype="float32")
        expected = keras_own.transform_images(photo[None], None)
        np.testing.assert_array_equal(ours.transform_images(photo[None], None), expected)
