import csv
import gzip
import importlib.util
import json
from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score, f1_score

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
FOLDERS = sorted(path.parent for path in RESULTS.glob("**/evaluation.json"))
PUBLISHED = [path for path in FOLDERS if path.parent.name not in ("stratified", "large")]


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_results():
    assert FOLDERS


@pytest.mark.parametrize("table", ["table", "heads_table", "seeds_table"])
def test_readme_shows_the_table_of_the_raw_files(table):
    made = getattr(load_script("results_table"), table)()
    assert made in (ROOT / "README.md").read_text(encoding="utf-8")


def test_performance_shows_the_table_of_the_histories():
    made = load_script("results_table").time_table()
    assert made in (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def test_insight_shows_the_table_of_the_long_tail():
    made = load_script("results_table").tail_table()
    assert made in (ROOT / "docs" / "insight.md").read_text(encoding="utf-8")


def test_the_long_tail_is_of_the_predictions_by_scikit_learn():
    folder = RESULTS / "resnet18"
    result = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    trained = {row["class"]: row["train_support"] for row in result["per_class"]}
    with gzip.open(folder / "predictions.csv.gz", "rt", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    truth = [row["truth"] for row in rows]
    said = [row["prediction"] for row in rows]
    classes = [name for name in sorted(set(truth)) if 10 <= trained[name] < 100]
    f1 = f1_score(truth, said, labels=classes, average="macro")
    photos = sum(name in classes for name in truth)
    header, _, *lines = load_script("results_table").tail_table().splitlines()
    assert header.split(" | ")[2] == f"10–99: {len(classes)} classes, {photos:,} photos"
    (line,) = (line for line in lines if line.startswith("| resnet18 |"))
    assert line.split(" | ")[2] == f"{f1:.3f}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_figures_are_those_of_the_predictions_by_scikit_learn(folder):
    with gzip.open(folder / "predictions.csv.gz", "rt", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    truth = [row["truth"] for row in rows]
    said = [row["prediction"] for row in rows]
    result = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert len(rows) == len({row["id"] for row in rows}) == result["num_examples"]
    assert result["accuracy"]["value"] == pytest.approx(accuracy_score(truth, said))
    assert result["macro_f1"]["value"] == pytest.approx(f1_score(truth, said, average="macro"))


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_test_split_is_the_published_one(folder):
    from fashion_keras.data.splits import PUBLISHED_SHA256, ids_sha256

    with gzip.open(folder / "predictions.csv.gz", "rt", newline="", encoding="utf-8") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    assert ids_sha256(ids) == PUBLISHED_SHA256["test"]
