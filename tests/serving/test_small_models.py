"""LiteRT and ONNX models: what they take, give and hold, against the Keras model."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from serving.tiny import IMAGE_SIZE, LABELS, skip_unless_installed
from tiny_arch import build_backbone

from fashion_keras.decision.parameters import Acceptance, Decision
from fashion_keras.errors import UserError
from fashion_keras.run import Run
from fashion_keras.serving.layout import ModelInfo
from fashion_keras.serving.small_formats import classifier
from fashion_keras.serving.small_models import convert, write_small_model

DECISION = Decision(
    label="subCategory",
    flip=True,
    bias={"Shoes": 9.0},
    temperature={"gender": 2.0},
    accept={"subCategory": Acceptance(0.8, 0.02, 0.9, 0.01)},
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a decision, over the tiny architecture with a Normalization layer before it."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((*IMAGE_SIZE, 3), name="image")
    # As EfficientNetB0 has: its constants were once left behind by the conversion to ONNX.
    x = keras.layers.Normalization(mean=[120.0] * 3, variance=[3600.0] * 3)(inputs)
    x = build_backbone(IMAGE_SIZE, imagenet=False)(x * 40.0 + 100.0)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    heads = {
        label: keras.layers.Dense(len(classes), name=label)(x * 40.0)
        for label, classes in LABELS.items()
    }
    path = tmp_path_factory.mktemp("run")
    return Run(
        path, keras.Model(inputs, heads), LABELS, "subCategory", IMAGE_SIZE, "pad", None, DECISION
    )


@pytest.fixture(scope="module")
def photos():
    coarse = np.random.default_rng(5).integers(0, 256, (64, 5, 4, 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="module", params=["litert", "litert-int8", "onnx"])
def converted(request, run, photos):
    """A format and the run's model in it."""
    skip_unless_installed(request.param)
    return request.param, convert(run, request.param, photos[:48])


def test_a_small_model_gives_the_decided_logits_of_any_number_of_photos(converted, run, photos):
    format, model = converted
    classify = classifier(format, model)
    # INT8 has 256 steps from the smallest logit to the largest, and rounds at every layer.
    tolerance = {"litert": 0.01, "litert-int8": 0.2, "onnx": 1e-4}[format]
    for some in (photos[48:49], photos[48:], photos[50:53]):
        expected = run.predictor.predict_on_batch(some)
        found = classify(some)
        assert set(found) == set(LABELS)
        for label, logits in found.items():
            assert logits.dtype == np.float32
            spread = np.ptp(expected[label])
            np.testing.assert_allclose(logits, expected[label], atol=tolerance * spread, rtol=0)


def test_the_decision_is_what_the_comparison_would_see(run, photos):
    raw, decided = (m.predict_on_batch(photos[48:]) for m in (run.model, run.predictor))
    for label in LABELS:
        assert np.abs(raw[label] - decided[label]).max() > 0.2 * np.ptp(decided[label])


def test_int8_holds_its_convolutions_in_int8(run, photos):
    tensors = _tensors(convert(run, "litert-int8", photos[:8]))
    filters = [t for t in tensors if len(t["shape"]) == 4 and t["shape"][1:3].tolist() == [3, 3]]
    assert filters
    assert {t["dtype"] for t in filters} == {np.int8}


def test_float16_stores_its_convolutions_in_half_the_bytes(run):
    tensors = _tensors(convert(run, "litert"))
    filters = [t for t in tensors if len(t["shape"]) == 4 and t["shape"][1:3].tolist() == [3, 3]]
    assert np.float16 in {t["dtype"] for t in filters}


def test_the_folder_holds_the_model_its_class_names_and_what_was_checked(run, tmp_path):
    checked = {"num_photos": 3}
    path = write_small_model(run, tmp_path / "litert", {"model.tflite": b"model"}, checked, None)
    assert path == tmp_path / "litert" / "1"
    assert (path / "model.tflite").read_bytes() == b"model"
    info = ModelInfo.load(path)
    assert (info.labels, info.image_size, info.resize, info.accept) == (
        LABELS,
        IMAGE_SIZE,
        "pad",
        {"photo": {"subCategory": 0.8}},
    )
    assert json.loads((path / "check.json").read_text("utf-8")) == checked
    again = write_small_model(run, tmp_path / "litert", {"model.tflite": b"model"}, None, None)
    assert again.name == "2"
    assert not (again / "check.json").exists()
    assert [p.name for p in sorted((tmp_path / "litert").iterdir())] == ["1", "2"]


def test_a_version_that_is_there_is_not_overwritten(run, tmp_path):
    (tmp_path / "3").mkdir()
    with pytest.raises(UserError, match="never overwritten"):
        write_small_model(run, tmp_path, {"model.tflite": b"model"}, None, 3)
    assert list((tmp_path / "3").iterdir()) == []


def test_a_model_that_cannot_be_converted_is_named(run):
    class Strange(keras.layers.Layer):
        def call(self, inputs):
            import tensorflow as tf

            made = tf.py_function(lambda x: x, [inputs], tf.float32)
            return tf.ensure_shape(made, inputs.shape)

        def compute_output_shape(self, shape):
            return shape

    inputs = keras.Input((*IMAGE_SIZE, 3))
    x = keras.layers.Flatten()(Strange()(inputs))
    heads = {k: keras.layers.Dense(len(c), name=k)(x) for k, c in LABELS.items()}
    strange = dataclasses.replace(run, model=keras.Model(inputs, heads), decision=None)
    with pytest.raises(UserError, match="cannot be converted to LiteRT"):
        convert(strange, "litert")


def _tensors(model: bytes):
    import tensorflow as tf

    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        Interpreter = tf.lite.Interpreter
    return Interpreter(model_content=model).get_tensor_details()
