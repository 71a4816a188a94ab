"""Augmentation: the right geometry, white edges, labels that keep their mass, replayable."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from drawn_catalogue import pixels

from fashion_keras.data import augment
from fashion_keras.data.augment import NUM_OPS, draw, fold, operations, rand_augment
from fashion_keras.errors import UserError

SEED = tf.constant([3, 4])


@pytest.fixture(scope="module")
def light():
    return tf.function(augment.batch_policy("light"))


def test_light_does_what_its_layers_do_one_after_another(light):
    # Bilinear sampling of a ramp is exact, so that several passes lose nothing.
    x, y = np.meshgrid(np.arange(60.0), np.arange(80.0))
    ramps = tf.constant(np.stack([np.dstack([4 * x, 3 * y, x + y])] * 16), tf.float32)
    layers = [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomRotation(0.02, fill_mode="constant"),
        keras.layers.RandomZoom((-0.12, 0.12), fill_mode="constant"),
        keras.layers.RandomTranslation(0.06, 0.06, fill_mode="constant"),
    ]
    expected = ramps
    steps = []
    for position, layer in enumerate(layers):
        amounts = draw(layer, expected, fold(SEED, position))
        expected = layer.transform_images(expected, amounts)
        steps.append(expected)
    found = light(ramps, SEED).numpy()
    sharp = np.abs(found - steps[0].numpy()).max(axis=(1, 2, 3)) < 0.01
    assert 0 < sharp.sum() < 16
    # Away from the edges, where nothing comes in.
    inside = (~sharp, slice(24, 56), slice(18, 42))
    np.testing.assert_allclose(found[inside], expected.numpy()[inside], atol=0.01)


def test_light_leaves_a_third_of_the_photos_sharp_and_varies_each_other_by_its_own_amounts(light):
    photo = pixels(1)
    varied = light(tf.constant(np.stack([photo] * 300)), SEED).numpy()
    assert varied.dtype == np.float32
    sharp = [
        np.array_equal(found, photo) or np.array_equal(found, photo[:, ::-1]) for found in varied
    ]
    assert np.mean(sharp) == pytest.approx(augment.SHARP, abs=0.1)
    moved = [found.tobytes() for found, same in zip(varied, sharp, strict=True) if not same]
    assert len(set(moved)) == len(moved)


def test_light_brings_in_white_at_the_edges(light):
    grey = tf.fill([32, 80, 60, 3], 100.0)
    varied = light(grey, SEED).numpy()
    assert varied.max() > 254.9
    assert varied.min() > 99.9  # and nothing darker, such as black


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
