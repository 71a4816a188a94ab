import numpy as np
import pytest
import tensorflow as tf

from fashion_keras.data.pipeline import draw_rates, drawn_counts, resample

COUNTS = [400, 100, 4, 0]
TOTAL = 510  # six have no label


def drawn(sampling, seed=0):
    rng = np.random.default_rng(1)
    classes = rng.permutation(np.repeat([0, 1, 2, -1], [400, 100, 4, 6]))
    products = tf.data.Dataset.from_tensor_slices(
        {"id": np.arange(TOTAL), "index": classes[:, None].astype("int64")}
    )
    rates = draw_rates(sampling, COUNTS, TOTAL)
    seed = tf.constant([seed, 3], tf.int32)
    taken = list(resample(products, rates, seed).as_numpy_iterator())
    return np.array([p["id"] for p in taken]), np.array([p["index"][0] for p in taken])


def test_drawn_counts_are_proportional_to_a_power_of_the_counts():
    np.testing.assert_allclose(drawn_counts("natural", COUNTS), COUNTS)
    np.testing.assert_allclose(drawn_counts("balanced", COUNTS), [168, 168, 168, 0])
    roots = np.array([20, 10, 2, 0])
    np.testing.assert_allclose(drawn_counts("square-root", COUNTS), roots * 504 / 32)


def test_natural_sampling_needs_no_rates():
    assert draw_rates("natural", COUNTS, TOTAL) is None


@pytest.mark.parametrize("sampling", ["square-root", "balanced"])
def test_an_epoch_keeps_its_length_and_each_class_gets_its_share(sampling):
    _, classes = drawn(sampling)
    assert TOTAL <= len(classes) <= TOTAL + 1
    for index, expected in enumerate(drawn_counts(sampling, COUNTS)):
        # Systematic sampling rounds at the borders between runs of one class.
        assert abs((classes == index).sum() - expected) <= 0.25 * expected + 1e-9
    assert 3 <= (classes == -1).sum() <= 9


def test_another_seed_leaves_out_others_and_the_same_none():
    ids, _ = drawn("balanced", seed=0)
    np.testing.assert_array_equal(ids, drawn("balanced", seed=0)[0])
    assert set(ids) != set(drawn("balanced", seed=1)[0])
