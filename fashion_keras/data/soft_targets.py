"""What a teacher says of the training photos in; labels for a student out.

Distillation (Hinton et al., "Distilling the knowledge in a neural network", 2015, section 2): a
student learns from the label and from the probabilities of a model that was trained before it,
which say what a photo resembles, too.
"""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from fashion_keras.errors import UserError
from fashion_keras.io import replacing

_ID = "id"


@dataclasses.dataclass(frozen=True)
class SoftTargets:
    """A teacher's probabilities of the training photos.

    `ids` are the product ids; `probabilities` maps a label to float16 `[N, C]`, of the labels that
    the teacher has a head for; `weight` is their share in what the student learns from, in (0, 1).
    """

    ids: tuple[str, ...]
    probabilities: Mapping[str, np.ndarray]
    weight: float

    def save(self, path: str | os.PathLike) -> None:
        """Write ids and probabilities into an `.npz`, whole or not at all."""
        with replacing(path) as partial:
            np.savez(partial, **{_ID: np.asarray(self.ids)}, **self.probabilities)

    @classmethod
    def load(cls, path: str | os.PathLike, weight: float) -> SoftTargets:
        """Read what `save` wrote; raise `UserError` where it is damaged."""
        try:
            with np.load(path) as stored:
                found = {name: stored[name] for name in stored.files}
            return cls(tuple(found.pop(_ID).tolist()), found, weight)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path} is damaged ({error}): remove it, and the teacher is asked anew"
            ) from None

    def mixer(self) -> Callable[[tf.Tensor, dict], dict]:
        """Return what mixes a batch: `(ids [N], one-hot [N, C] a label) -> the same, soft`.

        (1 − weight) · label + weight · teacher. A product without the label keeps its row of
        zeros. Raises `tf.errors.InvalidArgumentError` for a photo that the teacher has not seen.
        """
        rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(self.ids), tf.range(len(self.ids), dtype=tf.int64)
            ),
            default_value=-1,
        )
        tables = {name: tf.constant(values) for name, values in self.probabilities.items()}

        def mix(ids, one_hot):
            row = rows.lookup(ids)
            tf.debugging.assert_non_negative(row, "a photo that the teacher was not asked about")

            def soft(name, hard):
                if name not in tables:
                    return hard
                known = tf.reduce_sum(hard, axis=1, keepdims=True)
                taught = tf.cast(tf.gather(tables[name], row), hard.dtype)
                return (1 - self.weight) * hard + self.weight * known * taught

            return {name: soft(name, hard) for name, hard in one_hot.items()}

        return mix
