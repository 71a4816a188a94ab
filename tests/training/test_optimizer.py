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


def test_one_cycle_rises_for_three_tenths_and_falls_to_almost_nothing():
    found = rates(OptimizerConfig(schedule="one-cycle"), 0.1, 10, 10)
    assert found.argmax() == 30 and found[30] == pytest.approx(0.1)
    assert found[0] == pytest.approx(0.004) and found[100] == pytest.approx(4e-7, abs=1e-8)
    halfway_up, halfway_down = (0.004 + 0.1) / 2, (0.1 + 4e-7) / 2
    assert found[15] == pytest.approx(halfway_up) and found[65] == pytest.approx(halfway_down)


def test_accumulated_steps_are_one_update_with_the_mean_gradient():
    import keras

    weight = keras.Variable([1.0])
    optimizer = build_optimizer(
        OptimizerConfig(schedule="constant", warmup_epochs=0, weight_decay=0, clip_norm=0),
        0.1,
        10,
        1,
        accumulation=2,
    )
    for gradient, expected in ((3.0, 1.0), (1.0, 0.9)):  # Adam's first step is the peak's length
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [weight])
        assert float(weight[0]) == pytest.approx(expected, abs=1e-5)
