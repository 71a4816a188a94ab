"""A decision built into a Keras model, against the same steps by SciPy on the model's logits."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from fashion_keras.decision.layer import apply_decision
from fashion_keras.decision.parameters import Decision, Mix
from fashion_keras.errors import UserError

LABELS = {"subCategory": ("Bags", "Shoes"), "articleType": ("Boots", "Clutches", "Sandals")}
IMPLIES = {"Boots": {"Shoes": 1.0}, "Clutches": {"Bags": 0.9, "Shoes": 0.1}}
PHOTOS = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 3)).astype("uint8")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 4, 3), name="image")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    heads = {name: keras.layers.Dense(len(c), name=name)(flat) for name, c in LABELS.items()}
    return keras.Model(inputs, heads, name="flat")


def logits(model, photos=PHOTOS):
    return {name: np.array(value) for name, value in model(photos, training=False).items()}


def decided(model, **parts):
    return logits(apply_decision(model, LABELS, Decision("subCategory", **parts)))


def test_empty_decision_changes_nothing(model):
    for name, expected in logits(model).items():
        np.testing.assert_allclose(decided(model)[name], expected, rtol=1e-6)


def test_flip_is_the_mean_over_the_photo_and_its_mirror_image(model):
    mirrored = logits(model, PHOTOS[:, :, ::-1])
    for name, plain in logits(model).items():
        expected = (plain + mirrored[name]) / 2
        np.testing.assert_allclose(decided(model, flip=True)[name], expected, rtol=1e-5, atol=1e-6)


def test_combination_bias_and_temperature_follow_the_formula(model):
    plain = logits(model)
    matrix = np.array([[0, 1], [0.9, 0.1], [0, 0]])
    mixed = 0.7 * softmax(plain["subCategory"], axis=1)
    mixed += 0.3 * softmax(plain["articleType"], axis=1) @ matrix
    expected = (np.log(mixed) + np.array([0.5, 0.0])) / 2.0
    found = decided(
        model,
        combine={"subCategory": Mix("articleType", 0.3, IMPLIES)},
        bias={"Bags": 0.5},
        temperature={"subCategory": 2.0},
    )
    np.testing.assert_allclose(
        log_softmax(found["subCategory"], axis=1), log_softmax(expected, axis=1), atol=1e-5
    )
    np.testing.assert_allclose(found["articleType"], plain["articleType"], rtol=1e-6)


def test_heads_are_mixed_as_they_are_and_not_one_after_the_other(model):
    plain = logits(model)
    back = {"Bags": {"Clutches": 1.0}, "Shoes": {"Boots": 0.5, "Sandals": 0.5}}
    found = decided(
        model,
        combine={
            "subCategory": Mix("articleType", 0.3, IMPLIES),
            "articleType": Mix("subCategory", 1.0, back),
        },
    )
    matrix = np.array([[0, 1, 0], [0.5, 0, 0.5]])
    expected = softmax(plain["subCategory"], axis=1) @ matrix
    np.testing.assert_allclose(softmax(found["articleType"], axis=1), expected, atol=1e-5)


def test_model_saves_and_loads_with_keras_alone(model, tmp_path):
    decision = Decision(
        "subCategory", flip=True, combine={"subCategory": Mix("articleType", 0.3, IMPLIES)}
    )
    whole = apply_decision(model, LABELS, decision)
    whole.save(tmp_path / "decided.keras")
    loaded = keras.models.load_model(tmp_path / "decided.keras")
    for name, expected in logits(whole).items():
        np.testing.assert_allclose(logits(loaded)[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "parts",
    [
        {"temperature": {"gender": 1.0}},
        {"bias": {"Hats": 1.0}},
        {"combine": {"subCategory": Mix("articleType", 0.5, {"Hats": {"Bags": 1.0}})}},
        {"combine": {"subCategory": Mix("articleType", 0.5, {"Boots": {"Hats": 1.0}})}},
        {"combine": {"subCategory": Mix("gender", 0.5, {})}},
    ],
)
def test_heads_and_classes_that_are_not_the_models_are_refused(model, parts):
    with pytest.raises(UserError, match="the decision names a"):
        decided(model, **parts)
