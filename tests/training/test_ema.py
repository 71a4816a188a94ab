import keras
import numpy as np
import pytest

from fashion_keras.training.callbacks import ExponentialMovingAverage, averaged


def model_with(value):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.full((2, 1), value, "float32")])
    return model


def weights(model):
    return model.get_weights()[0].ravel().tolist()


def test_follows_the_written_recursion_with_its_warm_up():
    model = model_with(0.0)
    average = ExponentialMovingAverage(0.9, every=1)
    average.set_model(model)
    expected = 0.0
    for step in range(1, 30):
        average.on_train_batch_begin(step - 1)
        model.set_weights([np.full((2, 1), float(step), "float32")])
        momentum = min(0.9, (1 + step) / (10 + step))
        expected = momentum * expected + (1 - momentum) * step
    average.on_test_begin()
    assert weights(model) == pytest.approx([expected] * 2, rel=1e-5)
    average.on_test_end()
    assert weights(model) == [29.0, 29.0] and average.step == 29


def test_validates_with_the_average_and_trains_on_with_the_weights():
    model = model_with(1.0)
    average = ExponentialMovingAverage(0.5)
    average.set_model(model)
    model.set_weights([np.full((2, 1), 7.0, "float32")])
    average.on_test_begin()
    assert weights(model) == [1.0, 1.0]
    average.on_test_end()
    assert weights(model) == [7.0, 7.0]


def test_averages_batch_normalisation_statistics_too():
    model = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization(momentum=0.0)])
    average = ExponentialMovingAverage(0.5, every=1)
    average.set_model(model)
    average.on_train_batch_begin(0)
    model(np.array([[4.0, 4.0], [8.0, 8.0]]), training=True)
    average.on_train_batch_begin(1)
    with averaged(average):
        moving_mean = np.asarray(model.layers[-1].moving_mean)
    momentum = 2 / 11
    np.testing.assert_allclose(moving_mean, 6.0 * (1 - momentum), rtol=1e-5)


def test_state_goes_round():
    model = model_with(3.0)
    first, second = ExponentialMovingAverage(0.5), ExponentialMovingAverage(0.5)
    first.set_model(model)
    first.step = 5
    model.set_weights([np.zeros((2, 1), "float32")])
    second.set_state(first.get_state())
    second.set_model(model)
    assert second.step == 5
    with averaged(second):
        assert weights(model) == [3.0, 3.0]
