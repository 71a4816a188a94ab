"""LiteRT and ONNX models of photo and title, against the Keras model."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tiny_records
from scipy.special import softmax
from serving.tiny import IMAGE_SIZE, LABELS, PHOTOS, skip_unless_installed
from serving.titled import save_titled_run
from tiny_records import write_tiny_records

from fashion_keras.data.title_terms import BETWEEN, COUNTS, title_ids
from fashion_keras.export import main
from fashion_keras.models.title_model import in_float32
from fashion_keras.run import load_run
from fashion_keras.serving.layout import ModelInfo
from fashion_keras.serving.small_formats import TITLE_FORMATS, classifier
from fashion_keras.tagging.client import SmallModel

TITLES = ["Red <b>Shirt</b> &amp; Co", "", "靴 👗", "x " * 5_000, f"Bag{BETWEEN}of leather"]
COLUMNS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_titled_run(tmp_path_factory.mktemp("titled") / "run", COLUMNS)


@pytest.fixture(scope="module")
def run(folder):
    return load_run(folder)


@pytest.fixture(scope="module", params=TITLE_FORMATS)
def exported(request, folder, tmp_path_factory):
    """A format and the folder that export wrote for it."""
    skip_unless_installed(request.param)
    output = tmp_path_factory.mktemp("models")
    assert main(["--model", str(folder), "--output", str(output), "--format", request.param]) == 0
    return request.param, output / request.param / "1"


def products():
    images = np.random.default_rng(5).integers(0, 256, (len(TITLES), *IMAGE_SIZE, 3), np.uint8)
    return images, np.array([title_ids(title, COLUMNS) for title in TITLES], np.int32)


def test_it_answers_as_the_keras_model(exported, run):
    format, path = exported
    classify = classifier(format, (path / TITLE_FORMATS[format]).read_bytes())
    images, ids = products()
    for some in (slice(None), slice(1, 2), slice(2, 5)):
        expected = run.predictor_for("both").predict_on_batch([images[some], ids[some]])
        found = classify(images[some], ids[some])
        assert set(found) == set(LABELS)
        for label, logits in found.items():
            assert logits.dtype == np.float32
            right = softmax(expected[label], axis=1)
            np.testing.assert_allclose(softmax(logits, axis=1), right, atol=1e-3)


def test_the_model_of_the_photo_lies_beside_it_and_is_what_predict_takes(exported, run):
    format, path = exported
    photo = path / TITLE_FORMATS[format].replace("-with-title", "")
    images, _ = products()
    found = classifier(format, photo.read_bytes())(images)
    expected = run.predictor.predict_on_batch(images)
    for label in LABELS:
        right = softmax(expected[label], axis=1)
        np.testing.assert_allclose(softmax(found[label], axis=1), right, atol=1e-3)
    assert SmallModel(path).ask("photo", [PHOTOS["jpeg"]]).valid == [1]
    assert {photo.name, TITLE_FORMATS[format]} <= set(ModelInfo.load(path).files)


def test_the_card_says_how_the_numbers_are_made(exported):
    format, path = exported
    card = (path / "README.md").read_text("utf-8")
    photo = f"`image` uint8 [N, {IMAGE_SIZE[0]}, {IMAGE_SIZE[1]}, 3]"
    numbers = f"`title_ids` int32 [N, {COLUMNS * sum(COUNTS)}]"
    assert f"| `{TITLE_FORMATS[format]}` | {photo}, {numbers} |" in card
    code = card.split("```python\n")[1].split("```")[0]
    script = f"titles = {TITLES!r}\n{code}\nimport sys\n"
    script += "print(ids.tolist(), 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == f"{products()[1].tolist()} False\n", done.stderr


def test_a_copy_in_float32_answers_alike_and_leaves_the_model_alone(run):
    _, ids = products()
    copy = in_float32(run.title)
    for label, logits in run.title.predict(ids, verbose=0).items():
        np.testing.assert_allclose(copy.predict(ids, verbose=0)[label], logits, atol=1e-5)
    assert {weights.dtype.name for weights in copy.get_weights()} == {"float32"}
    assert {weights.dtype.name for weights in run.title.get_weights()} == {"float16", "float32"}


def test_the_table_of_terms_stays_in_half_precision(exported, run):
    format, path = exported
    table = sum(weights.nbytes for weights in run.title.get_weights() if weights.dtype == "float16")
    assert table < (path / TITLE_FORMATS[format]).stat().st_size < 2 * table


def test_records_check_it_and_int8_sees_the_photo_alone(tmp_path, capsys):
    records = tmp_path / "records"
    write_tiny_records(records, title=lambda number, shape, colour: f"{shape} {colour}")
    run = save_titled_run(tmp_path / "run", 1, tiny_records.LABELS)
    argv = ["--model", str(run), "--output", str(tmp_path / "out"), "--data", str(records)]
    argv += ["--check-photos", "10", "--format", "litert", "litert-int8"]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    assert "subCategory of 10 photos of split validation" in printed
    assert "subCategory of 10 photos and titles of split validation" in printed
    checked = json.loads((tmp_path / "out" / "litert" / "1" / "check.json").read_text("utf-8"))
    assert checked["with_title"]["litert"]["agreement"]["subCategory"] == 1
    int8 = tmp_path / "out" / "litert-int8" / "1"
    assert sorted(path.name for path in int8.glob("model*")) == ["model.tflite"]
    assert "with_title" not in json.loads((int8 / "check.json").read_text("utf-8"))
    assert "title_ids" not in (int8 / "README.md").read_text("utf-8")
