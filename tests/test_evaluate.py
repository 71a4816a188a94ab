"""The evaluate command, end to end on a model whose answers are known beforehand."""

import csv
import dataclasses
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from evaluation.fake_run import (
    COUNTS,
    LABELS,
    on_black,
    product,
    resplit,
    write_records,
    write_run,
)
from PIL import Image
from report.html_check import Page
from sklearn import metrics as sklearn

from fashion_keras.compare import main as compare_main
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.decision.parameters import Acceptance, Decision
from fashion_keras.evaluate import main
from fashion_keras.evaluation.files import FILES, REPORT_FILES
from fashion_keras.export import main as export_main

NAMES = LABELS["subCategory"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_records(tmp_path_factory.mktemp("records") / "plain", counts=COUNTS)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="module")
def evaluated(run, records, tmp_path_factory):
    """The folder of one evaluation of the test split."""
    output = tmp_path_factory.mktemp("out") / "scores"
    assert evaluate(run, records, "--output", output, "--resamples", 200) == 0
    return output


def evaluate(model, records, *more, split="test"):
    return main([str(x) for x in ("--model", model, "--data", records, "--split", split, *more)])


def read_predictions(folder):
    with gzip.open(folder / "predictions.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_json(folder):
    return json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))


def test_predictions_are_what_the_colours_say(evaluated):
    rows = {row["id"]: row for row in read_predictions(evaluated)}
    assert len(rows) == COUNTS["test"]
    for index in range(COUNTS["test"]):
        identifier, colour, labels = product("test", index)
        assert rows[identifier]["truth"] == labels["subCategory"]
        assert rows[identifier]["prediction"] == NAMES[colour.index(max(colour))]


def test_scores_are_scikit_learns_on_the_predictions_file(evaluated):
    rows = read_predictions(evaluated)
    truth, predicted = [r["truth"] for r in rows], [r["prediction"] for r in rows]
    result = read_json(evaluated)
    assert result["accuracy"]["value"] == pytest.approx(sklearn.accuracy_score(truth, predicted))
    assert result["accuracy"]["value"] == pytest.approx(0.8)  # every 5th is labelled wrongly
    macro = sklearn.f1_score(truth, predicted, average="macro")
    everything = sklearn.f1_score(truth, predicted, average="macro", labels=NAMES, zero_division=0)
    assert result["macro_f1"]["value"] == pytest.approx(macro)
    assert result["macro_f1_all"]["value"] == pytest.approx(everything)
    matrix = sklearn.confusion_matrix(truth, predicted, labels=NAMES)
    assert result["confusion_matrix"]["counts"] == matrix.tolist()


def test_the_json_says_what_was_evaluated_on_what(evaluated, run, records):
    result = read_json(evaluated)
    assert result["split"] == "test"
    assert result["label"] == "subCategory"
    assert result["num_examples"] == COUNTS["test"]
    assert result["model"] == str(run)
    assert result["config"] == str(run / "config.yaml")
    assert result["records"] == str(records)
    assert result["records_source"] == {"name": "plain colours"}


def test_training_photos_are_counted_from_the_records(evaluated):
    train = [product("train", index)[2]["subCategory"] for index in range(COUNTS["train"])]
    found = {row["class"]: row["train_support"] for row in read_json(evaluated)["per_class"]}
    assert found == {name: train.count(name) for name in NAMES}


def test_every_head_is_scored(evaluated):
    heads = read_json(evaluated)["heads"]
    labelled = [product("test", index)[2]["gender"] for index in range(COUNTS["test"])]
    assert heads["gender"]["num_examples"] == sum(label is not None for label in labelled)
    assert heads["gender"]["accuracy"]["value"] == 1


def test_label_makes_another_head_the_headline(run, records, tmp_path, capsys):
    assert evaluate(run, records, "--label", "gender", "--output", tmp_path / "out") == 0
    assert read_json(tmp_path / "out")["label"] == "gender"
    assert list(read_json(tmp_path / "out")["heads"]) == ["subCategory"]
    assert {row["prediction"] for row in read_predictions(tmp_path / "out")} == {"Men", "Women"}
    assert capsys.readouterr().out.startswith("gender of split test")


def test_output_goes_into_the_run_by_default_and_replaces_an_earlier_one(run, records, capsys):
    for _ in range(2):
        assert evaluate(run, records, "--resamples", 10, split="validation") == 0
    folder = run / "evaluation-validation"
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert str(folder) in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--output", "--report"])
def test_a_folder_that_is_named_gets_a_copy_and_the_run_its_own(records, tmp_path, option, capsys):
    run = write_run(tmp_path / "run")
    assert evaluate(run, records, option, tmp_path / "copy", "--resamples", 10) == 0
    assert {path.name for path in (run / "evaluation-test").iterdir()} == set(FILES)
    assert read_predictions(run / "evaluation-test") == read_predictions(tmp_path / "copy")
    told = capsys.readouterr().out
    assert f"written to {run / 'evaluation-test'}" in told
    assert f"written to {tmp_path / 'copy'}" in told


def test_what_a_report_was_made_of_is_what_compare_and_the_model_card_find(
    records, tmp_path, capsys
):
    runs = [write_run(tmp_path / "runs" / name) for name in ("a", "b")]
    for run in runs:
        report = tmp_path / "reports" / run.name
        assert evaluate(run, records, "--report", report, "--resamples", 10) == 0
    assert compare_main([*map(str, runs), "--resamples", "10"]) == 0
    assert f"split test, the same {COUNTS['test']} photos" in capsys.readouterr().out
    assert export_main(["--model", str(runs[0]), "--output", str(tmp_path / "models")]) == 0
    card = (tmp_path / "models" / "1" / "README.md").read_text(encoding="utf-8")
    assert f"## Scores, test split, {COUNTS['test']} photos" in card


def test_the_runs_own_label_by_name_is_evaluated_where_compare_looks(records, tmp_path):
    run = write_run(tmp_path / "run")
    assert evaluate(run, records, "--label", "subCategory", "--resamples", 10) == 0
    assert evaluate(run, records, "--label", "gender", "--resamples", 10) == 0
    found = {path.name for path in run.glob("evaluation-*")}
    assert found == {"evaluation-test", "evaluation-test-gender"}


@pytest.fixture
def read_only_run(tmp_path, monkeypatch):
    """A run in a folder that may not be written to; by the system's word, as root may anything."""
    run = write_run(tmp_path / "run")
    monkeypatch.setattr(
        "fashion_keras.evaluation.files.os.access",
        lambda path, mode, access=os.access: Path(path) != run and access(path, mode),
    )
    return run


def test_a_run_that_cannot_be_written_to_says_so_before_the_work(read_only_run, records, capsys):
    code = evaluate(read_only_run, records)
    expect_error(capsys, code, f"cannot write {read_only_run / 'evaluation-test'}", "--output DIR")
    assert evaluate(read_only_run, records, "--tensorboard", "--output", "x") == 2
    assert "leave --tensorboard out" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--output", "--report"])
def test_of_a_run_that_cannot_be_written_to_a_named_folder_gets_the_scores(
    read_only_run, records, tmp_path, option, capsys
):
    assert evaluate(read_only_run, records, option, tmp_path / "copy", "--resamples", 10) == 0
    told = capsys.readouterr().err
    assert f"warning: cannot write {read_only_run / 'evaluation-test'}" in told
    assert f"the scores go to {tmp_path / 'copy'} alone" in told
    assert len(read_predictions(tmp_path / "copy")) == COUNTS["test"]
    assert not list(read_only_run.glob("evaluation-*"))


def test_a_keras_file_is_evaluated_as_its_run_is(run, records, evaluated, tmp_path):
    assert evaluate(run / "best.keras", records, "--output", tmp_path / "out") == 0
    assert read_predictions(tmp_path / "out") == read_predictions(evaluated)


def test_a_keras_file_alone_takes_its_class_names_from_the_records(
    run, records, evaluated, tmp_path, capsys
):
    (tmp_path / "moved.keras").write_bytes((run / "best.keras").read_bytes())
    assert evaluate(tmp_path / "moved.keras", records) == 0
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if "no config.yaml beside it" in line and "warning: " in line]
    folder = tmp_path / "moved-evaluation-test"
    assert read_predictions(folder) == read_predictions(evaluated)
    assert read_json(folder)["config"] is None


def test_records_that_split_the_catalogue_otherwise_are_scored_with_a_warning(
    run, records, evaluated, tmp_path, capsys
):
    mine = shutil.copytree(run, tmp_path / "run")
    other = resplit(records, tmp_path / "other", mine)
    assert evaluate(mine, other, "--resamples", 20) == 0
    assert "may have trained on photos that are scored here" in capsys.readouterr().err
    assert read_predictions(mine / "evaluation-test") == read_predictions(evaluated)


@pytest.fixture(scope="module")
def reported(run, records, tmp_path_factory):
    """The folder of a report of the test split, a third wrong allowed."""
    output = tmp_path_factory.mktemp("out") / "report"
    more = ("--report", output, "--resamples", 200, "--target-error", 0.34, "--embeddings")
    assert evaluate(run, records, *more) == 0
    return output


def test_a_report_is_an_evaluation_and_more(reported, evaluated):
    assert {path.name for path in reported.iterdir()} == {*FILES, *REPORT_FILES}
    assert read_predictions(reported) == read_predictions(evaluated)
    plain, full = read_json(evaluated), read_json(reported)
    for head in full["heads"].values():
        assert head.pop("automation")["check"]["photos"] == head["num_examples"]
    assert {key: full[key] for key in plain} == plain


def test_the_reports_page_is_whole_and_fetches_nothing(reported):
    page = Page((reported / "report.html").read_text(encoding="utf-8"))
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    assert page.count("svg") == 6
    assert "80.00" in page.text  # the accuracy: every 5th is labelled wrongly


def maps_shown(page):
    return [a for t, a in page.tags if a.get("alt", "").startswith("where the model looked")]


def test_the_page_shows_each_mistake_and_no_map_where_no_place_counts_more_than_others(reported):
    page = Page((reported / "report.html").read_text(encoding="utf-8"))
    wrong = {product("test", index)[0] for index in range(0, COUNTS["test"], 5)}
    shown = {a["alt"].split("product ")[1] for t, a in page.tags if "product " in a.get("alt", "")}
    assert wrong <= shown
    assert not maps_shown(page)  # every photo is of one colour


def test_the_page_shows_each_mistake_and_unsure_hit_with_where_the_model_looked(tmp_path):
    run = write_run(tmp_path / "run", scale=3)
    records = write_records(tmp_path / "records", draw=on_black)
    assert evaluate(run, records, "--report", tmp_path / "report", "--resamples", 10) == 0
    page = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    assert len(maps_shown(page)) == COUNTS["test"] // 5 + 24


def test_the_reports_pictures_are_pictures(reported):
    for path in reported.glob("*.png"):
        with Image.open(path) as picture:
            picture.verify()


def test_parquet_holds_truth_predictions_and_features(reported):
    table = pd.read_parquet(reported / "predictions.parquet").set_index("id")
    assert len(table) == COUNTS["test"]
    for index in range(COUNTS["test"]):
        identifier, colour, labels = product("test", index)
        assert table.truth[identifier] == labels["subCategory"]
        assert table.prediction[identifier] == NAMES[colour.index(max(colour))]
        assert table.embedding[identifier] == pytest.approx([c / 100 for c in colour], rel=1e-4)


def test_the_threshold_is_chosen_on_validation_and_checked_on_test(reported):
    found = read_json(reported)["automation"]
    assert (found["chosen_on"], found["target_error"]) == ("validation", 0.34)
    # All are equally sure here: the threshold takes every photo or none.
    if found["threshold"] is None:
        assert found["check"] is None
    else:
        assert found["check"]["accepted"] == COUNTS["test"]


def test_a_runs_own_temperature_and_threshold_are_shown_without_predicting_validation(
    run, records, tmp_path
):
    decided = tmp_path / "run"
    shutil.copytree(run, decided)
    accept = {"subCategory": Acceptance(0.5, 0.25, coverage=1.0, error=0.2)}
    temperature = {"subCategory": 0.5}
    Decision("subCategory", num_examples=12, temperature=temperature, accept=accept).save(
        decided / "decision.json"
    )
    only_test = write_records(tmp_path / "records", counts={**COUNTS, "validation": 0})
    assert evaluate(decided, only_test, "--report", tmp_path / "out") == 0
    found = read_json(tmp_path / "out")
    assert found["automation"]["is_the_runs_own"]
    assert found["automation"]["threshold"] == 0.5
    assert found["calibration"]["built_in"]
    assert found["calibration"]["temperature"] == 0.5


def test_a_report_without_validation_says_so(run, tmp_path):
    records = write_records(tmp_path / "records", counts={**COUNTS, "validation": 0})
    assert evaluate(run, records, "--report", tmp_path / "out") == 0
    assert "there is no validation split" in (tmp_path / "out" / "report.html").read_text()


def test_a_report_of_a_head_that_misses_labels_leaves_those_photos_out(run, records, tmp_path):
    more = ("--label", "gender", "--report", tmp_path / "out")
    assert evaluate(run, records, *more) == 0
    found = read_json(tmp_path / "out")
    assert found["num_unlabelled"] > 0
    assert found["automation"]["curve"]["accepted"][-1] == found["num_examples"]
    assert found["calibration"]["after"]["nll"] <= found["calibration"]["before"]["nll"]


@pytest.mark.parametrize("more", [("--target-error", "0.1"), ("--embeddings",)])
def test_options_of_a_report_want_one(run, records, more, capsys):
    with pytest.raises(SystemExit) as stopped:
        evaluate(run, records, *more)
    assert stopped.value.code == 2
    assert "give --report DIR too" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["0", "1", "-1", "nan", "5%"])
def test_a_target_error_that_is_no_share_is_refused(run, records, tmp_path, share, capsys):
    with pytest.raises(SystemExit) as stopped:
        evaluate(run, records, "--report", tmp_path / "out", f"--target-error={share}")
    assert stopped.value.code == 2
    assert "is not a share between 0 and 1" in capsys.readouterr().err


def expect_error(capsys, code, *words):
    err = capsys.readouterr().err
    assert code == 2
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) <= 3
    for word in words:
        assert word in err


def test_a_missing_run_is_one_clear_message(records, tmp_path, capsys):
    code = evaluate(tmp_path / "nowhere", records)
    expect_error(capsys, code, "no trained model at", "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_missing_records_are_one_clear_message(run, tmp_path, capsys):
    expect_error(capsys, evaluate(run, tmp_path / "nowhere"), "no records at")


def test_an_unknown_split_is_one_clear_message(run, records, capsys):
    code = evaluate(run, records, split="tests")
    expect_error(capsys, code, "unknown split 'tests'", "did you mean 'test'?")


def test_an_empty_split_is_one_clear_message(run, tmp_path, capsys):
    records = write_records(tmp_path / "records", counts={**COUNTS, "test": 0})
    expect_error(capsys, evaluate(run, records), "split 'test'", "is empty")


def test_an_unknown_label_is_one_clear_message(run, records, capsys):
    code = evaluate(run, records, "--label", "subcategory")
    expect_error(capsys, code, "unknown label 'subcategory'", "did you mean 'subCategory'?")


def test_a_label_the_model_has_no_head_for_is_one_clear_message(run, tmp_path, capsys):
    labels = {**LABELS, "season": ("Fall", "Summer")}
    records = tmp_path / "records"
    write_records(records, {k: v for k, v in labels.items() if k != "season"})
    info = DatasetInfo.load(records)
    counts = {"season": (0, 0)}
    splits = {
        name: dataclasses.replace(split, class_counts={**split.class_counts, **counts})
        for name, split in info.splits.items()
    }
    dataclasses.replace(
        info, labels={**info.labels, "season": labels["season"]}, splits=splits
    ).save(records)
    code = evaluate(run, records, "--label", "season")
    expect_error(capsys, code, "has no head 'season'", "trained on subCategory, gender")


def test_records_of_other_classes_are_refused_and_the_output_untouched(
    run, evaluated, tmp_path, capsys
):
    records = write_records(
        tmp_path / "records", {**LABELS, "subCategory": ("Bags", "Shoes", "Topwear", "Wallets")}
    )
    before = {path.name: path.read_bytes() for path in evaluated.iterdir()}
    code = evaluate(run, records, "--output", evaluated)
    expect_error(capsys, code, "trained on other classes", "Wallets")
    assert {path.name: path.read_bytes() for path in evaluated.iterdir()} == before


def test_a_run_as_output_is_refused_and_untouched(run, records, capsys):
    before = sorted(path.name for path in run.iterdir())
    code = evaluate(run, records, "--output", run)
    expect_error(capsys, code, "other files than an evaluation's")
    assert sorted(path.name for path in run.iterdir()) == before


def test_a_truncated_shard_is_one_clear_message(run, tmp_path, capsys):
    records = write_records(tmp_path / "records")
    shard = next(records.glob("test-*"))
    shard.write_bytes(shard.read_bytes()[:-9])
    code = evaluate(run, records, "--output", tmp_path / "out")
    expect_error(capsys, code, "truncated", shard.name)
    assert not (tmp_path / "out").exists()


def test_a_wrong_number_is_refused_by_the_parser(run, records, capsys):
    with pytest.raises(SystemExit) as stopped:
        evaluate(run, records, "--resamples", "0")
    assert stopped.value.code == 2
    assert "'0' is not a whole number from 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--model", "m", "--data", "d", "--split", "test"], ["--model", "m"]],
    ids=["help", "missing records", "missing arguments"],
)
def test_help_and_wrong_arguments_load_no_tensorflow(arguments):
    code = (
        "import sys\n"
        "from fashion_keras.evaluate import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('loaded', [m for m in ('tensorflow', 'keras', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_tensorboard_gets_curves_and_projector_of_the_split(records, tmp_path):
    run = write_run(tmp_path / "run")
    for _ in range(2):  # again replaces it
        assert evaluate(run, records, "--resamples", 50, "--tensorboard") == 0
    board = run / "tensorboard" / "evaluation-test"
    lines = (board / "products.tsv").read_text().splitlines()
    assert lines[0] == "subCategory\tprediction\tright\tid"
    assert len(lines) == 1 + COUNTS["test"]
    said = {row["id"]: row for row in read_predictions(run / "evaluation-test")}
    for line in lines[1:]:
        truth, prediction, right, identifier = line.split("\t")
        assert (truth, prediction) == (said[identifier]["truth"], said[identifier]["prediction"])
        assert right == ("yes" if truth == prediction else "no")
    assert len(list(board.glob("events*"))) == 1


def test_tensorboard_of_a_bare_file_is_refused(run, records, capsys):
    with pytest.raises(SystemExit) as ended:
        evaluate(run / "best.keras", records, "--tensorboard")
    assert ended.value.code == 2 and "writes into a run's folder" in capsys.readouterr().err
