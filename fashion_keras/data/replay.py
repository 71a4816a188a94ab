"""A Keras augmentation layer and a seed in, the same random transformation every time out.

Keras's layers draw from a generator that advances with every call, so that a parallel `map`
and a resumed run would draw other numbers. Here the seed is a function of run, epoch and
position, and the layer draws from that.
"""

from __future__ import annotations

import keras
import tensorflow as tf


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
