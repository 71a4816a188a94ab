import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix

from fashion_keras.training.confusion import ConfusionMatrix

RNG = np.random.default_rng(1)


def test_accumulates_what_scikit_learn_counts_over_all_batches():
    truth = RNG.integers(0, 5, 200)
    logits = RNG.normal(size=(200, 5)).astype("float32")
    metric = ConfusionMatrix(5)
    for start in range(0, 200, 64):
        batch = slice(start, start + 64)
        metric.update_state(np.eye(5, dtype="float32")[truth[batch]], logits[batch])
    said = logits.argmax(axis=1)
    np.testing.assert_array_equal(np.asarray(metric.matrix), confusion_matrix(truth, said))
    assert float(metric.result()) == np.float32(accuracy_score(truth, said))


def test_leaves_out_products_without_the_label():
    metric = ConfusionMatrix(3)
    metric.update_state(np.array([[0, 0, 0], [0, 1, 0]], "float32"), np.eye(3)[[0, 1]])
    assert np.asarray(metric.matrix).sum() == 1
    assert float(metric.result()) == 1


def test_resets_between_epochs():
    metric = ConfusionMatrix(2)
    metric.update_state(np.eye(2), np.eye(2))
    metric.reset_state()
    assert float(metric.result()) == 0
