import csv
import gzip
import importlib.util
import json
from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score, f1_score

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = load_script("results_table")


def predictions(run):
    path = RESULTS / run / "predictions.csv.gz"
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("document", "table"),
    [
        ("README.md", "readme_table"),
        ("docs/experiments.md", "all_runs_table"),
        ("docs/experiments.md", "labels_table"),
        ("docs/experiments.md", "seeds_table"),
    ],
)
def test_a_document_shows_the_table_of_the_stored_results(document, table):
    assert getattr(SCRIPT, table)() in (ROOT / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("run", SCRIPT.SHOWN)
def test_figures_are_those_of_the_predictions_by_scikit_learn(run):
    rows = predictions(run)
    truth, said = ([row[name] for row in rows] for name in ("truth", "prediction"))
    (kept,) = (r for r in SCRIPT.read_results() if r["run"] == run and r["label"] == "subCategory")
    assert len(rows) == len({row["id"] for row in rows}) == int(kept["photos"])
    assert kept["accuracy"] == f"{accuracy_score(truth, said):.4f}"
    assert kept["macro_f1"] == f"{f1_score(truth, said, average='macro'):.4f}"


@pytest.mark.parametrize("run", SCRIPT.SHOWN)
def test_rows_and_minutes_are_those_of_the_stored_evaluation_and_history(run):
    result = json.loads((RESULTS / run / "evaluation.json").read_text(encoding="utf-8"))
    rows = [row for row in SCRIPT.read_results() if row["run"] == run]
    found = {result["label"]: result, **result["heads"]}
    assert [row["label"] for row in rows] == list(found)
    for row in rows:
        for name in ("accuracy", "macro_f1"):
            score = found[row["label"]][name]
            shown = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
            assert shown == [f"{score[key]:.4f}" for key in ("value", "low", "high")]
    seconds = [
        float(row["seconds"])
        for path in (RESULTS / run).glob("history*.csv")
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    ]
    assert {row["minutes"] for row in rows} == {f"{sum(seconds) / 60:.1f}"}


@pytest.mark.parametrize("run", SCRIPT.SHOWN)
def test_test_split_is_the_published_one(run):
    from fashion_keras.data.splits import PUBLISHED_SHA256, ids_sha256

    assert ids_sha256([row["id"] for row in predictions(run)]) == PUBLISHED_SHA256["test"]
