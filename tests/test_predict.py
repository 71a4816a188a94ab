"""The predict command: photos, folders, zips and CSVs, on screen and in tables, good and bad."""

import csv
import dataclasses
import functools
import json
import os
import shutil
import zipfile

import numpy as np
import pandas
import pytest
import tensorflow as tf
from serving.http_stand_in import serving
from serving.rest import request_from_json, response_to_json
from serving.tiny import LABELS, PHOTOS, photo, tiny_run
from tensorflow_serving.apis.predict_pb2 import PredictResponse

import fashion_keras as fk
from fashion_keras.errors import UserError
from fashion_keras.predict import main
from fashion_keras.serving.layout import ModelInfo
from fashion_keras.serving.savedmodel import export_saved_model
from fashion_keras.tagging import loading
from fashion_keras.tagging.row_formats import Columns
from fashion_keras.tagging.sources import PhotoSource

KIND = "subCategory"
NAMES = Columns(list(LABELS)).names
GOOD = {
    "a.jpg": PHOTOS["jpeg"],
    "b/c.png": PHOTOS["png"],
    "b/d.JPEG": PHOTOS["wide"],
    "e.webp": photo(format="WEBP"),
}
TRUNCATED = PHOTOS["jpeg"][: len(PHOTOS["jpeg"]) // 2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return export_saved_model(tiny_run(), tmp_path_factory.mktemp("models")).parent


@pytest.fixture(autouse=True, scope="module")
def loaded_once():
    """Load each model once for all tests: that takes TensorFlow a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load_local", functools.cache(loading.load_local))
        yield


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "photos", GOOD | {"styles.csv": b"id\n", "__MACOSX/._a.jpg": b"x"})


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def predict_csv(model, tmp_path, *inputs, options=()):
    out = tmp_path / "out.csv"
    code = main(["--model", str(model), *map(str, inputs), "--csv", str(out), *options])
    assert not out.with_name("out.csv.partial").exists()
    with open(out, encoding="utf-8", newline="") as file:
        return code, list(csv.DictReader(file))


def test_a_photo_is_printed_with_class_score_and_runner_up(model, folder, capsys):
    path = str(folder / "a.jpg")
    assert main(["--model", str(model), path]) == 0
    served = tf.saved_model.load(str(model / "1")).signatures["serving_default"](
        tf.constant([GOOD["a.jpg"]])
    )
    (best, runner_up), (score, second) = (served[name][0, :2] for name in ("classes", "scores"))
    line, below = capsys.readouterr().out.splitlines()
    label, gender, _ = below.split()
    assert label == "gender:" and gender in LABELS["gender"]
    assert line.startswith(path[:60])
    assert line.endswith(f"({runner_up.numpy().decode()} {second:.3f})")
    assert line.removeprefix(path).split("  ")[1].strip() == best.numpy().decode()
    assert f"{score:.3f}" in line


def test_a_folder_gives_a_row_a_photo_in_order(model, folder, tmp_path):
    code, rows = predict_csv(model, tmp_path, folder)
    assert code == 0
    assert [row["path"] for row in rows] == [f"{folder}/{name}" for name in GOOD]
    assert [row["id"] for row in rows] == ["a", "c", "d", "e"]
    assert tuple(rows[0]) == NAMES
    with PhotoSource([str(folder)]) as source:
        encoded = [found.encoded for found in source.photos()]
    served = tf.saved_model.load(str(model / "1")).signatures["serving_default"](
        tf.constant(encoded)
    )
    scores, classes = served["scores"].numpy(), served["classes"].numpy()
    np.testing.assert_allclose(
        [float(row[f"{KIND}_score"]) for row in rows], scores[:, 0], atol=2e-6
    )
    np.testing.assert_allclose(
        [float(row[f"{KIND}_runner_up_score"]) for row in rows], scores[:, 1], atol=2e-6
    )
    assert [row[KIND] for row in rows] == [name.decode() for name in classes[:, 0]]
    assert [row[f"{KIND}_runner_up"] for row in rows] == [name.decode() for name in classes[:, 1]]
    decisions = {(row[f"{KIND}_decision"], row["gender_decision"], row["error"]) for row in rows}
    assert decisions == {("", "", "")}
    genders, scores = served["gender_classes"].numpy(), served["gender_scores"].numpy()
    assert [row["gender"] for row in rows] == [name.decode() for name in genders[:, 0]]
    written = [float(row["gender_score"]) for row in rows]
    np.testing.assert_allclose(written, scores[:, 0], atol=2e-6)


def test_a_zip_gives_the_folders_answers(model, folder, tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in GOOD.items():
            file.writestr(name, content)
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    code, from_zip = predict_csv(model, tmp_path / "1", path, options=["--batch-size", "2"])
    assert code == 0
    _, from_folder = predict_csv(model, tmp_path / "2", folder)
    assert [row[KIND] for row in from_zip] == [row[KIND] for row in from_folder]
    assert from_zip[0]["path"] == f"{path}/a.jpg"


def test_a_csv_of_paths_gives_the_photos_answers_by_its_ids(model, folder, tmp_path):
    (tmp_path / "1").mkdir()
    _, from_folder = predict_csv(model, tmp_path / "1", folder)
    lines = [f"{number};{name}" for number, name in enumerate(GOOD)]
    (folder / "list.csv").write_text("\n".join(["sku;photo", *lines]))
    options = ["--path-column", "photo", "--id-column", "sku"]
    code, rows = predict_csv(model, tmp_path, folder / "list.csv", options=options)
    assert code == 0
    assert [(row["id"], row["path"]) for row in rows] == [
        (str(number), name) for number, name in enumerate(GOOD)
    ]
    assert [row[KIND] for row in rows] == [row[KIND] for row in from_folder]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_other_formats_hold_the_csvs_rows(model, folder, tmp_path, ending):
    write(folder, {"bad.jpg": b""})
    _, rows = predict_csv(model, tmp_path, folder)
    out = tmp_path / f"out.{ending}"
    assert main(["--model", str(model), str(folder), "--output", str(out)]) == 0
    found = pandas.read_parquet(out) if ending == "parquet" else pandas.read_json(out, lines=True)
    for one, other in zip(rows, found.to_dict("records"), strict=True):
        for name, cell in other.items():
            if name.endswith("score") and one[name]:
                assert float(one[name]) == pytest.approx(cell, abs=2e-6)
            else:
                assert one[name] == ("" if pandas.isna(cell) else cell)


OUTPUTS = ("classes", "scores", "valid", "gender_classes", "gender_scores", "probabilities")


def by_rest(model):
    """How TF Serving answers a REST request to a model, by its documented conversions."""
    signature = tf.saved_model.load(str(model / "1")).signatures["serving_default"]

    def post(path, body):
        request = request_from_json(json.dumps(body), "image_bytes", tf.string)
        photos = tf.make_ndarray(request.inputs["image_bytes"])
        response = PredictResponse()
        for name, value in signature(image_bytes=tf.constant(photos)).items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return 200, json.loads(response_to_json(response))

    return post


def test_a_server_gives_the_rows_of_the_same_model_here(model, folder, tmp_path):
    write(folder, {"0.jpg": TRUNCATED})
    _, here = predict_csv(model, tmp_path, folder)
    with serving() as server:
        server.post = by_rest(model)
        server.signature = {**server.signature, "outputs": dict.fromkeys(OUTPUTS)}
        out = tmp_path / "server.csv"
        options = ["--server", server.url, "--name", "shop", "--output", str(out)]
        assert main([*options, str(folder), "--model", str(model)]) == 0
    with open(out, encoding="utf-8", newline="") as file:
        there = list(csv.DictReader(file))
    assert len(there) == len(here)
    for one, other in zip(here, there, strict=True):
        for name in NAMES:
            if name.endswith("score") and one[name]:
                assert float(one[name]) == pytest.approx(float(other[name]), abs=3e-6)
            else:
                assert one[name] == other[name]


def test_a_server_alone_tells_its_labels_but_not_the_headlines_name(model, folder, tmp_path):
    _, here = predict_csv(model, tmp_path, folder)
    with serving() as server:
        server.post = by_rest(model)
        server.signature = {**server.signature, "outputs": dict.fromkeys(OUTPUTS)}
        options = {"server": server.url, "name": "shop", "progress": False}
        whole = fk.predict(folder, **options)
        chosen = fk.predict(folder, labels=["gender", "class"], **options)
        with pytest.raises(UserError, match="model's labels are class, gender"):
            fk.predict(folder, labels=["subCategory"], **options)
    assert tuple(whole.columns) == Columns(["class", "gender"]).names
    assert tuple(chosen.columns) == Columns(["gender", "class"]).names
    for found in (whole, chosen):
        assert list(found["class"]) == [row[KIND] for row in here]
        assert list(found["gender"]) == [row["gender"] for row in here]


def test_a_label_alone_has_the_answers_it_has_among_others(model, folder, tmp_path):
    (tmp_path / "1").mkdir()
    _, all_labels = predict_csv(model, tmp_path, folder)
    _, rows = predict_csv(model, tmp_path / "1", folder, options=["--label", "gender"])
    assert tuple(rows[0]) == Columns(["gender"]).names
    for name in ("gender", "gender_decision"):
        assert [row[name] for row in rows] == [row[name] for row in all_labels]
    found = fk.predict(folder, model, labels="gender", progress=False)
    assert tuple(found.columns) == Columns(["gender"]).names


def test_a_label_that_the_model_has_not_is_an_error_in_a_line(model, folder, capsys):
    error = error_of(capsys, "--model", model, folder, "--label", "gander")
    assert error == (
        "error: --label gander: the model's labels are subCategory, gender "
        "(did you mean 'gender'?)\n"
    )
    error = error_of(capsys, "--model", model, folder, "--label", KIND, "--threshold", "gender=1")
    assert "--threshold is given for gender: the labels that are written are subCategory" in error


def test_a_table_of_other_labels_is_not_resumed(model, folder, tmp_path, capsys):
    predict_csv(model, tmp_path, folder, options=["--label", "gender"])
    capsys.readouterr()
    out = ("--output", tmp_path / "out.csv", "--resume")
    assert "it has the labels gender;" in error_of(capsys, "--model", model, folder, *out)
    code, rows = predict_csv(model, tmp_path, folder, options=["--label", "gender", "--resume"])
    assert code == 0 and len(rows) == len(GOOD)


def with_threshold(model, folder, threshold):
    """A copy of a model for which calibrate has fitted thresholds."""
    shutil.copytree(model / "1", folder / "1")
    info = ModelInfo.load(folder / "1")
    accept = {"photo": {info.label: threshold, "gender": 0.0}, "title": {"gender": 1.0}}
    dataclasses.replace(info, accept=accept).save(folder / "1")
    return folder


def test_the_models_threshold_decides_unless_another_is_given(model, folder, tmp_path):
    _, rows = predict_csv(model, tmp_path, folder)
    scores = sorted(float(row[f"{KIND}_score"]) for row in rows)
    middle = (scores[1] + scores[2]) / 2
    fitted = with_threshold(model, tmp_path / "fitted", middle)
    _, rows = predict_csv(fitted, tmp_path, folder)
    assert [row[f"{KIND}_decision"] for row in rows] == [
        "accept" if float(row[f"{KIND}_score"]) > middle else "review" for row in rows
    ]
    assert {row["gender_decision"] for row in rows} == {"accept"}
    _, rows = predict_csv(fitted, tmp_path, folder, options=["--threshold", "0"])
    assert {row[f"{KIND}_decision"] for row in rows} == {"accept"}
    assert {row["gender_decision"] for row in rows} == {"accept"}
    given = {"gender": 1, KIND: middle}
    options = [f"--threshold={label}={threshold}" for label, threshold in given.items()]
    _, rows = predict_csv(fitted, tmp_path, folder, options=options)
    assert {row["gender_decision"] for row in rows} == {"review"}
    found = fk.predict(folder, fitted, threshold=given, progress=False)
    for name in (f"{KIND}_decision", "gender_decision"):
        assert list(found[name]) == [row[name] for row in rows]


def test_resume_classifies_what_has_no_row_yet(model, folder, tmp_path, capsys):
    code, before = predict_csv(model, tmp_path, folder)
    (folder / "a.jpg").unlink()  # would be an error, were it looked at
    write(folder, {"f.jpg": PHOTOS["grey jpeg"]})
    list_of_all = "path\n" + "\n".join(row["path"] for row in before) + f"\n{folder}/f.jpg\n"
    (tmp_path / "list.csv").write_text(list_of_all)
    code, rows = predict_csv(model, tmp_path, tmp_path / "list.csv", options=["--resume"])
    assert code == 0
    assert rows[:-1] == before
    assert (rows[-1]["path"], rows[-1]["error"]) == (f"{folder}/f.jpg", "")
    assert "5 photos, 5 classified, 4 of them before" in capsys.readouterr().out


def test_bad_photos_become_rows_with_a_reason_and_spare_the_others(model, folder, tmp_path, capsys):
    bad = {
        "1-empty.jpg": b"",
        "2-text.jpg": b"no photo at all",
        "3-truncated.jpg": TRUNCATED,
        "4-photo.heic": b"\0\0\0\x18ftypheic\0\0\0\0heic",
        "5-cut.png": PHOTOS["png"][:300],
    }
    write(folder, bad)
    code, rows = predict_csv(model, tmp_path, folder, tmp_path / "gone.jpg")
    assert code == 0
    errors = {row["path"]: row["error"] for row in rows if row["error"]}
    assert len(rows) == len(GOOD) + len(errors)
    reasons = ["empty", "not a photo", "truncated", "HEIF is not read", "truncated"]
    paths = [*(f"{folder}/{name}" for name in bad), f"{tmp_path}/gone.jpg"]
    assert list(errors) == paths
    for path, reason in zip(paths, [*reasons, "does not exist"], strict=True):
        assert reason in errors[path]
        assert path not in errors[path]
        assert "\n" not in errors[path]
    assert "warning: 6 of 10 photos" in capsys.readouterr().err


def test_what_is_passed_over_is_said_at_the_end(model, folder, tmp_path, capsys):
    write(folder, {"read me.txt": b"hello", "notes": b"hello", "f.jfif": PHOTOS["jpeg"]})
    _, rows = predict_csv(model, tmp_path, folder)
    assert len(rows) == len(GOOD) + 1
    line = "passed over: 1 × no ending, 1 × .txt, 1 × .csv"
    assert capsys.readouterr().err.splitlines()[-1] == line
    assert main(["--model", str(model), str(folder)]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == line


def test_bad_photos_do_not_change_the_good_ones(model, folder, tmp_path):
    _, alone = predict_csv(model, tmp_path, folder)
    write(folder, {"0.jpg": TRUNCATED, "b/cc.jpg": TRUNCATED})
    _, mixed = predict_csv(model, tmp_path, folder)
    good = [row for row in mixed if not row["error"]]
    assert [row[KIND] for row in good] == [row[KIND] for row in alone]
    for one, other in zip(good, alone, strict=True):
        assert float(one[f"{KIND}_score"]) == pytest.approx(float(other[f"{KIND}_score"]), abs=3e-6)


def test_only_bad_photos_are_an_error_and_still_get_their_rows(model, tmp_path, capsys):
    path = tmp_path / "bad.jpg"
    path.write_bytes(TRUNCATED)
    code, rows = predict_csv(model, tmp_path, path)
    assert code == 2
    assert [row["path"] for row in rows] == [str(path)]
    assert "none of 1 photos could be classified" in capsys.readouterr().err


def test_rows_that_are_all_errors_from_before_are_said_to_be_that(model, tmp_path, capsys):
    bad = write(tmp_path / "bad", {"a.jpg": b"", "b.jpg": b"no photo"})
    assert predict_csv(model, tmp_path, bad)[0] == 2
    capsys.readouterr()
    assert predict_csv(model, tmp_path, bad, options=["--resume"])[0] == 2
    assert "all 2 rows from before are errors" in capsys.readouterr().err


def test_top_lists_more_classes_and_says_how_many_there_are(model, folder, capsys):
    path = str(folder / "a.jpg")
    assert main(["--model", str(model), path, "--top", "4"]) == 0
    assert capsys.readouterr().out.count(",") == 2
    assert main(["--model", str(model), path, "--top", "6"]) == 2
    assert "5 classes at most" in capsys.readouterr().err


def test_the_highest_complete_version_is_taken(model, folder, tmp_path, capsys):
    versions = tmp_path / "versions"
    for version in ("9", "10"):
        shutil.copytree(model / "1", versions / version)
    (versions / "11").mkdir()
    (versions / "12.partial-5").mkdir()
    (versions / "9" / "saved_model.pb").write_bytes(b"never to be read")
    assert main(["--model", str(versions), str(folder / "a.jpg")]) == 0


def error_of(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) <= 2
    return error


def test_missing_inputs_are_an_error(model, tmp_path, capsys):
    assert "does not exist" in error_of(capsys, "--model", model, tmp_path / "gone.zip")


def test_a_folder_without_photos_is_an_error(model, tmp_path, capsys):
    write(tmp_path / "empty", {"styles.csv": b"id\n"})
    assert "no photos in" in error_of(capsys, "--model", model, tmp_path / "empty")


def test_a_damaged_zip_is_an_error(model, tmp_path, capsys):
    (tmp_path / "shop.zip").write_bytes(b"PK\x03\x04 and no more")
    assert "not a zip" in error_of(capsys, "--model", model, tmp_path / "shop.zip")


def test_a_missing_model_is_an_error(folder, tmp_path, capsys):
    assert "no SavedModel at" in error_of(capsys, "--model", tmp_path / "none", folder)
    assert "fashion-keras export" in error_of(capsys, "--model", folder, folder)


def test_a_savedmodel_of_another_kind_is_an_error(folder, tmp_path, capsys):
    module = tf.Module()
    module.double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "other" / "1"), signatures=module.double)
    error = error_of(capsys, "--model", tmp_path / "other", folder)
    assert "another kind" in error


def test_a_savedmodel_without_our_signature_is_an_error(model, folder, tmp_path, capsys):
    module = tf.Module()
    module.double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "other"), signatures=module.double)
    info = dataclasses.replace(ModelInfo.load(model / "1"), files={})
    (tmp_path / "other" / "assets").mkdir(exist_ok=True)
    info.save(tmp_path / "other")
    assert "image_bytes" in error_of(capsys, "--model", tmp_path / "other", folder)


def test_a_damaged_savedmodel_is_an_error(model, folder, tmp_path, capsys):
    shutil.copytree(model / "1", tmp_path / "1")
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff not a protobuf")
    assert "saved_model.pb is damaged" in error_of(capsys, "--model", tmp_path, folder)


def test_a_csv_that_cannot_be_written_is_an_error(model, folder, tmp_path, capsys):
    out = tmp_path / "no" / "out.csv"
    assert "no folder" in error_of(capsys, "--model", model, folder, "--csv", out)
    assert "is a folder" in error_of(capsys, "--model", model, folder, "--csv", folder)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--server", "http://localhost:8501"], "Give --name"),
        (["--server", "localhost:8501", "--name", "shop"], "expected http://HOST:8501"),
        (["--model", "models", "--resume"], "--output FILE"),
        (["--model", "models", "--output", "tags.xlsx"], ".csv, .jsonl, .parquet"),
        (["--model", "models", "--path-root", "nowhere"], "--path-root nowhere is not there"),
        (["--model", "models", "--title-column", "title"], "--title-column is of a CSV"),
    ],
)
def test_options_that_do_not_go_together_are_an_error(options, reason, capsys):
    assert reason in error_of(capsys, "a.jpg", *options)


def test_photos_may_be_any_path_like_object(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    (entry,) = os.scandir(tmp_path)
    with pytest.raises(UserError, match="no SavedModel"):
        fk.predict(entry, tmp_path / "models")


def test_an_input_is_not_written_over(capsys):
    error = error_of(capsys, "--model", "models", "shop.csv", "--output", "./shop.csv")
    assert "shop.csv is an input too" in error


@pytest.mark.parametrize("option", [["--threshold", "1.5"], ["--retries", "-1"]])
def test_numbers_out_of_range_are_an_error(option, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--model", "models", "a.jpg", *option])
    assert ended.value.code == 2
    assert option[1] in capsys.readouterr().err


def test_rows_of_an_interrupted_run_are_an_error_without_resume(model, folder, tmp_path, capsys):
    (tmp_path / "out.csv.partial").write_text("rows")
    error = error_of(capsys, "--model", model, folder, "--csv", tmp_path / "out.csv")
    assert "--resume" in error
    assert (tmp_path / "out.csv.partial").read_text() == "rows"
