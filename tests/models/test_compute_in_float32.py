import keras
import numpy as np

from fashion_keras.models.classifier import build_classifier, compute_in_float32, layers_of

PHOTOS = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")


def build(policy):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        return build_classifier("resnet18", (32, 32), {"kind": 3})
    finally:
        keras.mixed_precision.set_global_policy(before)


def test_a_model_trained_in_half_precision_answers_as_a_float32_one_with_its_weights(tmp_path):
    mixed, exact = build("mixed_bfloat16"), build("float32")
    exact.set_weights(mixed.get_weights())
    expected = exact.predict(PHOTOS, verbose=0)["kind"]
    assert np.abs(mixed.predict(PHOTOS, verbose=0)["kind"] - expected).max() > 1e-4

    mixed.save(tmp_path / "mixed.keras")
    loaded = compute_in_float32(keras.models.load_model(tmp_path / "mixed.keras"))
    np.testing.assert_allclose(loaded.predict(PHOTOS, verbose=0)["kind"], expected, atol=1e-6)

    loaded.save(tmp_path / "exact.keras")
    again = keras.models.load_model(tmp_path / "exact.keras")
    assert {layer.compute_dtype for layer in layers_of(again)} == {"float32"}
