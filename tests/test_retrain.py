"""The retrain command and the same step at the end of a training, on a run of a tiny network."""

import dataclasses
import json
import shutil
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from evaluation.fake_run import resplit

from fashion_keras.config import load_config
from fashion_keras.decision.parameters import Decision
from fashion_keras.progress import Reporter
from fashion_keras.retrain import main
from fashion_keras.run import load_run
from fashion_keras.train import _finish
from fashion_keras.training.trainer import train as run_training
from fashion_keras.training.workdir import held

OVERRIDES = {
    "model.arch": "tiny",
    "data.image_size": [40, 32],
    "data.auxiliary_labels": {"baseColour": 0.5},
    "training.epochs": 2,
    "training.batch_size": 16,
    "training.retrain_epochs": 30,
    "training.retrain_sampling": "square-root",
    "training.retrain_views": 3,
    "optimizer.learning_rate": 0.02,
    "optimizer.ema": 0,
    "decision.flip": True,
}


@pytest.fixture(scope="module")
def trained(tiny, records, tmp_path_factory):
    """A run whose heads say the opposite of what they have learnt."""
    workdir = tmp_path_factory.mktemp("runs") / "trained"
    workdir.mkdir()
    config = load_config(None, OVERRIDES)
    config.save(workdir / "config.yaml")
    run_training(config, records, workdir, say=lambda line: None)
    run = load_run(workdir)
    for label in run.labels:
        layer = run.model.get_layer(label)
        layer.set_weights([-weight for weight in layer.get_weights()])
    run.model.save(workdir / "best.keras")
    return workdir


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def retrain(run, records, *more):
    return main([str(x) for x in ("--model", run, "--data", records, *more)])


def test_heads_and_decision_are_new_and_shown(run, records, capsys):
    Decision("subCategory", temperature={"subCategory": 9.0}).save(run / "decision.json")
    before = load_run(run).model.get_layer("subCategory").get_weights()
    assert retrain(run, records, "--epochs", 30, "--views", 2) == 0
    shown = capsys.readouterr().out
    heads = json.loads((run / "heads.json").read_text())
    assert (heads["epochs"], heads["sampling"], heads["views"]) == (30, "natural", 2)
    assert set(heads["heads"]) == {"subCategory", "baseColour"}
    assert heads["heads"]["subCategory"]["share"] > 0
    assert f"{heads['heads']['subCategory']['after']['accuracy']:.4f}" in shown
    again = load_run(run)
    assert not np.array_equal(before[0], again.model.get_layer("subCategory").get_weights()[0])
    assert again.decision.flip, "the decision is the config's"
    assert again.decision.temperature["subCategory"] != 9.0
    assert "temperature" in shown and "best.keras" in shown


def test_training_ends_with_it_once(run, records):
    trained = SimpleNamespace(best_epoch=1, history=[{}], board=MagicMock())
    _finish(trained, records, run, Reporter(bars=False))
    heads = json.loads((run / "heads.json").read_text())
    assert (heads["epochs"], heads["sampling"], heads["views"]) == (30, "square-root", 3)
    model = (run / "best.keras").read_bytes()
    _finish(trained, records, run, Reporter(bars=False))
    assert (run / "best.keras").read_bytes() == model, "a finished run's heads were trained again"
    assert dataclasses.asdict(load_run(run).decision)["flip"]


def test_records_that_split_the_catalogue_otherwise_are_refused(run, records, tmp_path, capsys):
    before = (run / "best.keras").read_bytes()
    assert retrain(run, resplit(records, tmp_path / "other", run)) == 2
    assert "trained on another split of the catalogue" in capsys.readouterr().err
    assert (run / "best.keras").read_bytes() == before


def test_a_run_in_training_is_left_alone(run, records, capsys):
    before = (run / "best.keras").read_bytes()
    with held(run, fresh=False):
        assert retrain(run, records) == 2
    assert f"another process is training in {run}" in capsys.readouterr().err
    assert (run / "best.keras").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--data", "nowhere"), "no records at nowhere"),
        (("--model", "nowhere"), "no trained model at nowhere"),
    ],
)
def test_wrong_arguments_are_answered_in_a_line(run, records, capsys, more, message):
    before = (run / "best.keras").read_bytes()
    assert retrain(run, records, *more) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert (run / "best.keras").read_bytes() == before


def test_epochs_are_a_whole_number_from_1(run, records, capsys):
    with pytest.raises(SystemExit, match="2"):
        retrain(run, records, "--epochs", "0")
    assert "'0' is not a whole number from 1" in capsys.readouterr().err
