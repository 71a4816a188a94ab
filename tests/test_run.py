"""A run's folder: which records it knows, and what is said where it is damaged."""

import dataclasses
import json
import os
import shutil

import pytest
from evaluation.fake_run import write_records, write_run

from fashion_keras.config import load_config
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.decision.parameters import Decision
from fashion_keras.errors import UserError
from fashion_keras.provenance import is_current
from fashion_keras.run import (
    check_records,
    check_split,
    has_other_split,
    load_run,
    load_run_config,
    save_config,
    save_decision,
    save_records,
)

PUBLISHED = {"strategy": "published"}
GROUPED = {"strategy": "grouped", "seed": 0, "label": "subCategory"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = write_records(tmp_path_factory.mktemp("records") / "plain")
    return DatasetInfo.load(folder)


def info(written, catalogue="abc", split=PUBLISHED):
    source = {"fingerprint": catalogue} if catalogue else {"name": "ours"}
    return dataclasses.replace(written, source=source, split=split)


def test_another_split_of_its_catalogue_is_told_from_another_catalogue(written, tmp_path):
    save_records(tmp_path, info(written))
    assert has_other_split(tmp_path, info(written, split=GROUPED))
    assert has_other_split(tmp_path / "best.keras", info(written, split=GROUPED))
    assert not has_other_split(tmp_path, info(written))
    assert not has_other_split(tmp_path, info(written, catalogue="def", split=GROUPED))
    with pytest.raises(UserError, match="another split of the catalogue of rec, and knows"):
        check_split(tmp_path, info(written, split=GROUPED), "rec")
    check_split(tmp_path, info(written), "rec")


def test_a_run_or_records_that_do_not_say_where_they_are_from_are_taken(written, tmp_path):
    assert not has_other_split(tmp_path, info(written, split=GROUPED))
    save_records(tmp_path, info(written, catalogue=None))
    assert not has_other_split(tmp_path, info(written, catalogue=None, split=GROUPED))


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_file_of_a_run_is_named(written, tmp_path, content):
    run = write_run(tmp_path / "run")
    (run / "records.json").write_text(content)
    with pytest.raises(UserError, match=r"records\.json is damaged"):
        check_records(run, written, "rec")
    (run / "run.json").unlink()  # as earlier versions wrote a run
    (run / "labels.json").write_text(content)
    with pytest.raises(UserError, match=r"labels\.json is damaged"):
        load_run(run)


def test_labels_in_another_order_are_refused(tmp_path):
    run = write_run(tmp_path / "run")
    labels = json.loads((run / "labels.json").read_text())
    labels["gender"].reverse()
    (run / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(UserError, match=r"labels\.json is not what the run wrote"):
        load_run(run)


@pytest.mark.parametrize("text", ["", "data: {}\n", "data: {label: x}\nmodel:\n"])
def test_an_emptied_config_is_damaged_also_where_nothing_is_noted(tmp_path, text):
    run = write_run(tmp_path / "run")
    (run / "run.json").unlink()
    (run / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml is damaged \(it has no (data|model)\)"):
        load_run_config(run)


def test_a_config_that_was_changed_is_refused(tmp_path):
    save_config(tmp_path, load_config(None))
    assert load_run_config(tmp_path) == load_config(None)
    load_config(None, {"data.resize": "pad"}).save(tmp_path / "config.yaml")
    with pytest.raises(UserError, match=r"config\.yaml is not what the run wrote"):
        load_run_config(tmp_path)


def test_a_decision_fitted_to_another_model_is_refused_and_can_be_done_without(tmp_path):
    run = write_run(tmp_path / "run")
    save_decision(run, Decision("subCategory", flip=True), "best.keras")
    assert load_run(run).decision.flip
    shutil.copy(write_run(tmp_path / "other", bias=1.0) / "best.keras", run)
    with pytest.raises(UserError, match=r"made from another best\.keras.*\n?.*calibrate"):
        load_run(run)
    assert load_run(run, decided=False).decision is None


def test_a_runs_history_is_a_table_and_a_damaged_one_a_line(tmp_path):
    run = load_run(write_run(tmp_path / "run"))
    assert run.history.empty
    file = tmp_path / "run" / "history.csv"
    file.write_text("epoch,loss,val_loss\n1,0.5,\n2,0.25,0.75\n")
    assert run.history["epoch"].tolist() == [1, 2]
    assert run.history["loss"].tolist() == [0.5, 0.25] and run.history["val_loss"][1] == 0.75
    for damage in ('"', "3,much,0\n", "3,0,0,0\n"):
        file.write_text("epoch,loss,val_loss\n1,0.5,0.5\n" + damage)
        with pytest.raises(UserError, match=r"history\.csv is damaged"):
            _ = run.history


def test_a_run_that_was_moved_is_as_it_was(tmp_path):
    run = write_run(tmp_path / "run")
    save_decision(run, Decision("subCategory", flip=True), "best.keras")
    moved = shutil.move(run, tmp_path / "moved")
    os.utime(moved / "decision.json", (0, 0))
    assert is_current(moved, "decision.json", "best.keras")
    assert load_run(moved).decision.flip
