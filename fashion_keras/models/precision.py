"""A model trained in half precision in, the same model computing in float32 out."""

from __future__ import annotations

from collections.abc import Iterator

import keras


def layers_of(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a model and of the models within it, not those models themselves."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer


def compute_in_float32(model: keras.Model) -> keras.Model:
    """Switch every layer of mixed precision to float32, in place; return the model.

    Its weights are float32 already. What was quick where it was trained is three times slower
    on a processor that has to emulate bfloat16, and answers are to be the same everywhere.
    """
    for layer in layers_of(model):
        if layer.dtype_policy.name.startswith("mixed_"):
            layer.dtype_policy = "float32"
    return model
