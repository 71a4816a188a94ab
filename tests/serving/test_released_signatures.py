"""The model in the package: each signature that is served gives what evaluation scores."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import fashion_keras as fk
from fashion_keras.data.image import decode_and_resize
from fashion_keras.data.title_terms import title_ids
from fashion_keras.serving.savedmodel import export_saved_model

TITLES = ["Puma Men Blue Running Shoes", "", "Peter England Men Check Red Shirt", "Rrround Ring"]


@pytest.fixture(scope="module")
def run():
    return fk.load_model("fashion")


@pytest.fixture(scope="module")
def loaded(run, tmp_path_factory):
    return tf.saved_model.load(
        str(export_saved_model(run, tmp_path_factory.mktemp("m") / "fashion"))
    )


def photos():
    found = []
    for seed in range(len(TITLES)):
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 15, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((60, 80), Image.Resampling.BICUBIC)
        picture.save(data := io.BytesIO(), "JPEG")
        found.append(data.getvalue())
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "sees, name", [("photo", "serving_default"), ("both", "with_title"), ("title", "title_only")]
)
def test_it_is_what_evaluation_scores(run, loaded, sees, name):
    pictures, ids = photos(), np.array([title_ids(title) for title in TITLES])
    pixels = np.stack([decode_and_resize(data, run.image_size, run.resize) for data in pictures])
    given = {"photo": pixels, "both": [pixels, ids], "title": ids}[sees]
    served = {"image_bytes": tf.constant(pictures), "title": tf.constant(TITLES)}
    wanted = {"photo": ["image_bytes"], "both": [*served], "title": ["title"]}[sees]
    answer = loaded.signatures[name](**{key: served[key] for key in wanted})
    logits = run.predictor_for(sees).predict(given, verbose=0)
    for label, values in logits.items():
        prefix = "" if label == run.label else f"{label}_"
        expected = tf.nn.softmax(np.float64(values)).numpy()
        np.testing.assert_allclose(answer[f"{prefix}probabilities"], expected, atol=1e-5)
