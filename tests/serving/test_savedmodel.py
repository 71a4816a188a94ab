"""The exported SavedModel answers as the Keras model does, with and without our package."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from serving.tiny import IMAGE_SIZE, LABELS, PHOTOS, tiny_run

from fashion_keras.data.image import decode_and_resize
from fashion_keras.errors import UserError
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
