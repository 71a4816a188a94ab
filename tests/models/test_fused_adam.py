import keras
import numpy as np
import pytest
import tensorflow as tf

from fashion_keras.config import OptimizerConfig
from fashion_keras.models.accelerate.kernels import use_fused_update
from fashion_keras.training.optimizer import build_optimizer


def train(optimizer, steps=7, accumulation=1):
    rng = np.random.default_rng(0)
    variables = [
        keras.Variable(rng.normal(size=size).astype("float32"), name=name)
        for size, name in (((3, 4), "kernel"), ((4,), "bias"))
    ]
    optimizer.build(variables)
    update = tf.function(lambda gradients: optimizer.apply(gradients, variables))
    for _ in range(steps * accumulation):
        update([tf.constant(rng.normal(size=v.shape), tf.float32) for v in variables])
    held = [variable for variable in optimizer.variables if "iteration" not in variable.name]
    return [np.array(value) for value in (*variables, *held)]


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 0.05},
        {"learning_rate": 0.05, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1},
        {"learning_rate": 0.05, "weight_decay": 0.3, "global_clipnorm": 0.5},
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 7)},
    ],
    ids=["plain", "other-numbers", "decay-and-clipping", "schedule"],
)
def test_updates_as_kerass_own_does(options):
    expected = train(keras.optimizers.AdamW(**options))
    fused = keras.optimizers.AdamW(**options)
    assert use_fused_update(fused)
    for one, other in zip(train(fused), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_accumulated_gradients_are_one_update():
    options = {"learning_rate": 0.05, "gradient_accumulation_steps": 2}
    expected = train(keras.optimizers.AdamW(**options), accumulation=2)
    fused = keras.optimizers.AdamW(**options)
    use_fused_update(fused)
    for one, other in zip(train(fused, accumulation=2), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_amsgrad_is_left_to_keras():
    assert not use_fused_update(keras.optimizers.AdamW(amsgrad=True))


def test_build_optimizer_uses_it():
    optimizer = build_optimizer(OptimizerConfig(), 0.1, 10, 1)
    assert optimizer.update_step.__func__ is not keras.optimizers.AdamW.update_step
