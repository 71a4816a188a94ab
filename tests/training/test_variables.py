import keras
import numpy as np
import pytest

from fashion_keras.config import OptimizerConfig
from fashion_keras.training.losses import HeadLoss
from fashion_keras.training.optimizer import build_optimizer, create_variables


class Traced(keras.Model):
    """Counts how often its training step is traced."""

    traces = 0

    def train_step(self, *arguments):
        self.traces += 1
        return super().train_step(*arguments)


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("heads", [{"subCategory": 3}, {"subCategory": 3, "baseColour": 2}])
def test_the_step_is_traced_once_and_the_mean_loss_is_of_the_photos(heads, accumulation):
    rng = np.random.default_rng(0)
    inputs = keras.Input((4,))
    outputs = {name: keras.layers.Dense(size, name=name)(inputs) for name, size in heads.items()}
    model = Traced(inputs, outputs)
    optimizer = build_optimizer(OptimizerConfig(), 0.0, 4, 1, accumulation=accumulation)
    model.compile(optimizer, loss={name: HeadLoss(0.1) for name in heads})
    create_variables(model)
    features = rng.normal(size=(32, 4)).astype("float32")
    truth = {
        n: np.eye(size, dtype="float32")[rng.integers(size, size=32)] for n, size in heads.items()
    }
    told = model.fit(features, truth, batch_size=8, shuffle=False, verbose=0).history
    logits = model.predict(features, verbose=0)
    expected = sum(HeadLoss(0.1)(truth[name], logits[name]) for name in heads)
    assert told["loss"][0] == pytest.approx(float(expected), rel=1e-5)
    assert model.traces == 1
