"""A batch of training photos and a seed in, the same photos varied out.

The layers are Keras's own. Their random numbers come from a seed that the pipeline makes of
run, epoch and position, so that a parallel `map` and a resumed run draw the same ones.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

POLICIES = ("none", "light", "rand-augment")


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
        return tf.random.experimental.stateless_fold_in(self._base, self._drawn)


def photo_policy(name: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None:
    """Return what varies one photo, `(pixels [H, W, 3], seed [2]) -> pixels`, or None.

    RandAugment (Cubuk et al., 2020) is here and not in `batch_policy` because the layer draws
    its operations once a call: a batch would share them.
    """
    if name != "rand-augment":
        return None
    flip = keras.layers.RandomFlip("horizontal", dtype="float32")
    rand_augment = keras.layers.RandAugment(
        value_range=(0, 255), num_ops=2, factor=0.4, dtype="float32"
    )
    return lambda pixels, seed: _apply([flip, rand_augment], pixels[None], seed)[0]


def batch_policy(name: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None:
    """Return what varies a batch, `(pixels [N, H, W, 3], seed [2]) -> float32 pixels`, or None.

    `light` mirrors, and shifts, turns and scales a little, each photo by its own amounts;
    what comes in at the edges is white, as the catalogue's background is. Colours stay, since
    they are a label too.
    """
    if name != "light":
        return None
    affine = {"fill_mode": "constant", "fill_value": 255.0, "dtype": "float32"}
    layers = [
        keras.layers.RandomFlip("horizontal", dtype="float32"),
        keras.layers.RandomRotation(0.02, **affine),
        keras.layers.RandomZoom((-0.12, 0.12), **affine),
        keras.layers.RandomTranslation(0.06, 0.06, **affine),
    ]
    return lambda pixels, seed: _apply(layers, pixels, seed)


def mixing_policy(
    mixup: float, cutmix: float
) -> Callable[[tf.Tensor, dict, tf.Tensor], tuple[tf.Tensor, dict]] | None:
    """Return what mixes photos and one-hot labels of a batch, or None if both alphas are 0.

    MixUp (Zhang et al., 2018) and CutMix (Yun et al., 2019); with both on, each batch gets one
    of them at even odds. Takes and returns float32 pixels `[N, H, W, 3]` and a dict of one-hot
    labels `[N, C]`.
    """
    layers = []
    if mixup:
        layers.append(keras.layers.MixUp(alpha=mixup, dtype="float32"))
    if cutmix:
        layers.append(keras.layers.CutMix(factor=cutmix, dtype="float32"))
    if not layers:
        return None

    def mix_with(layer, pixels, labels, seed):
        transformation = _transformation(layer, pixels, seed)
        mixed = {k: layer.transform_labels(v, transformation) for k, v in labels.items()}
        return layer.transform_images(pixels, transformation), mixed

    def mix(pixels, labels, seed):
        if len(layers) == 1:
            return mix_with(layers[0], pixels, labels, seed)
        first = tf.random.stateless_uniform([], tf.random.experimental.stateless_fold_in(seed, 0))
        return tf.cond(
            first < 0.5,
            lambda: mix_with(layers[0], pixels, labels, seed),
            lambda: mix_with(layers[1], pixels, labels, seed),
        )

    return mix


def _apply(layers, pixels, seed):
    shape = pixels.shape
    pixels = tf.cast(pixels, tf.float32)
    for position, layer in enumerate(layers):
        layer_seed = tf.random.experimental.stateless_fold_in(seed, position)
        pixels = layer.transform_images(pixels, _transformation(layer, pixels, layer_seed))
    return tf.ensure_shape(pixels, shape)


def _transformation(layer, pixels, seed):
    replayable = ReplayableSeed(seed)
    # RandAugment and MixUp pass their own generator on instead of `seed`: pin that too.
    layer._get_seed_generator = lambda backend=None: replayable
    return layer.get_random_transformation(pixels, training=True, seed=replayable)
