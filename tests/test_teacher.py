"""`train --teacher`: a tiny network taught by another, from the first photo to a resumed run."""

import importlib
import shutil

import numpy as np
import pytest
from scipy.special import softmax
from tiny_records import write_tiny_records

from fashion_keras.config import load_config
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.evaluation.predictions import ask_teachers, predict
from fashion_keras.run import check_teacher, load_run

train = importlib.import_module("fashion_keras.train")  # not the function of its name

SETTINGS = (
    "model.arch=tiny",
    "data.image_size=[40, 32]",
    "training.batch_size=16",
    "training.retrain_epochs=0",
    "optimizer.learning_rate=0.02",
    "optimizer.ema=0",
)


pytestmark = pytest.mark.usefixtures("tiny")


def run_train(workdir, records, *more, settings=()):
    options = [x for setting in (*SETTINGS, *settings) for x in ("--set", setting)]
    return train.main([str(x) for x in ("--workdir", workdir, "--data", records, *options, *more)])


@pytest.fixture(scope="module")
def teacher(tiny, records, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "teacher"
    assert run_train(workdir, records, "--epochs", 4) == 0
    return workdir


@pytest.fixture(scope="module")
def other_teacher(tiny, records, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "other"
    settings = ["data.auxiliary_labels={baseColour: 0.5}", "training.seed=1"]
    assert run_train(workdir, records, "--epochs", 1, settings=settings) == 0
    return workdir


def test_what_it_says_is_what_its_predictor_says(teacher, records):
    found = ask_teachers([teacher], records, ["baseColour", "subCategory"], 0.3)
    run = load_run(teacher)
    predictions = predict(run, records, "train")
    assert found.ids == tuple(predictions.ids) and found.weight == 0.3
    assert set(found.probabilities) == {"subCategory"}
    expected = softmax(predictions.logits["subCategory"], axis=1)
    np.testing.assert_allclose(found.probabilities["subCategory"], expected, atol=1e-3)


def test_of_several_the_mean_counts_where_they_have_the_head(teacher, other_teacher, records):
    found = ask_teachers([teacher, other_teacher], records, ["subCategory", "baseColour"], 0.5)
    one, other = (predict(load_run(path), records, "train") for path in (teacher, other_teacher))
    both = (one.probabilities("subCategory") + other.probabilities("subCategory")) / 2
    assert np.abs(both - one.probabilities("subCategory")).max() > 0.01, "they say the same"
    np.testing.assert_allclose(found.probabilities["subCategory"], both, atol=1e-3)
    np.testing.assert_allclose(
        found.probabilities["baseColour"], other.probabilities("baseColour"), atol=1e-3
    )


def test_several_are_given_as_options_and_kept_in_the_config(
    teacher, other_teacher, records, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(train, "_finish", lambda *_: None)  # asked is how it begins
    student = tmp_path / "student"
    assert run_train(student, records, "--epochs", 1, "--teacher", teacher, other_teacher) == 0
    assert f"asking {teacher}, {other_teacher} about" in capsys.readouterr().out
    kept = load_config(student / "config.yaml").training.teacher
    assert kept == (str(teacher), str(other_teacher))
    assert train.main(["--workdir", str(student), "--resume"]) == 0
    refused = tmp_path / "refused"
    assert run_train(refused, records, "--teacher", teacher, "nowhere") == 2
    assert "no trained model at nowhere" in capsys.readouterr().err


def test_a_student_learns_from_it_and_is_resumed_without_it(
    teacher, records, tmp_path, capsys, monkeypatch
):
    gone = shutil.copytree(teacher, tmp_path / "gone")
    student = tmp_path / "student"
    settings = ["data.auxiliary_labels={baseColour: 0.5}", "training.teacher_weight=0.9"]
    more = ("--epochs", 2, "--teacher", gone)
    with monkeypatch.context() as patch:
        patch.setattr(train, "_finish", lambda *_: None)
        assert run_train(student, records, *more, settings=settings) == 0
        assert "teacher: subCategory" in capsys.readouterr().out
        assert (student / "teacher.npz").is_file()
        plain = tmp_path / "plain"
        assert run_train(plain, records, "--epochs", 2, settings=settings[:1]) == 0
    losses = [(path / "history.csv").read_text() for path in (student, plain)]
    assert losses[0] != losses[1], "the teacher changed nothing"

    shutil.rmtree(gone)
    assert train.main(["--workdir", str(student), "--resume"]) == 0


def test_it_must_have_a_head_in_common(teacher, records):
    with pytest.raises(UserError, match="has no head for baseColour: it has subCategory"):
        ask_teachers([teacher], records, ["baseColour"], 0.5)


def test_one_that_was_trained_on_other_records_would_leak_their_test_photos(
    teacher, records, tmp_path, capsys
):
    other = tmp_path / "other"
    info = write_tiny_records(other, seed=1)
    with pytest.raises(UserError, match=r"other records than .*/other: what it has seen"):
        check_teacher(teacher, info, other)
    check_teacher(teacher, DatasetInfo.load(records), records)
    student = tmp_path / "student"
    assert run_train(student, other, "--epochs", 1, "--teacher", teacher) == 2
    error = capsys.readouterr().err
    assert "would reach the student" in error and len(error.splitlines()) == 2
    assert not student.exists()


def test_one_that_is_not_there_is_refused_at_once(records, tmp_path, capsys):
    student = tmp_path / "student"
    assert run_train(student, records, "--epochs", 1, "--teacher", "nowhere") == 2
    assert "no trained model at nowhere" in capsys.readouterr().err
    assert not student.exists()


def test_a_training_that_fails_at_its_start_leaves_no_teacher_file(
    teacher, records, tmp_path, monkeypatch
):
    def fails(*_, **__):
        raise UserError("no room")

    monkeypatch.setattr("fashion_keras.training.trainer.train", fails)
    student = tmp_path / "student"
    assert run_train(student, records, "--epochs", 1, "--teacher", teacher) == 2
    assert not student.exists()


def test_its_share_is_between_0_and_1(teacher, records, tmp_path, capsys):
    student = tmp_path / "student"
    settings = ["training.teacher_weight=1.5"]
    assert run_train(student, records, "--teacher", teacher, settings=settings) == 2
    assert "training.teacher_weight = 1.5" in capsys.readouterr().err
