"""Grad-CAM on models whose map can be written down."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fashion_keras.errors import UserError
from fashion_keras.evaluation.gradcam import grad_cam
from fashion_keras.models.classifier import build_classifier

# Three channels of features, two classes: the head's weights are the channels' importance.
HEAD = np.array([[2.0, -1.0], [-1.0, 3.0], [0.0, 0.5]], np.float32)


@pytest.fixture(scope="module")
def model():
    """The features of a photo of 4×4 are its pixels halved in number; the head is `HEAD`."""
    inputs = keras.Input((4, 4, 3), name="image")
    features = keras.layers.AveragePooling2D(2, name="backbone")(inputs)
    pooled = keras.layers.GlobalAveragePooling2D(name="features")(features)
    head = keras.layers.Dense(2, name="kind")
    other = keras.layers.Dense(2, name="other")
    model = keras.Model(inputs, {"kind": head(pooled), "other": other(pooled)}, name="tiny")
    head.set_weights([HEAD, np.array([7.0, -7.0], np.float32)])
    return model


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)


def by_hand(photo, asked):
    features = photo.reshape(2, 2, 2, 2, 3).mean(axis=(1, 3))
    found = np.maximum(features @ HEAD[:, asked] / 4, 0)  # the pooling divides by its 4 cells
    return found / found.max() if found.max() > 0 else found


@pytest.mark.parametrize("batch_size", [2, 16])
def test_map_is_the_features_weighted_by_their_gradient(model, photos, batch_size):
    asked = [0, 1, 1, 0, 1]
    found = grad_cam(model, "kind", photos, asked, batch_size=batch_size)
    expected = [by_hand(photo, one) for photo, one in zip(photos, asked, strict=True)]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_of_a_whole_network_it_is_what_automatic_differentiation_gives():
    """Equations 1 and 2 of the paper as they stand, dropout and enlarging in between."""
    keras.utils.set_random_seed(0)
    model = build_classifier("resnet18", (32, 48), {"kind": 8}, dropout=0.5, upsampling=2)
    photos = np.random.default_rng(1).integers(0, 256, (2, 32, 48, 3)).astype(np.uint8)
    pooled = model.get_layer("features").input
    features = keras.Model(model.inputs[0], pooled)(photos, training=False)
    head = keras.Model(pooled, model.output["kind"])
    with tf.GradientTape() as tape:
        tape.watch(features)
        logits = head(features, training=False)
        classes = tf.argmax(logits, axis=1)
        asked = tf.reduce_sum(tf.gather(logits, classes, axis=1, batch_dims=1))
    alpha = tf.reduce_mean(tape.gradient(asked, features), axis=(1, 2), keepdims=True)
    expected = tf.nn.relu(tf.reduce_sum(alpha * features, axis=-1)).numpy()
    expected /= expected.max(axis=(1, 2), keepdims=True)
    assert expected.shape == (2, 2, 3)
    found = grad_cam(model, "kind", photos, classes.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_head_that_is_not_linear_in_the_features_is_refused(model):
    hidden = keras.layers.Dense(4, "relu")(model.get_layer("features").output)
    deeper = keras.Model(model.inputs[0], {"kind": keras.layers.Dense(2, name="kind")(hidden)})
    with pytest.raises(UserError, match=r"'kind' of the model .* is not linear"):
        grad_cam(deeper, "kind", np.zeros((1, 4, 4, 3)), [0])


def test_where_nothing_speaks_for_the_class_the_map_is_empty(model):
    blue_free = np.zeros((1, 4, 4, 3), np.uint8)
    blue_free[..., 1] = 200  # only the second channel, which speaks against class 0
    assert grad_cam(model, "kind", blue_free, [0]).max() == 0
    assert grad_cam(model, "kind", blue_free, [1]).max() == 1


def test_no_photos_have_no_maps(model):
    assert grad_cam(model, "kind", np.zeros((0, 4, 4, 3), np.uint8), []).shape == (0, 2, 2)


def test_asking_leaves_the_model_as_it_is(model, photos):
    before = model.predict_on_batch(photos)["kind"]
    grad_cam(model, "kind", photos, [0] * 5)
    np.testing.assert_array_equal(model.predict_on_batch(photos)["kind"], before)


def test_a_model_without_the_layer_is_one_clear_message():
    inputs = keras.Input((4, 4, 3))
    head = keras.layers.Dense(2, name="kind")(keras.layers.Flatten()(inputs))
    with pytest.raises(UserError, match="no layer 'features'"):
        grad_cam(keras.Model(inputs, {"kind": head}), "kind", np.zeros((1, 4, 4, 3)), [0])
