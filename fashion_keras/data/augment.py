"""A batch of training photos and a seed in, the same photos varied out.

Most layers are Keras's own, and draw from a generator that advances with every call, so that a
parallel `map` and a resumed run would draw other numbers. Here the seed is a function of run,
epoch and position, and the layer draws from that.

RandAugment is Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced
search space", 2020, of Keras's layers. `keras.layers.RandAugment` itself is not used:

- it draws its operations once a call, so that a batch shares them, and computes all eleven to
  keep two, which on single photos is ten times as slow;
- one strength for all of them turns photos by up to 144° and leaves them 0 to 2 bits a colour
  where the paper's go to 30° and 4 bits;
- it mirrors what comes in at the edges, where a catalogue's background is white.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import keras
import tensorflow as tf

from fashion_keras.errors import UserError


class ReplayableSeed(keras.random.SeedGenerator):
    """Hand out seeds folded from one tensor instead of advancing a variable.

    A variable that parallel calls advance gives each its seeds in whatever order they run;
    a seed folded from the photo's own position does not depend on that.
    """

    def __init__(self, seed: tf.Tensor):
        # No super().__init__: it would make a variable, which a traced function may not.
        self._base = seed
        self._drawn = 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        """Return the next seed, int32 `[2]`."""
        self._drawn += 1
        return fold(self._base, self._drawn)


def draw(layer: keras.layers.Layer, pixels: tf.Tensor, seed: tf.Tensor):
    """Return what a layer would do to `pixels` under `seed`, for its `transform_images`.

    `pixels` is float32 `[N, H, W, 3]`, `seed` int32 `[2]`; what comes back is the layer's own.
    """
    if keras.backend.backend() != "tensorflow":
        layer.backend.set_backend("tensorflow")  # it does not know that tf.data calls it
    replayable = ReplayableSeed(seed)
    # MixUp passes its own generator on instead of `seed`: pin that too.
    layer._get_seed_generator = lambda backend=None: replayable
    return layer.get_random_transformation(pixels, training=True, seed=replayable)


def fold(seed: tf.Tensor, number) -> tf.Tensor:
    """Return a seed, int32 `[2]`, that differs for every number."""
    return tf.random.experimental.stateless_fold_in(seed, number)


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


# An affine map of a batch. The three colours of a pixel lie side by side in one 64-bit integer, so
# that what is read and multiplied is a pixel and not a colour, and XLA makes one loop of all of it.
# TensorFlow's own `ImageProjectiveTransformV3` finds its place in the photo anew for each colour.
# All is in whole numbers: the same photo and map give the same pixels on every processor.

# A pixel in 64 bits: 21 for each colour, which hold its 8 and the two products with a share of 8.
_PLACES = (0, 21, 42)
_EACH = sum(1 << place for place in _PLACES)
# Coordinates count in 65,536ths of a pixel, the share of the next pixel in 256ths.
_ONE, _WHOLE = 1 << 16, 1 << 8


def affine_transform(photos: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
    """Sample each photo where its map says, bilinearly, with white around the photo.

    `photos` is uint8 `[N, H, W, 3]`. `maps` is float32 `[N, 2, 3]`: of the place that is seen at
    a pixel, row 0 gives x and row 1 gives y, as factors of the pixel's x, its y and 1. Returns
    uint8 `[N, H, W, 3]`.

    >>> mirrored = affine_transform(photos, [[[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]]])
    """
    # Three calls: in one, XLA would do the first anew for each pixel that the second reads.
    photos, maps = tf.convert_to_tensor(photos), tf.convert_to_tensor(maps, tf.float32)
    return _unpacked(_sampled(_packed(photos), maps))


def _compiled(function):
    return tf.function(function, jit_compile=True, autograph=False)


@_compiled
def _packed(photos):
    """Put a pixel's colours into one number; returns int64 `[N, H + 3, W + 3]`, with white as 0."""
    ink = tf.cast(255 - photos, tf.int64)
    pixels = sum(ink[..., colour] * (1 << place) for colour, place in enumerate(_PLACES))
    # White before the photo, and behind it, where a place has a next pixel even if it is far out.
    return tf.pad(pixels, [[0, 0], [1, 2], [1, 2]])


@_compiled
def _sampled(pixels, maps):
    """Mix the four pixels around each place; returns int64 `[N, H, W]`, colours in 8192ths."""
    height, width = (size - 3 for size in pixels.shape[1:])
    maps = tf.cast(tf.round(maps * _ONE), tf.int32)[..., None, None]
    y, x = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")

    def place(axis, size):
        """Return the pixel before a place, counted from the white one, and the next one's share."""
        at = maps[:, axis, 0] * x + maps[:, axis, 1] * y + maps[:, axis, 2]
        at = tf.clip_by_value(at + _ONE + _WHOLE // 2, 0, (size + 1) * _ONE)
        return _shifted(at, 16), tf.cast(_shifted(at, 8) & 255, tf.int64)

    (column, right), (row, below) = place(0, width), place(1, height)
    photo = tf.range(tf.shape(pixels)[0])[:, None, None]
    first = (photo * (height + 3) + row) * (width + 3) + column
    pixels = tf.reshape(pixels, [-1])

    def mixed(first):
        # Written so that each pixel stands there once: XLA reads it as often as it does.
        pair = tf.gather(pixels, first) * (_WHOLE - right) + tf.gather(pixels, first + 1) * right
        return _shifted(pair, 3) & (0x1FFF * _EACH)

    return mixed(first) * (_WHOLE - below) + mixed(first + width + 3) * below


@_compiled
def _unpacked(pixels):
    """Take the colours out again, rounded; returns uint8 `[N, H, W, 3]`."""
    pixels = (pixels + 4096 * _EACH)[..., None]
    ink = _shifted(pixels, [place + 13 for place in _PLACES]) & 255
    return 255 - tf.cast(ink, tf.uint8)


def _shifted(numbers, bits):
    return tf.bitwise.right_shift(numbers, tf.constant(bits, numbers.dtype))


POLICIES = ("none", "light", "rand-augment")
# Of `light`: the share of the photos that it only mirrors, and the most that it turns others (of a
# full turn), scales them and shifts them (of their size).
SHARP, TURN, SCALE, SHIFT = 1 / 3, 0.02, 0.12, 0.06


def photo_policy(name: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None:
    """Return what varies one photo, `(pixels [H, W, 3], seed [2]) -> float32 pixels`, or None.

    `rand-augment` mirrors every other photo and applies two operations of its own to each.
    """
    if name != "rand-augment":
        return None
    flip = keras.layers.RandomFlip("horizontal", dtype="float32")
    layers = operations()

    def vary(pixels, seed):
        shape = pixels.shape
        pixels = tf.cast(pixels, tf.float32)[None]
        pixels = flip.transform_images(pixels, draw(flip, pixels, fold(seed, 0)))
        return tf.ensure_shape(rand_augment(layers, pixels[0], fold(seed, 1)), shape)

    return vary


def batch_policy(name: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None:
    """Return what varies a batch, `(uint8 pixels [N, H, W, 3], seed [2]) -> uint8 pixels`, or None.

    `light` mirrors, and shifts, turns and scales a little, each photo by its own amounts;
    what comes in at the edges is white, as the catalogue's background is. Colours stay, since
    they are a label too. A share of the photos is mirrored at most: moving a photo by parts of
    a pixel blurs it, and a network that saw blurred ones only has batch-normalisation
    statistics that do not hold for the sharp ones it is to classify.
    """
    if name != "light":
        return None

    def vary(pixels, seed):
        drawn = tf.random.stateless_uniform([tf.shape(pixels)[0], 6], seed)
        varied = affine_transform(pixels, light_maps(drawn, *pixels.shape[1:3]))
        return tf.ensure_shape(varied, pixels.shape)

    return vary


# Compiled, since thirty operations on a few numbers each cost as much as a photo's pixels.
@tf.function(jit_compile=True, autograph=False)
def light_maps(drawn: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Return the maps of `light` for `affine_transform`, float32 `[N, 2, 3]`.

    `drawn` is uniform in [0, 1), `[N, 6]`: whether a photo is mirrored, whether it is only that,
    and its turn, scale and shift right and down, each from its least to its most.
    """
    mirrored, moved = drawn[:, 0] < 0.5, tf.cast(drawn[:, 1] >= SHARP, tf.float32)
    most = [TURN * 2 * math.pi, SCALE, SHIFT * width, SHIFT * height]
    angle, growth, right, down = tf.unstack((2 * drawn[:, 2:] - 1) * most * moved[:, None], axis=1)
    cos, sin = (1 + growth) * tf.cos(angle), (1 + growth) * tf.sin(angle)
    side = tf.where(mirrored, -1.0, 1.0)
    # What is seen at a pixel: the shift taken back, scaled and turned about the middle, mirrored.
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    x, y = middle_x + right, middle_y + down
    rows = [
        [side * cos, -side * sin, middle_x - side * (cos * x - sin * y)],
        [sin, cos, middle_y - (sin * x + cos * y)],
    ]
    return tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)


def erasing_policy(
    probability: float,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None:
    """Return what erases a rectangle of some photos, or None for a probability of 0.

    Random erasing (Zhong et al., 2020): 2% to 33% of the area, filled with noise. Takes pixels
    `[N, H, W, 3]` in [0, 255] and a seed `[2]`, returns float32 pixels.
    """
    if not probability:
        return None
    layer = keras.layers.RandomErasing(
        (probability, probability), scale=(0.02, 0.33), value_range=(0, 255), dtype="float32"
    )

    def erase(pixels, seed):
        pixels = tf.cast(pixels, tf.float32)
        return layer.transform_images(pixels, draw(layer, pixels, seed))

    return erase


def mixing_policy(
    mixup: float, cutmix: float
) -> Callable[[tf.Tensor, dict, tf.Tensor], tuple[tf.Tensor, dict]] | None:
    """Return what mixes photos and one-hot labels of a batch, or None if both alphas are 0.

    MixUp (Zhang et al., 2018) and CutMix (Yun et al., 2019); with both on, each batch gets one
    of them at even odds. Takes and returns float32 pixels `[N, H, W, 3]` and a dict of one-hot
    labels `[N, C]`. Raises `UserError` for a `cutmix` above 1, which Keras's layer does not take.
    """
    layers = []
    if mixup:
        layers.append(keras.layers.MixUp(alpha=mixup, dtype="float32"))
    if cutmix:
        if cutmix > 1:
            raise UserError(f"cutmix {cutmix}: expected an alpha of at most 1")
        # A single factor would be the most of an alpha that the layer draws for each batch.
        layers.append(keras.layers.CutMix(factor=(cutmix, cutmix), dtype="float32"))
    if not layers:
        return None

    def mix_with(layer, pixels, labels, seed):
        transformation = draw(layer, pixels, seed)
        mixed = {k: layer.transform_labels(v, transformation) for k, v in labels.items()}
        return layer.transform_images(pixels, transformation), mixed

    def mix(pixels, labels, seed):
        if len(layers) == 1:
            return mix_with(layers[0], pixels, labels, seed)
        first = tf.random.stateless_uniform([], fold(seed, 0))
        return tf.cond(
            first < 0.5,
            lambda: mix_with(layers[0], pixels, labels, seed),
            lambda: mix_with(layers[1], pixels, labels, seed),
        )

    return mix
