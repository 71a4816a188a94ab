"""Writing an evaluation's folder: what is in it, and what is never lost."""

import csv
import gzip
import json

import numpy as np
import pytest
from PIL import Image

from fashion_keras.auditing.duplicate_audit import read_predictions
from fashion_keras.comparison.runs import load_stored_runs
from fashion_keras.errors import UserError
from fashion_keras.evaluation import files
from fashion_keras.evaluation.files import (
    FILES,
    check_output,
    save_evaluation,
    save_json,
    write_evaluation,
)
from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.evaluation.results import evaluate_predictions
from fashion_keras.stored_scores import read_evaluation

# Names that a careless CSV would break, or read back as missing.
LABELS = {"usage": ('Bags, "large"', "NA", "Écharpes")}


@pytest.fixture(scope="module")
def predictions():
    return Predictions(
        "test",
        ["10", "011", "12", "13"],
        {"usage": np.array([0, 1, -1, 1])},
        {"usage": np.array([[4, 0, 0], [4, 0, 0], [0, 4, 0], [0, 4, 0]], np.float32)},
    )


@pytest.fixture(scope="module")
def result(predictions):
    counts = {"usage": (7, 8, 9)}
    return evaluate_predictions(predictions, LABELS, resamples=50, train_counts=counts)


@pytest.fixture
def folder(tmp_path, result, predictions):
    write_evaluation(tmp_path / "deep" / "evaluation-test", result, predictions, LABELS)
    return tmp_path / "deep" / "evaluation-test"


def rows(path):
    open_text = gzip.open if path.suffix == ".gz" else open
    with open_text(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_folder_holds_every_file_and_nothing_else(folder):
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_report_lies_beside_and_is_replaced_with_the_rest(folder, result, predictions):
    report = {"report.html": b"<p>", "reliability.png": b"PNG"}
    write_evaluation(folder, result, predictions, LABELS, report)
    assert {path.name for path in folder.iterdir()} == {*FILES, *report}
    assert (folder / "report.html").read_bytes() == b"<p>"
    write_evaluation(folder, result, predictions, LABELS)
    assert {path.name for path in folder.iterdir()} == set(FILES)


def test_json_is_the_result(folder, result):
    assert json.loads((folder / "evaluation.json").read_text(encoding="utf-8")) == result


def test_per_class_csv_has_a_row_a_class(folder):
    table = rows(folder / "per_class.csv")
    assert table[0] == ["class", "support", "precision", "recall", "f1", "train_support"]
    assert table[1] == ['Bags, "large"', "1", "0.500000", "1.000000", "0.666667", "7"]
    assert [row[0] for row in table[1:]] == list(LABELS["usage"])


def test_confusion_matrix_csv_has_truth_in_rows(folder):
    table = rows(folder / "confusion_matrix.csv")
    assert table[0] == ["truth", *LABELS["usage"]]
    assert table[2] == ["NA", "1", "1", "0"]


def test_predictions_csv_has_a_row_a_photo_with_an_empty_truth_where_missing(folder):
    table = rows(folder / "predictions.csv.gz")
    probability = f"{np.exp(4) / (np.exp(4) + 2):.6f}"
    assert table[0] == ["id", "truth", "prediction", "probability"]
    assert table[2] == ["011", "NA", 'Bags, "large"', probability]
    assert table[3] == ["12", "", "NA", probability]


def test_the_picture_opens(folder):
    with Image.open(folder / "confusion_matrix.png") as picture:
        picture.verify()


def test_an_earlier_evaluation_is_replaced_and_leaves_nothing_behind(folder, result, predictions):
    (folder / "evaluation.json").write_text("old")
    write_evaluation(folder, result, predictions, LABELS)
    assert json.loads((folder / "evaluation.json").read_text(encoding="utf-8")) == result
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_same_evaluation_writes_the_same_bytes(folder, tmp_path, result, predictions):
    write_evaluation(tmp_path / "again", result, predictions, LABELS)
    for name in FILES:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_a_failure_leaves_the_earlier_evaluation(folder, result, predictions, monkeypatch):
    (folder / "evaluation.json").write_text("old")

    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_write_files", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_evaluation(folder, result, predictions, LABELS)
    assert (folder / "evaluation.json").read_text() == "old"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_folder_with_other_files_is_refused_and_untouched(tmp_path, result, predictions):
    (tmp_path / "best.keras").write_text("precious")
    (tmp_path / "evaluation.json").write_text("old")
    with pytest.raises(UserError, match=r"best\.keras"):
        write_evaluation(tmp_path, result, predictions, LABELS)
    assert (tmp_path / "best.keras").read_text() == "precious"
    assert (tmp_path / "evaluation.json").read_text() == "old"


def test_an_output_that_is_a_file_or_below_one_is_refused(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UserError, match="is a file"):
        check_output(tmp_path / "file")
    with pytest.raises(UserError, match="above it is no folder"):
        check_output(tmp_path / "file" / "below")


def test_json_keeps_a_row_of_numbers_on_one_line(tmp_path):
    value = {"counts": [[1, 2], [-3, 4.5e-7]], "text": ["[\n1\n]", "[ 1, 2 ]"], "none": []}
    save_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "[ 1, 2 ],\n" in text
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_no_cell_is_a_formula_and_names_are_read_back_as_they_were(tmp_path):
    names = ("=1+1", "+Bags", "-", "@Shoes", "'=1", "Ties")
    ids = ["=id", "-7", "@9", "10"]
    truth, logits = np.array([0, 3, 4, -1]), np.eye(6, dtype=np.float32)[[1, 0, 2, 5]]
    found = Predictions("test", ids, {"usage": truth}, {"usage": logits})
    labels = {"usage": names}
    counts = {"usage": [1] * 6}
    write_evaluation(
        tmp_path / "evaluation-test",
        evaluate_predictions(found, labels, resamples=10, train_counts=counts),
        found,
        labels,
    )
    for path in (tmp_path / "evaluation-test").glob("*.csv*"):
        for cell in (cell for row in rows(path) for cell in row if cell != "-7"):
            assert not cell.startswith(("=", "+", "-", "@")), path
    path = tmp_path / "evaluation-test" / "predictions.csv.gz"
    expected = (
        ids,
        ["=1+1", "@Shoes", "'=1", ""],
        ["+Bags", "=1+1", "-", "Ties"],
    )
    assert read_predictions(path) == expected
    (run,) = load_stored_runs([tmp_path], "test")
    assert (list(run.ids), run.truth.tolist(), run.prediction.tolist()) == (
        ids,
        [0, 3, 4, -1],
        [1, 0, 2, 5],
    )


def test_the_matrix_of_many_classes_is_stored_by_its_cells(tmp_path, result, monkeypatch):
    save_evaluation(tmp_path / "dense.json", result)
    save_json(tmp_path / "all.json", result)
    assert (tmp_path / "dense.json").read_bytes() == (tmp_path / "all.json").read_bytes()
    monkeypatch.setattr(files, "MATRIX_CLASSES", 2)
    nested = {**result, "heads": {"usage": dict(result), "unlabelled": {"num_examples": 0}}}
    save_evaluation(tmp_path / "sparse.json", nested)
    found = json.loads((tmp_path / "sparse.json").read_text())
    for head in (found, found["heads"]["usage"]):
        counts = np.zeros((3, 3), int)
        for truth, prediction, count in head["confusion_matrix"].pop("cells"):
            counts[truth, prediction] = count
        assert counts.tolist() == result["confusion_matrix"]["counts"]
        assert list(head["confusion_matrix"]) == ["rows", "columns", "classes"]
    assert read_evaluation(tmp_path / "sparse.json")["num_examples"] == 3
    assert "counts" in result["confusion_matrix"]
