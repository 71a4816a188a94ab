"""One training photo and a seed in, the photo after two random operations out: RandAugment.

Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space",
2020. The operations are Keras's own layers; `keras.layers.RandAugment` itself is not used:

- it draws its operations once a call, so that a batch shares them, and computes all eleven to
  keep two, which on single photos is ten times as slow;
- one strength for all of them turns photos by up to 144° and leaves them 0 to 2 bits a colour
  where the paper's go to 30° and 4 bits;
- it mirrors what comes in at the edges, where a catalogue's background is white.
"""

from __future__ import annotations

import functools

import keras
import tensorflow as tf

from fashion_keras.data.replay import draw, fold

NUM_OPS = 2
# Of the paper's ranges (its table 1 takes 9 to 17 of 30).
MAGNITUDE = 0.4


class _Equalization(keras.layers.Equalization):
    """Keras's, which under JAX compares every pixel with each of 256 values: tf.data can count."""

    def _custom_histogram_fixed_width(self, values, value_range, nbins):
        low, high = value_range
        bins = tf.cast((values - low) * (nbins - 1) / (high - low), tf.int32)
        bins = tf.reshape(tf.clip_by_value(bins, 0, nbins - 1), [-1])
        return tf.math.bincount(bins, minlength=nbins, maxlength=nbins)


def operations() -> list[keras.layers.Layer]:
    """Make the operations: the paper's, at `MAGNITUDE` of its ranges, white at the edges."""
    edges = {"fill_mode": "constant", "fill_value": 255.0, "dtype": "float32"}
    colour = {"value_range": (0, 255), "dtype": "float32"}
    layers = keras.layers
    return [
        layers.RandomShear(x_factor=0.3 * MAGNITUDE, y_factor=0.3 * MAGNITUDE, **edges),
        layers.RandomTranslation(0.45 * MAGNITUDE, 0.45 * MAGNITUDE, **edges),
        layers.RandomRotation(MAGNITUDE * 30 / 360, **edges),
        layers.RandomBrightness(0.5 * MAGNITUDE, **colour),
        layers.RandomColorDegeneration(MAGNITUDE, **colour),
        layers.RandomContrast(0.9 * MAGNITUDE, **colour),
        layers.RandomSharpness(MAGNITUDE, **colour),
        layers.RandomPosterization((4, 8), **colour),
        layers.Solarization(threshold_factor=(1 - MAGNITUDE, 1), **colour),
        layers.AutoContrast(**colour),
        _Equalization(**colour),
    ]


def rand_augment(layers: list[keras.layers.Layer], pixels: tf.Tensor, seed: tf.Tensor):
    """Apply `NUM_OPS` of `layers`, drawn with replacement, to one photo.

    `pixels` is float32 `[H, W, 3]` in [0, 255], `seed` int32 `[2]`; returns float32 `[H, W, 3]`.
    """

    def apply(layer, pixels, seed):
        transformed = layer.transform_images(pixels, draw(layer, pixels, seed))
        return tf.ensure_shape(transformed, pixels.shape)

    pixels = pixels[None]
    for step in range(NUM_OPS):
        step_seed = fold(seed, step)
        choice = tf.random.stateless_uniform([], step_seed, 0, len(layers), tf.int32)
        # Only the branch that is chosen runs.
        branches = [functools.partial(apply, layer, pixels, step_seed) for layer in layers]
        pixels = tf.switch_case(choice, branches)
    return pixels[0]
