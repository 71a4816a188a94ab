"""A compiled model in, the same one with every variable that its training needs out."""

from __future__ import annotations

import keras


def create_variables(model: keras.Model) -> None:
    """Create the variables of the optimizer and of the losses' means.

    Left to Keras they are made by the first step, and a `tf.function` that makes variables is
    traced a second time. Targets are as the outputs, `[N, C]`; the model is functional.
    """
    nothing = keras.tree.map_structure(
        lambda output: keras.ops.zeros((1, *output.shape[1:])), model.output
    )
    model.compute_loss(y=nothing, y_pred=nothing)
    model.optimizer.build(model.trainable_variables)
