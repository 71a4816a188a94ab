"""scripts/keep_results.py: what it takes and leaves out, and what a missing piece does."""

import subprocess
import sys
from pathlib import Path

import pytest
from test_results_table import RESULTS, ROOT, load_script

SCORES = ("evaluation.json", "per_class.csv", "confusion_matrix.png", "predictions.csv.gz")


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "somewhere" / "resnet18"
    folder.mkdir(parents=True)
    for name in ("config.yaml", "history.csv", "decision.json", "best.keras"):
        (folder / name).write_text(name)
    (folder / "evaluation.json").write_text("of validation")
    return folder


@pytest.fixture
def evaluation(tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    for name in (*SCORES, "report.html"):
        (folder / name).write_text(name)
    return folder


def test_what_a_result_rests_on_is_kept_and_no_more(run, evaluation, tmp_path):
    log = tmp_path / "log"
    log.write_bytes(
        b"2026-11-25 18:20:00.1: I tensorflow/core: oneDNN\n"
        b"train:  10%|# | 1/10\rtrain: 100%|##| 10/10\r\n"
        b"50%|##\repoch 1/2  loss 3.1\n"
        b"\nrun: " + str(run).encode() + b"  (watch it)\n"
    )
    keep = load_script("keep_results").keep
    for _ in range(2):  # the second replaces the first
        target = keep(run, evaluation, [log], "mine", tmp_path / "results")
    kept = {path.name for path in target.iterdir()}
    of_run = {"config.yaml", "history.csv", "decision.json", "validation.json"}
    assert kept == {*of_run, "log.txt", *SCORES}
    assert (
        target / "log.txt"
    ).read_text() == "epoch 1/2  loss 3.1\nrun: runs/resnet18  (watch it)\n"
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["mine"]


def test_a_missing_piece_is_named_and_what_was_kept_stays(run, evaluation, tmp_path):
    keep = load_script("keep_results").keep
    target = keep(run, evaluation, [], "mine", tmp_path / "results")
    (evaluation / "predictions.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"predictions\.csv\.gz"):
        keep(run, evaluation, [], "mine", tmp_path / "results")
    assert (target / "predictions.csv.gz").is_file()
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["mine"]
    command = [sys.executable, ROOT / "scripts" / "keep_results.py", run]
    asked = subprocess.run(
        [*command, "--evaluation", evaluation], capture_output=True, text=True, check=False
    )
    assert asked.returncode == 2 and asked.stderr.endswith("predictions.csv.gz: not found\n")


@pytest.mark.parametrize("log", sorted(RESULTS.glob("**/log.txt")), ids=lambda p: p.parent.name)
def test_kept_logs_hold_nothing_to_leave_out(log):
    assert load_script("keep_results").kept_lines(log, Path("/nowhere")) == [
        line for line in log.read_text(encoding="utf-8").splitlines() if line
    ]
