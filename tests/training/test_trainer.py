import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import yaml
from sklearn.metrics import f1_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_records import read_history

from fashion_keras.config import load_config
from fashion_keras.data.pipeline import make_dataset
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.models.classifier import layers_of
from fashion_keras.run import load_run
from fashion_keras.training import optimizer, trainer
from fashion_keras.training.callbacks import EpochLine
from fashion_keras.training.checkpoint import checkpoints
from fashion_keras.training.trainer import train

OVERRIDES = {
    "model.arch": "tiny",
    "data.image_size": [40, 32],
    "data.auxiliary_labels": {"baseColour": 0.5},
    "training.epochs": 6,
    "training.batch_size": 16,
    "training.label_smoothing": 0.1,
    "optimizer.ema": 0.9,
    "optimizer.warmup_epochs": 0.5,
}


pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture(scope="module")
def whole(records, tmp_path_factory):
    """A run of six epochs that nothing interrupts."""
    workdir = tmp_path_factory.mktemp("whole")
    config = load_config(None, OVERRIDES)
    trained = train(config, records, workdir, say=lambda line: None)
    trained.board.write_best({"macro_f1": 0.5}, step=len(trained.history) + 1)
    return workdir


def test_history_has_a_row_an_epoch_with_both_macro_f1s_of_every_head(whole):
    rows = read_history(whole)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    for name in (
        "loss",
        "val_loss",
        "accuracy",
        "val_accuracy",
        "macro_f1",
        "val_macro_f1",
        "val_macro_f1_all",
        "val_baseColour_macro_f1",
        "learning_rate",
        "photos_per_second",
    ):
        assert name in rows[0]


def test_best_model_scores_what_the_history_says_by_scikit_learn(whole, records):
    model = keras.models.load_model(whole / "best.keras")
    dataset = make_dataset(records, "validation", ["subCategory"], (40, 32), 7)
    truth = np.concatenate([labels["subCategory"].numpy().argmax(1) for _, labels in dataset])
    said = np.concatenate(
        [model.predict_on_batch(images)["subCategory"].argmax(1) for images, _ in dataset]
    )
    expected = f1_score(truth, said, average="macro")
    assert max(row["val_macro_f1"] for row in read_history(whole)) == pytest.approx(expected)


def test_tensorboard_holds_scalars_pictures_config_and_hyperparameters(whole):
    board, train_board, validation = (
        EventAccumulator(str(whole / "tensorboard" / part)).Reload()
        for part in ("", "train", "validation")
    )
    found = set(train_board.Tags()["tensors"])
    assert {"2 accuracy and loss/loss", "5 speed/learning_rate"} <= found
    assert {"5 speed/photos_per_second", "6 pictures/training_photos"} <= found
    found = set(validation.Tags()["tensors"])
    assert {"2 accuracy and loss/loss", "1 macro-F1/macro_f1", "7 F1 of each class/Bags"} <= found
    steps = [event.step for event in validation.Tensors("1 macro-F1/macro_f1")]
    assert steps == [1, 2, 3, 4, 5, 6]
    found = set(board.Tags()["tensors"])
    assert {"4 best epoch/macro_f1", "_hparams_/session_start_info"} <= found
    text = board.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert yaml.safe_load(text.strip("`").removeprefix("yaml"))["model"]["arch"] == "tiny"


def test_killed_in_mid_epoch_and_resumed_it_has_the_history_of_the_whole_run(
    whole, records, tmp_path
):
    workdir = tmp_path / "killed"
    load_config(None, OVERRIDES).save(tmp_path / "config.yaml")
    program = (
        "import sys; from fashion_keras.models.registry import ARCHITECTURES;"
        "ARCHITECTURES['tiny'] = 'tiny_arch';"
        "from fashion_keras.train import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "--workdir", workdir, "--data", records]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            [*command, "--config", tmp_path / "config.yaml"],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        deadline = time.monotonic() + 240
        while len(checkpoints(workdir / "checkpoints")) == 0:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, "no checkpoint in four minutes"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = checkpoints(workdir / "checkpoints")[-1][0]
    assert done < 6, "the run was over before it was killed"

    trained = train(load_config(workdir / "config.yaml"), records, workdir, say=lambda line: None)

    expected, found = read_history(whole), read_history(workdir)
    assert len(found) == 6 and trained.history[-1]["epoch"] == 6
    for row, wanted in zip(found, expected, strict=True):
        for name in wanted.keys() - {"seconds", "photos_per_second"}:
            assert row[name] == pytest.approx(wanted[name], rel=1e-3, abs=1e-4), (row, name)


@pytest.mark.slow
def test_stages_share_the_epochs_and_a_run_stopped_between_them_resumes_to_the_same_history(
    records, tmp_path, monkeypatch
):
    overrides = {**OVERRIDES, "training.head_epochs": 1, "training.epochs": 2}
    config, lines = load_config(None, overrides), []
    train(config, records, tmp_path / "whole", say=lines.append)
    assert any("heads alone" in line for line in lines)
    expected = read_history(tmp_path / "whole")
    assert [row["epoch"] for row in expected] == [1, 2]

    def power_cut(self, batch, logs=None):
        if self._bar.total and self.model.get_layer("backbone").trainable:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("fashion_keras.training.callbacks.EpochLine.on_train_batch_begin", power_cut)
        train(config, records, tmp_path / "cut", say=lambda line: None)
    assert len(read_history(tmp_path / "cut")) == 1
    train(config, records, tmp_path / "cut", say=lambda line: None)
    for row, wanted in zip(read_history(tmp_path / "cut"), expected, strict=True):
        for name in wanted.keys() - {"seconds", "photos_per_second"}:
            assert row[name] == pytest.approx(wanted[name], rel=1e-3, abs=1e-4), (row, name)


# Cut among the small photos, and where they grow. The first is also a cut like any other.
@pytest.mark.parametrize("cut", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_photos_grow_and_a_run_cut_between_resumes_alike(records, tmp_path, monkeypatch, cut):
    overrides = {
        **OVERRIDES,
        "training.epochs": 3,
        "training.progressive": [{"epochs": 2, "image_size": [32, 32]}],
        "training.gradient_accumulation": 2,
        "training.logit_adjustment": 1.0,
        "data.sampling": "square-root",
        "data.random_erasing": 0.5,
        "optimizer.schedule": "one-cycle",
    }
    config, lines = load_config(None, overrides), []
    begin = EpochLine.on_epoch_begin

    def power_cut(self, epoch, logs=None):
        if epoch == cut:  # what is on the disk if it ends here
            shutil.copytree(tmp_path / "whole", tmp_path / "cut")
        begin(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(EpochLine, "on_epoch_begin", power_cut)
        train(config, records, tmp_path / "whole", say=lines.append)
    titles = [line for line in lines if line.startswith("epochs ")]
    assert [title.split(":")[0] for title in titles] == ["epochs 1 to 2", "epochs 3 to 3"]
    assert "32×32" in titles[0] and "40×32" in titles[1]
    best = keras.models.load_model(tmp_path / "whole" / "best.keras")
    assert best.input_shape[1:3] == (40, 32), "the best of the small photos was kept"
    expected = read_history(tmp_path / "whole")
    # One schedule over both sizes: 1-cycle over the first three epochs falls from the second on.
    learning_rates = [row["learning_rate"] for row in expected]
    assert learning_rates[0] > learning_rates[1] > learning_rates[2]

    workdir = tmp_path / "cut"
    assert len(read_history(workdir)) == cut
    train(config, records, workdir, say=lambda line: None)
    for row, wanted in zip(read_history(workdir), expected, strict=True):
        for name in wanted.keys() - {"seconds", "photos_per_second"}:
            assert row[name] == pytest.approx(wanted[name], rel=1e-3, abs=1e-4), (row, name)


def test_finished_run_resumed_trains_no_further_and_knows_its_best_epoch(whole, records):
    before = read_history(whole)
    trained = train(load_config(None, OVERRIDES), records, whole, say=lambda line: None)
    assert read_history(whole) == before
    best = max(before, key=lambda row: row["val_macro_f1"])
    assert trained.best_epoch == best["epoch"] and len(trained.history) == 6


def test_a_finished_run_finishes_anew_without_its_checkpoints_weights(whole, records, tmp_path):
    """Such as a run that was trained on a GPU, and brought back without what it no longer needs."""
    workdir = tmp_path / "run"
    shutil.copytree(whole, workdir)
    for path in (workdir / "checkpoints").glob("*/*"):
        if path.name != "state.json":
            path.unlink()
    lines = []
    trained = train(load_config(None, OVERRIDES), records, workdir, say=lines.append)
    assert trained.history == read_history(whole)
    best = max(trained.history, key=lambda row: row["val_macro_f1"])
    assert trained.best_epoch == best["epoch"]
    assert lines[-1] == "resuming after epoch 6 of 6"


def test_checkpoints_may_come_every_so_many_epochs_and_after_the_first_and_last(records, tmp_path):
    workdir, found = tmp_path / "run", []

    class Seen(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            found.append([done for done, _ in checkpoints(workdir / "checkpoints")])

    config = load_config(None, OVERRIDES | {"training.checkpoint_every": 2, "training.epochs": 5})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "StopOnNaN", Seen)
        train(config, records, workdir, say=lambda line: None)
    assert found == [[], [1], [2], [2], [4]]
    assert [done for done, _ in checkpoints(workdir / "checkpoints")] == [5]


def test_loss_that_is_no_number_stops_the_run_and_says_so(records, tmp_path):
    overrides = {**OVERRIDES, "optimizer.learning_rate": 1e30, "optimizer.clip_norm": 0}
    with pytest.raises(UserError, match=r"became (nan|inf).*\n.*learning_rate"):
        train(load_config(None, overrides), records, tmp_path, say=lambda line: None)


def test_early_stopping_ends_a_run_that_no_longer_improves(records, tmp_path):
    overrides = {
        **OVERRIDES,
        "training.early_stopping": 1,
        "training.epochs": 8,
        "optimizer.learning_rate": 1e-12,  # nothing is learnt, so nothing improves
        "optimizer.ema": 0,
    }
    lines = []
    train(load_config(None, overrides), records, tmp_path, say=lines.append)
    stopped = read_history(tmp_path)
    assert len(stopped) < 8
    assert any("early stopping" in line for line in lines)
    train(load_config(None, overrides), records, tmp_path, say=lines.append)
    assert read_history(tmp_path) == stopped, "a run that has stopped must not train on"


def test_both_the_best_epoch_and_early_stopping_go_by_what_is_monitored(records, tmp_path):
    overrides = {**OVERRIDES, "training.monitor": "accuracy", "training.early_stopping": 1}
    overrides |= {"optimizer.learning_rate": 1e-12, "optimizer.ema": 0}
    lines = []
    trained = train(load_config(None, overrides), records, tmp_path, say=lines.append)
    history = read_history(tmp_path)
    assert trained.best_epoch == max(history, key=lambda row: row["val_accuracy"])["epoch"]
    assert any("val_accuracy has not" in line for line in lines)


def test_half_precision_is_of_the_training_alone(records, tmp_path, monkeypatch):
    monkeypatch.setattr(optimizer, "has_bfloat16", lambda: False)
    overrides = {**OVERRIDES, "training.precision": "mixed_bfloat16", "training.epochs": 1}
    lines = []
    train(load_config(None, overrides), records, tmp_path, say=lines.append)
    assert any("emulates mixed_bfloat16" in line for line in lines)
    assert keras.mixed_precision.global_policy().name == "float32"
    convolutions = [
        layer
        for layer in layers_of(keras.models.load_model(tmp_path / "best.keras"))
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}
    assert {layer.compute_dtype for layer in layers_of(load_run(tmp_path).model)} == {"float32"}


def test_label_with_one_class_is_refused(records):
    info = DatasetInfo.load(records)
    one = DatasetInfo(**{**vars(info), "labels": {"subCategory": ("Bags",)}})
    with pytest.raises(UserError, match="nothing to learn"):
        one.trainable_vocabulary("subCategory")
