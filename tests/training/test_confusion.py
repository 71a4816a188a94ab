import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from fashion_keras.training.macro_f1 import MATRIX_CLASSES, ConfusionMatrix

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


@pytest.mark.parametrize("classes", [MATRIX_CLASSES, MATRIX_CLASSES + 1, 8000])
@pytest.mark.parametrize("weights", [None, RNG.uniform(0.1, 2, 300).astype("float32")])
def test_thousands_of_classes_are_scored_as_scikit_learn_does(classes, weights):
    truth = RNG.integers(0, classes, 300)
    said = np.where(RNG.random(300) < 0.6, truth, RNG.integers(0, classes, 300))
    metric = ConfusionMatrix(classes)
    for start in range(0, 300, 100):
        batch = slice(start, start + 100)
        logits = np.eye(classes, dtype="float32")[said[batch]]
        some = None if weights is None else weights[batch]
        metric.update_state(truth[batch], logits, some)
    found = metric.scores()
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, said, labels=range(classes), sample_weight=weights, zero_division=0
    )
    np.testing.assert_allclose(found.precision, precision, rtol=1e-5)
    np.testing.assert_allclose(found.recall, recall, rtol=1e-5)
    np.testing.assert_allclose(found.f1, f1, rtol=1e-5)
    np.testing.assert_allclose(found.support, support, rtol=1e-5)
    expected = accuracy_score(truth, said, sample_weight=weights)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_thousands_of_classes_take_no_square_of_memory():
    metric = ConfusionMatrix(8000)
    assert metric.matrix is None
    assert sum(np.prod(variable.shape) for variable in metric.variables) < 10 * 8000


def test_counts_beyond_what_half_precision_holds():
    import keras

    before = keras.config.floatx()
    keras.config.set_floatx("float16")
    try:
        metric = ConfusionMatrix(2)
        for _ in range(3):
            metric.update_state(np.zeros(1500, "int32"), np.eye(2, dtype="float32")[[0] * 1500])
    finally:
        keras.config.set_floatx(before)
    assert np.asarray(metric.matrix)[0, 0] == 4500
