"""The signatures of a model that takes titles: they answer as the Keras model does."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from serving.tiny import IMAGE_SIZE, LABELS, PHOTOS
from serving.titled import save_titled_run
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from fashion_keras.data.image import decode_and_resize
from fashion_keras.data.title_terms import BETWEEN, title_ids
from fashion_keras.run import load_run
from fashion_keras.serving.savedmodel import WARMUP_FILE, export_saved_model

TITLES = ["Red <b>Shirt</b> &amp; Co", "", "靴 👗 \0", "x " * 5_000, f"Bag{BETWEEN}of leather"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained model of photo, title and description, with a decision of every part."""
    folder = save_titled_run(tmp_path_factory.mktemp("titled") / "run")
    return load_run(folder)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    return export_saved_model(run, tmp_path_factory.mktemp("models") / "shop", top=3)


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported))


def check(answer, logits):
    """Compare every head of a signature's answer with the Keras model's."""
    for label, classes in LABELS.items():
        prefix = "" if label == "subCategory" else f"{label}_"
        expected = softmax(np.float64(logits[label]), axis=1)
        np.testing.assert_allclose(answer[f"{prefix}probabilities"], expected, atol=1e-5)
        best = [classes[index].encode() for index in expected.argmax(axis=1)]
        assert answer[f"{prefix}classes"].numpy()[:, 0].tolist() == best


def test_photo_and_title_answer_as_the_keras_model(run, loaded):
    photo = PHOTOS["jpeg"]
    answer = loaded.signatures["with_title"](
        image_bytes=tf.constant([photo] * len(TITLES)), title=tf.constant(TITLES)
    )
    pixels = np.stack([decode_and_resize(photo, IMAGE_SIZE, run.resize)] * len(TITLES))
    ids = np.array([title_ids(title, 2) for title in TITLES])
    check(answer, run.predictor_for("both").predict([pixels, ids], verbose=0))
    said = [name.decode() for name in answer["gender_classes"].numpy()[:, 0]]
    alone = loaded.signatures["serving_default"](image_bytes=tf.constant([photo]))
    own = alone["gender_classes"].numpy()[0, 0].decode()
    assert said == ["Women", own, "Women", "Women", "Women"]  # the second has no text
    assert answer["valid"].numpy().tolist() == [1] * len(TITLES)


def test_a_title_alone_answers_as_the_keras_model(run, loaded):
    answer = loaded.signatures["title_only"](title=tf.constant(TITLES))
    ids = np.array([title_ids(title, 2) for title in TITLES])
    check(answer, run.predictor_for("title").predict(ids, verbose=0))


def test_an_empty_title_is_the_photo_alone(loaded):
    photos = tf.constant([PHOTOS["jpeg"]])
    alone = loaded.signatures["serving_default"](image_bytes=photos)
    empty = loaded.signatures["with_title"](image_bytes=photos, title=tf.constant([""]))
    np.testing.assert_allclose(alone["probabilities"], empty["probabilities"], atol=1e-5)


def test_a_photo_that_does_not_decode_spares_the_others(loaded):
    photos = tf.constant([b"no photo", PHOTOS["jpeg"]])
    answer = loaded.signatures["with_title"](image_bytes=photos, title=tf.constant(["Shirt"] * 2))
    assert answer["valid"].numpy().tolist() == [0, 1]
    assert answer["classes"].numpy()[0].tolist() == [b""] * 3
    assert np.abs(answer["probabilities"].numpy().sum(axis=1) - [0, 1]).max() < 1e-5


def test_bytes_that_are_no_text_are_answered(loaded):
    answer = loaded.signatures["title_only"](title=tf.constant([b"shirt \xff\xfe"]))
    clean = loaded.signatures["title_only"](title=tf.constant(["shirt"]))
    np.testing.assert_allclose(answer["probabilities"], clean["probabilities"], atol=1e-6)


def test_an_empty_batch_has_an_empty_answer(loaded):
    nothing = tf.constant([], tf.string)
    for name, given in (
        ("with_title", {"image_bytes": nothing, "title": nothing}),
        ("title_only", {"title": nothing}),
    ):
        assert loaded.signatures[name](**given)["classes"].shape == (0, 3)


def test_warm_up_calls_every_signature_with_what_it_takes(exported, loaded):
    called = set()
    for raw in tf.data.TFRecordDataset(str(exported / WARMUP_FILE)).as_numpy_iterator():
        request = PredictionLog.FromString(raw).predict_log.request
        name = request.model_spec.signature_name
        given = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        assert loaded.signatures[name](**given)
        called.add(name)
    assert called == {"serving_default", "embed", "with_title", "title_only"}


def test_the_card_says_what_each_signature_takes(exported):
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert "| `with_title` | `image_bytes`, `title` string [N] |" in card
    assert "| `title_only` | `title` string [N] |" in card
