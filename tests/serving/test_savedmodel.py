"""The exported SavedModel answers as the Keras model does, with and without our package."""

import dataclasses
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from serving.tiny import IMAGE_SIZE, LABELS, PHOTOS, tiny_run

from fashion_keras.data.image import decode_and_resize
from fashion_keras.decision.parameters import Acceptance, Decision
from fashion_keras.errors import UserError
from fashion_keras.serving.layout import ModelInfo
from fashion_keras.serving.savedmodel import export_saved_model


@pytest.fixture(scope="module")
def run():
    return tiny_run()


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    return export_saved_model(run, tmp_path_factory.mktemp("models") / "shop", top=3)


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported))


@pytest.fixture(scope="module")
def serve(loaded):
    return loaded.signatures["serving_default"]


def expected(run, photos, label="subCategory"):
    pixels = [decode_and_resize(encoded, run.image_size, run.resize) for encoded in photos]
    logits = run.model.predict(np.stack(pixels), verbose=0)[label].astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def test_default_signature_takes_any_number_of_strings(serve):
    (spec,) = serve.structured_input_signature[1].values()
    assert spec.name == "image_bytes"
    assert spec.dtype == tf.string
    assert spec.shape.as_list() == [None]


def test_default_signature_names_types_and_shapes_its_outputs(serve):
    outputs = {
        name: (spec.dtype.name, spec.shape.as_list())
        for name, spec in serve.structured_outputs.items()
    }
    assert outputs == {
        "valid": ("int32", [None]),
        "probabilities": ("float32", [None, 7]),
        "classes": ("string", [None, 3]),
        "scores": ("float32", [None, 3]),
        "gender_probabilities": ("float32", [None, 2]),
        "gender_classes": ("string", [None, 2]),
        "gender_scores": ("float32", [None, 2]),
    }


@pytest.mark.parametrize("kind", PHOTOS)
def test_one_photo_has_the_keras_models_probabilities(run, serve, kind):
    served = serve(tf.constant([PHOTOS[kind]]))["probabilities"]
    np.testing.assert_allclose(served, expected(run, [PHOTOS[kind]]), atol=1e-5, rtol=0)


def test_a_batch_of_mixed_photos_has_the_keras_models_probabilities(run, serve):
    photos = list(PHOTOS.values())
    assert len(photos) == 7
    served = serve(tf.constant(photos))
    np.testing.assert_allclose(served["probabilities"], expected(run, photos), atol=1e-5, rtol=0)
    gender = expected(run, photos, "gender")
    np.testing.assert_allclose(served["gender_probabilities"], gender, atol=1e-5, rtol=0)


def test_different_photos_get_different_probabilities(serve):
    # The comparisons above would hold for a model that ignores its photo, too.
    probabilities = serve(tf.constant(list(PHOTOS.values())))["probabilities"].numpy()
    assert np.ptp(probabilities, axis=0).max() > 0.1


def test_resize_mode_is_the_runs(tmp_path):
    padded = tiny_run(resize="pad")
    path = export_saved_model(padded, tmp_path)
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    served = serve(tf.constant([PHOTOS["wide"]]))["probabilities"].numpy()
    np.testing.assert_allclose(served, expected(padded, [PHOTOS["wide"]]), atol=1e-5, rtol=0)
    assert np.abs(served - expected(tiny_run(), [PHOTOS["wide"]])).max() > 1e-3


def test_classes_are_text_and_scores_their_probabilities_best_first(serve):
    served = serve(tf.constant(list(PHOTOS.values())))
    for prefix, label, k in (("", "subCategory", 3), ("gender_", "gender", 2)):
        probabilities = served[f"{prefix}probabilities"].numpy()
        order = np.argsort(-probabilities, axis=1)[:, :k]
        names = [
            [name.decode("utf-8") for name in row] for row in served[f"{prefix}classes"].numpy()
        ]
        assert names == [[LABELS[label][i] for i in row] for row in order]
        scores = np.take_along_axis(probabilities, order, axis=1)
        np.testing.assert_array_equal(served[f"{prefix}scores"], scores)


def test_no_photos_give_no_answers(serve):
    served = serve(tf.constant([], tf.string))
    assert served["probabilities"].shape == (0, 7)
    assert served["classes"].shape == (0, 3)


def test_pixels_signature_gives_the_same_answer(run, loaded, serve):
    pixels = np.stack([decode_and_resize(encoded, IMAGE_SIZE) for encoded in PHOTOS.values()])
    from_pixels = loaded.signatures["serve_pixels"](tf.constant(pixels))
    from_bytes = serve(tf.constant(list(PHOTOS.values())))
    assert from_pixels.keys() == from_bytes.keys()
    np.testing.assert_allclose(
        from_pixels["probabilities"], from_bytes["probabilities"], atol=1e-6, rtol=0
    )


def test_vocabulary_and_photo_size_are_assets(exported, loaded):
    assert json.loads((exported / "assets" / "labels.json").read_text("utf-8")) == {
        name: list(classes) for name, classes in LABELS.items()
    }
    info = json.loads((exported / "assets" / "fashion_keras.json").read_text("utf-8"))
    assert info["label"] == "subCategory"
    assert info["image_size"] == list(IMAGE_SIZE)
    assert info["resize"] == "stretch"
    # Registered with TensorFlow, so that a copy made by loading and saving has it too.
    assert loaded.labels.asset_path.numpy().decode().endswith("assets/labels.json")


def test_versions_count_up_and_are_never_overwritten(run, exported):
    before = (exported / "saved_model.pb").read_bytes()
    output = exported.parent
    assert exported.name == "1"
    assert export_saved_model(run, output, version=11) == output / "11"
    assert export_saved_model(run, output) == output / "12"
    with pytest.raises(UserError, match="version 1 already"):
        export_saved_model(run, output, version=1)
    assert (exported / "saved_model.pb").read_bytes() == before
    assert sorted(entry.name for entry in output.iterdir()) == ["1", "11", "12"]


def test_a_failed_export_leaves_nothing(run, tmp_path, monkeypatch):
    def full(folder_module, folder, **kwargs):
        os.makedirs(folder)
        raise OSError("no space left")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(OSError, match="no space"):
        export_saved_model(run, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_appears_meanwhile_is_kept(run, tmp_path, monkeypatch):
    save = tf.saved_model.save

    def save_while_another_finishes(*args, **kwargs):
        save(*args, **kwargs)
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "saved_model.pb").write_bytes(b"another's")

    monkeypatch.setattr(tf.saved_model, "save", save_while_another_finishes)
    assert export_saved_model(run, tmp_path) == tmp_path / "2"
    assert (tmp_path / "1" / "saved_model.pb").read_bytes() == b"another's"


def test_a_bad_photo_gets_no_class_and_leaves_the_others_answers(serve):
    photos = list(PHOTOS.values())
    alone = serve(tf.constant(photos))
    mixed = serve(tf.constant([photos[0], b"junk", *photos[1:], photos[0][:300]]))
    assert mixed["valid"].numpy().tolist() == [1, 0] + [1] * (len(photos) - 1) + [0]
    for name, output in mixed.items():
        good = np.delete(output.numpy(), [1, -1], axis=0)
        bad = output.numpy()[[1, -1]]
        if output.dtype == tf.string:
            assert (bad == b"").all(), name
            np.testing.assert_array_equal(good, alone[name].numpy())
        else:
            assert (bad == 0).all(), name
            np.testing.assert_allclose(good, alone[name].numpy(), atol=1e-6, rtol=0)


def test_embeddings_are_the_pooled_features_at_length_one(run, loaded):
    photos = list(PHOTOS.values())
    served = loaded.signatures["embed"](tf.constant([*photos, b""]))
    pixels = np.stack([decode_and_resize(encoded, IMAGE_SIZE) for encoded in photos])
    model = keras.Model(run.model.input, run.model.get_layer("features").output)
    features = model.predict(pixels, verbose=0).astype(np.float64)
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert served["embedding"].dtype == tf.float32
    np.testing.assert_allclose(served["embedding"][:-1], expected, atol=1e-6, rtol=0)
    assert not served["embedding"][-1].numpy().any()
    assert served["valid"].numpy().tolist() == [1] * len(photos) + [0]


def test_a_decision_is_in_the_served_probabilities_and_not_in_the_embedding(run, loaded, tmp_path):
    accept = {
        "subCategory": Acceptance(threshold=0.75, target_error=0.02, coverage=0.9, error=0.02)
    }
    decision = Decision("subCategory", flip=True, temperature={"subCategory": 2.0}, accept=accept)
    decided = dataclasses.replace(run, decision=decision)
    path = export_saved_model(decided, tmp_path)
    signatures = tf.saved_model.load(str(path)).signatures
    photos = tf.constant(list(PHOTOS.values()))
    pixels = np.stack([decode_and_resize(encoded, IMAGE_SIZE) for encoded in PHOTOS.values()])
    logits = [run.model.predict(x, verbose=0)["subCategory"] for x in (pixels, pixels[:, :, ::-1])]
    odds = np.exp(np.mean(logits, axis=0, dtype=np.float64) / 2.0)
    np.testing.assert_allclose(
        signatures["serving_default"](photos)["probabilities"],
        odds / odds.sum(axis=1, keepdims=True),
        atol=1e-5,
        rtol=0,
    )
    np.testing.assert_array_equal(
        signatures["embed"](photos)["embedding"], loaded.signatures["embed"](photos)["embedding"]
    )
    assert ModelInfo.load(path).accept == {"photo": {"subCategory": 0.75}}


def test_a_model_without_pooled_features_has_no_embed_signature(run, tmp_path):
    logits = {"subCategory": keras.layers.Dense(7)(keras.layers.Flatten()(run.model.input))}
    plain = dataclasses.replace(
        run,
        model=keras.Model(run.model.input, logits),
        labels={"subCategory": LABELS["subCategory"]},
    )
    loaded = tf.saved_model.load(str(export_saved_model(plain, tmp_path)))
    assert set(loaded.signatures) == {"serving_default", "serve_pixels"}


def test_saved_model_cli_answers_where_our_package_cannot_be_imported(run, exported, tmp_path):
    for package in ("fashion_keras", "keras_cv"):
        (tmp_path / f"{package}.py").write_text("raise ImportError('kept out by the test')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    refused = subprocess.run(
        [sys.executable, "-c", "import fashion_keras"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert "kept out by the test" in refused.stderr
    photos = list(PHOTOS.values())
    np.savez(tmp_path / "photos.npz", photos=np.array(photos))
    subprocess.run(
        [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run",
         "--dir", exported, "--tag_set", "serve", "--signature_def", "serving_default",
         "--inputs", "image_bytes=photos.npz[photos]", "--outdir", "out"],
        cwd=tmp_path, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    probabilities = np.load(tmp_path / "out" / "probabilities.npy")
    np.testing.assert_allclose(probabilities, expected(run, photos), atol=1e-5, rtol=0)
    classes = np.load(tmp_path / "out" / "classes.npy", allow_pickle=True)
    best = [LABELS["subCategory"][i].encode() for i in probabilities.argmax(axis=1)]
    assert list(classes[:, 0]) == best
