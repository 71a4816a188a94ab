"""The faster kernels: switched off, deleted, or with a Keras that nobody has tried them with."""

import keras
import numpy as np
import pytest

from fashion_keras.models import accelerate as room
from fashion_keras.training.optimizer import accelerated


def small_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = [
        keras.Input([8, 8, 3]),
        keras.layers.Conv2D(4, 3, use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.Activation("swish"),
        keras.layers.Flatten(),
        keras.layers.Dense(2),
    ]
    return keras.Sequential(layers)


def trained() -> list[np.ndarray]:
    """Return a small model's weights after two steps."""
    model = small_model()
    accelerated(model)
    optimizer = keras.optimizers.AdamW(0.01)
    accelerated(optimizer)
    model.compile(optimizer, "mse")
    generator = np.random.default_rng(1)
    model.fit(generator.normal(size=(8, 8, 8, 3)), generator.normal(size=(8, 2)), 4, verbose=0)
    return model.get_weights()


def changed(model: keras.Model) -> bool:
    return any("call" in vars(layer) for layer in model.layers)


def test_switched_off_it_trains_the_same(monkeypatch):
    fast = trained()
    monkeypatch.setenv("FASHION_KERAS_ACCELERATE", "0")
    model = small_model()
    accelerated(model)
    assert not changed(model)
    for quick, plain in zip(fast, trained(), strict=True):
        np.testing.assert_allclose(quick, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("version", "expected"), [("3.15.1", True), ("3.14.0", False), ("4.0", False)]
)
def test_a_keras_that_was_not_tried_is_left_alone(monkeypatch, caplog, version, expected):
    monkeypatch.setattr(room.keras, "__version__", version)
    model = small_model()
    accelerated(model)
    assert changed(model) is expected
    assert bool(caplog.records) is not expected
