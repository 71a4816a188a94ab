import numpy as np
import pytest

from fashion_keras.config import OptimizerConfig
from fashion_keras.training.optimizer import build_optimizer, learning_rate_schedule


def rates(config, peak, steps, epochs):
    schedule = learning_rate_schedule(config, peak, steps, epochs)
    return np.array([float(schedule(step)) for step in range(steps * epochs + 1)])


def test_warms_up_linearly_then_follows_a_cosine_to_zero():
    found = rates(OptimizerConfig(warmup_epochs=1.0), 0.1, 10, 5)
    np.testing.assert_allclose(found[:11], np.linspace(0, 0.1, 11), atol=1e-6)
    cosine = 0.05 * (1 + np.cos(np.pi * np.arange(41) / 40))
    np.testing.assert_allclose(found[10:], cosine, atol=1e-6)


def test_constant_schedule_stays_at_the_peak():
    found = rates(OptimizerConfig(schedule="constant", warmup_epochs=0), 0.1, 10, 3)
    np.testing.assert_allclose(found, 0.1)


def test_warmup_longer_than_the_run_leaves_a_step_to_train():
    found = rates(OptimizerConfig(warmup_epochs=9.0), 0.1, 2, 1)
    assert np.isfinite(found).all() and found[1] == pytest.approx(0.1)


def test_biases_and_normalisation_are_not_decayed():
    import keras

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="d"), keras.layers.BatchNormalization()]
    )
    optimizer = build_optimizer(OptimizerConfig(weight_decay=0.5), 0.1, 10, 1)
    optimizer.build(model.trainable_variables)
    decayed = [v.name for v in model.trainable_variables if optimizer._use_weight_decay(v)]
    assert decayed == ["kernel"]
