"""The calibrate command, end to end on a model whose answers are known beforehand."""

import json
import subprocess
import sys

import pytest
import yaml
from evaluation.fake_run import COUNTS, resplit, write_records, write_run

from fashion_keras.calibrate import main
from fashion_keras.decision.parameters import Decision
from fashion_keras.evaluate import main as evaluate_main


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    counts = {**COUNTS, "validation": 80}
    return write_records(tmp_path_factory.mktemp("records") / "plain", counts=counts)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def calibrate(run, records, *more):
    return main([str(x) for x in ("--model", run, "--data", records, *more)])


def scores(run, records, output):
    arguments = ("--model", run, "--data", records, "--split", "validation", "--output", output)
    assert evaluate_main([str(argument) for argument in arguments]) == 0
    return json.loads((output / "evaluation.json").read_text())


def test_decision_is_written_shown_and_used_by_evaluate(run, records, tmp_path, capsys):
    before = scores(run, records, tmp_path / "before")
    capsys.readouterr()
    assert calibrate(run, records, "--flip", "--class-bias", "--target-error", "0.3") == 0
    shown = capsys.readouterr().out
    decision = Decision.load(run / "decision.json")
    assert decision.label == "subCategory" and decision.flip and decision.num_examples == 80
    assert set(decision.temperature) == {"subCategory", "gender"}
    assert decision.accept["subCategory"].target_error == 0.3
    assert "flip" in shown and "temperature" in shown and "decision.json" in shown
    accept = decision.accept["subCategory"]
    assert f"subCategory {accept.threshold:>26.4f}  {accept.coverage:>6.1%}" in shown

    after = scores(run, records, tmp_path / "after")
    last = next(line for line in shown.splitlines() if line.startswith("temperature"))
    assert float(last.split()[1]) == pytest.approx(after["accuracy"]["value"], abs=1e-4)
    assert float(last.split()[2]) == pytest.approx(after["macro_f1"]["value"], abs=1e-4)
    assert after["accuracy"]["value"] >= before["accuracy"]["value"] - 0.001


def test_what_is_not_given_is_taken_from_the_runs_config(run, records):
    config = run / "config.yaml"
    raw = yaml.safe_load(config.read_text())
    raw["decision"] |= {"temperature": False, "target_error": 0.4}
    config.write_text(yaml.safe_dump(raw))
    assert calibrate(run, records) == 0
    decision = Decision.load(run / "decision.json")
    assert not decision.temperature and not decision.flip
    assert decision.accept["subCategory"].target_error == 0.4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--target-error", "1.5"), "decision.target_error = 1.5"),
        (("--data", "nowhere"), "no records at nowhere"),
        (("--model", "nowhere"), "no trained model at nowhere"),
    ],
)
def test_wrong_arguments_are_answered_in_a_line_and_leave_nothing(
    run, records, capsys, more, message
):
    assert calibrate(run, records, *more) == 2
    assert message in capsys.readouterr().err
    assert not (run / "decision.json").exists()


def test_records_that_split_the_catalogue_otherwise_are_refused(run, records, tmp_path, capsys):
    other = resplit(records, tmp_path / "other", run)
    assert calibrate(run, other) == 2
    assert "trained on another split of the catalogue" in capsys.readouterr().err
    assert not (run / "decision.json").exists()


def test_help_loads_no_tensorflow():
    program = (
        "import sys; from fashion_keras.calibrate import main; main(['--help'])\n"
        "assert 'tensorflow' not in sys.modules and 'scipy' not in sys.modules"
    )
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            f"try:\n {program.splitlines()[0]}\nexcept SystemExit: pass\n"
            + program.splitlines()[1],
        ],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "--class-bias" in ended.stdout
