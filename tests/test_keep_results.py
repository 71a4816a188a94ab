"""scripts/keep_results.py: the rows it writes, what it replaces, what a missing piece does."""

import csv
import json
import shutil

import pytest
from test_results_table import RESULTS, load_script

SCRIPT = load_script("keep_results")


@pytest.fixture
def run(tmp_path):
    """A run's folder as `train` and `evaluate` leave it, from a stored one."""
    folder = tmp_path / "runs" / "mine"
    (folder / "evaluation-test").mkdir(parents=True)
    for name in SCRIPT.OF_RUN:
        shutil.copyfile(RESULTS / "resnet18" / name, folder / name)
    for name in SCRIPT.OF_EVALUATION:
        shutil.copyfile(RESULTS / "resnet18" / name, folder / "evaluation-test" / name)
    shutil.copyfile(RESULTS / "resnet18" / "evaluation.json", folder / "evaluation.json")
    return folder


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    shutil.copyfile(RESULTS / "results.csv", folder / "results.csv")
    return folder


def read(results):
    return list(csv.DictReader((results / "results.csv").read_text("utf-8").splitlines()))


def test_a_run_gets_a_row_a_label_and_its_files_and_replaces_its_earlier_ones(run, results):
    before = read(results)
    rows = SCRIPT.rows_of(run, "resnet18", "fashion-keras train", "2 cores")
    for _ in range(2):
        SCRIPT.keep(run, rows, results, folder=True)
    after = read(results)
    assert after[: len(before)] == before
    mine = after[len(before) :]
    same = [row for row in before if row["run"] == "resnet18"]
    scores = ("label", "photos", "accuracy", "macro_f1_low", "epochs", "minutes", "split", "seed")
    assert [[r[k] for k in scores] for r in mine] == [[r[k] for k in scores] for r in same]
    kept = sorted(path.name for path in (results / "mine").iterdir())
    assert kept == sorted((*SCRIPT.OF_RUN, *SCRIPT.OF_EVALUATION))
    assert sorted(p.name for p in results.iterdir()) == ["mine", "results.csv"]


def test_a_missing_piece_is_named_and_nothing_changes(run, results):
    (run / "evaluation-test" / "predictions.csv.gz").unlink()
    rows = SCRIPT.rows_of(run, "resnet18", "fashion-keras train", "2 cores")
    with pytest.raises(FileNotFoundError, match=r"predictions\.csv\.gz"):
        SCRIPT.keep(run, rows, results, folder=True)
    (run / "evaluation-test" / "evaluation.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"evaluation\.json"):
        SCRIPT.rows_of(run, "resnet18", "fashion-keras train", "2 cores")
    assert [p.name for p in results.iterdir()] == ["results.csv"]
    assert json.dumps(read(results)) == json.dumps(
        list(csv.DictReader((RESULTS / "results.csv").read_text("utf-8").splitlines()))
    )
