"""A batch of training photos and a seed in, the same photos varied out.

The layers are Keras's own. Their random numbers come from a seed that the pipeline makes of
run, epoch and position, so that a parallel `map` and a resumed run draw the same ones.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from fashion_keras.data.rand_augment import operations, rand_augment
from fashion_keras.data.replay import draw, fold
from fashion_keras.errors import UserError

POLICIES = ("none", "light", "rand-augment")
WHITE = 255.0
SHARP = 1 / 3  # share of the photos that `light` only mirrors


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
    """Return what varies a batch, `(pixels [N, H, W, 3], seed [2]) -> float32 pixels`, or None.

    `light` mirrors, and shifts, turns and scales a little, each photo by its own amounts;
    what comes in at the edges is white, as the catalogue's background is. Colours stay, since
    they are a label too. A share of the photos is mirrored at most: moving a photo by parts of
    a pixel blurs it, and a network that saw blurred ones only has batch-normalisation
    statistics that do not hold for the sharp ones it is to classify.
    """
    if name != "light":
        return None
    flip = keras.layers.RandomFlip("horizontal", dtype="float32")
    rotation = keras.layers.RandomRotation(0.02, dtype="float32")
    zoom = keras.layers.RandomZoom((-0.12, 0.12), dtype="float32")
    translation = keras.layers.RandomTranslation(0.06, 0.06, dtype="float32")

    def vary(pixels, seed):
        """Draw the layers' amounts and apply them at once: one pass over the pixels, not four."""
        shape = pixels.shape
        pixels = tf.cast(pixels, tf.float32)
        layers = (flip, rotation, zoom, translation)
        amounts = [draw(layer, pixels, fold(seed, i)) for i, layer in enumerate(layers)]
        sharp = tf.random.stateless_uniform([tf.shape(pixels)[0], 1], fold(seed, 4)) < SHARP
        transform = _composed(*amounts, *shape[1:3], keep=sharp)
        pixels = flip.backend.image.affine_transform(
            pixels, transform, interpolation="bilinear", fill_mode="constant", fill_value=WHITE
        )
        return tf.ensure_shape(pixels, shape)

    return vary


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


def _composed(flip, rotation, zoom, translation, height: int, width: int, keep: tf.Tensor):
    """Return flip, then rotation, zoom and translation, as one transform, float32 `[N, 8]`.

    Where `keep`, bool `[N, 1]`, is true it is the flip alone.

    Each maps a pixel of its output to one of its input, so that the last to be applied stands
    on the right of the product. The formulas are those of the layers.
    """
    mirrored = tf.cast(tf.reshape(flip["flips"], [-1]), tf.float32)
    zero, one = tf.zeros_like(mirrored), tf.ones_like(mirrored)
    zoom_x, zoom_y = zoom["width_zoom"][:, 0], zoom["height_zoom"][:, 0]
    shift_x, shift_y = tf.unstack(translation["translations"], axis=1)
    turned = rotation["rotation_matrix"]
    turned = tf.reshape(tf.concat([turned, one[:, None]], axis=1), [-1, 3, 3])
    flipped = _affine(1 - 2 * mirrored, mirrored * (width - 1), one, zero)
    zoomed = _affine(
        zoom_x, (1 - zoom_x) * (width - 1) / 2, zoom_y, (1 - zoom_y) * (height - 1) / 2
    )
    shifted = _affine(one, -shift_x, one, -shift_y)
    moved = flipped @ turned @ zoomed @ shifted
    return tf.reshape(tf.where(keep[..., None], flipped, moved), [-1, 9])[:, :8]


def _affine(scale_x, shift_x, scale_y, shift_y):
    """Return the matrices, `[N, 3, 3]`, of `x * scale + shift`; each argument is `[N]`."""
    zero, one = tf.zeros_like(scale_x), tf.ones_like(scale_x)
    rows = [[scale_x, zero, shift_x], [zero, scale_y, shift_y], [zero, zero, one]]
    return tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)
