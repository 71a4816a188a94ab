"""LiteRT and ONNX models in `predict`, against the SavedModel of the same run."""

import numpy as np
import pytest
from serving.tiny import LABELS, PHOTOS, skip_unless_installed, tiny_run

from fashion_keras.errors import UserError
from fashion_keras.predict import main
from fashion_keras.serving.layout import find_version
from fashion_keras.serving.savedmodel import export_saved_model
from fashion_keras.serving.small_formats import SMALL_FORMATS
from fashion_keras.serving.small_models import convert, write_small_model
from fashion_keras.tagging.client import LocalModel, SmallModel
from fashion_keras.tagging.loading import load_local

ENCODED = [PHOTOS["jpeg"], b"no photo", PHOTOS["png"], PHOTOS["wide"], PHOTOS["jpeg"][:200]]


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    return export_saved_model(tiny_run("pad"), tmp_path_factory.mktemp("models") / "fashion")


@pytest.fixture(scope="module", params=["litert", "onnx"])
def small(request, tmp_path_factory):
    skip_unless_installed(request.param)
    run, file = tiny_run("pad"), SMALL_FORMATS[request.param]
    folder = tmp_path_factory.mktemp("small")
    return write_small_model(run, folder, {file: convert(run, request.param)}, None, None)


def test_says_what_the_saved_model_says_of_good_and_bad_photos(small, saved_model):
    expected, found = (
        LocalModel(saved_model).ask("photo", ENCODED),
        load_local(small).ask("photo", ENCODED),
    )
    assert list(found.valid) == list(expected.valid) == [1, 0, 1, 1, 0]
    assert list(found.labels) == list(expected.labels) == list(LABELS)
    good = np.array(expected.valid, bool)
    for label, (classes, scores) in expected.labels.items():
        found_classes, found_scores = (np.array(part)[good] for part in found.labels[label])
        assert found_classes.tolist() == np.array(classes)[good].tolist()
        # LiteRT holds its weights in float16.
        np.testing.assert_allclose(found_scores, np.array(scores)[good], atol=5e-3)


def test_only_the_wanted_labels_are_answered_and_others_refused(small, saved_model):
    for version in (small, saved_model):
        model = load_local(version, ["gender"])
        assert list(model.ask("photo", ENCODED).labels) == ["gender"]
        with pytest.raises(UserError, match="--label colour: the model's labels are subCategory"):
            load_local(version, ["colour"])


def test_predict_takes_it_and_its_parent(small, saved_model, tmp_path, capsys):
    (tmp_path / "a.jpg").write_bytes(PHOTOS["jpeg"])
    photo = str(tmp_path / "a.jpg")
    lines = []
    for model in (small, small.parent, saved_model):
        assert main(["--model", str(model), photo]) == 0
        lines.append(capsys.readouterr().out.split())
    assert lines[0] == lines[1]
    assert [w for w in lines[0] if w.isalpha()] == [w for w in lines[2] if w.isalpha()]


def test_damaged_file_is_refused_in_a_line(small, tmp_path):
    damaged = tmp_path / "1"
    (damaged / "assets").mkdir(parents=True)
    info = (small / "assets" / "fashion_keras.json").read_bytes()
    (damaged / "assets" / "fashion_keras.json").write_bytes(info)
    file = next(path.name for path in small.iterdir() if path.name.startswith("model."))
    (damaged / file).write_bytes(b"no model")
    with pytest.raises(UserError, match=f"{file} is damaged .it was changed after it was written"):
        SmallModel(damaged)


def test_servers_formats_alone_are_found_where_a_saved_model_is_asked_for(small):
    with pytest.raises(UserError, match="no SavedModel"):
        find_version(small)
    assert find_version(small.parent, small=True) == small
