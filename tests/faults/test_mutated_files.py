"""Damaged records, configs, runs, bundles and indexes: refused in a line, or the same result."""

import csv
import gzip
import json
import shutil

import pytest
from faults.breaking import break_files
from faults.children import run_child
from faults.shop import evaluate_argv, predict_argv, train_argv

pytestmark = pytest.mark.faults


def check(outcomes, what, figures, least):
    figures(f"files: {what}: {outcomes}")
    assert not outcomes.wrong, "\n".join([str(outcomes), *outcomes.wrong])
    assert outcomes.files >= least


def scores(out):
    """What evaluate has found, less where and when."""
    folder = out / "scores"
    found = json.loads((folder / "evaluation.json").read_text("utf-8"))
    predictions = gzip.decompress((folder / "predictions.csv.gz").read_bytes())
    return found["per_class"], found["heads"], found["accuracy"], predictions


def test_evaluate_on_damaged_records(shop, tmp_path, figures):
    files = {"dataset_info.json": 22, "test-00000-of-00001.tfrecord": 8}
    outcomes = break_files(
        shop.records, files, "fashion_keras.evaluate",
        lambda copy, out: evaluate_argv(shop.own_run, copy, out / "scores"), scores, tmp_path,
    )  # fmt: skip
    check(outcomes, "records, by evaluate", figures, 25)


def test_evaluate_of_a_damaged_run(shop, tmp_path, figures):
    files = {"config.yaml": 10, "labels.json": 10, "records.json": 6, "decision.json": 12,
             "best.keras": 8}  # fmt: skip
    outcomes = break_files(
        shop.run, files, "fashion_keras.evaluate",
        lambda copy, out: evaluate_argv(copy, shop.records, out / "scores"), scores, tmp_path,
    )  # fmt: skip
    check(outcomes, "runs, by evaluate", figures, 40)


def test_export_of_a_damaged_run(shop, tmp_path, figures):
    files = {"config.yaml": 6, "labels.json": 8, "decision.json": 12, "best.keras": 4}

    def result(out):
        return json.loads((out / "answers.json").read_text("utf-8"))

    outcomes = break_files(
        shop.run, files, "faults.doors:export_and_ask",
        lambda copy, out: [copy, out / "shop", shop.photos, out / "answers.json"], result, tmp_path,
    )  # fmt: skip
    check(outcomes, "runs, by export", figures, 25)


def test_predict_with_a_damaged_bundle(shop, tmp_path, figures):
    files = {"assets/fashion_keras.json": 16, "assets/labels.json": 3, "saved_model.pb": 8,
             "fingerprint.pb": 2, "variables/variables.index": 4,
             "variables/variables.data-00000-of-00001": 5}  # fmt: skip
    outcomes = break_files(
        shop.bundle / "1", files, "fashion_keras.predict",
        lambda copy, out: predict_argv(copy, out / "tags.csv", shop.photos),
        lambda out: (out / "tags.csv").read_bytes(), tmp_path,
    )  # fmt: skip
    check(outcomes, "bundles, by predict", figures, 30)


def test_a_damaged_index(shop, tmp_path, figures):
    files = {"gallery.json": 16, "embeddings.npy": 12, "products.parquet": 12}

    def result(out):
        return json.loads((out / "found.json").read_text("utf-8"))

    outcomes = break_files(
        shop.index, files, "faults.doors:search_index",
        lambda copy, out: [copy, out / "found.json"], result, tmp_path,
    )  # fmt: skip
    check(outcomes, "indexes", figures, 35)


TIMINGS = ("photos_per_second", "seconds")


def history(out):
    """The rows of history.csv, less the times, and the decision that they led to."""
    run = out / "run"
    with open(run / "history.csv", encoding="utf-8", newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in TIMINGS} for row in csv.DictReader(file)]
    return rows, json.loads((run / "decision.json").read_text("utf-8"))


def test_train_on_damaged_records(shop, tmp_path, figures):
    files = {"dataset_info.json": 14, "train-00001-of-00003.tfrecord": 4,
             "validation-00000-of-00001.tfrecord": 2}  # fmt: skip
    outcomes = break_files(
        shop.records, files, "fashion_keras.train",
        lambda copy, out: train_argv(copy, out / "run", epochs=1), history, tmp_path,
    )  # fmt: skip
    check(outcomes, "records, by train", figures, 18)


def test_train_by_a_damaged_config(shop, tmp_path, figures):
    part = tmp_path / "configs"
    part.mkdir()
    shutil.copy(shop.run / "config.yaml", part)

    def argv(copy, out):
        config = ["--config", copy / "config.yaml", "--epochs", 1]
        return ["--data", shop.records, "--workdir", out / "run", *config]

    def result(out):
        return "a run by the config"  # which may say what it likes

    outcomes = break_files(
        part, {"config.yaml": 16}, "fashion_keras.train", argv, result, tmp_path / "cases"
    )
    check(outcomes, "configs, by train", figures, 14)


@pytest.fixture(scope="module")
def stopped(shop, tmp_path_factory):
    """A run that was killed when its second checkpoint of three was in place."""
    place = tmp_path_factory.mktemp("stopped")

    def train(name, **how):
        argv = train_argv(shop.records, place / name / "run")
        (place / name).mkdir()
        return run_child("fashion_keras.train", argv, place / "said", watched=place / name, **how)

    steps = train("whole").steps
    replaced = [i for i, step in enumerate(steps) if step.startswith("os.rename run/checkpoints/")]
    assert train("cut", kill_at=replaced[-1]).code == -9
    run = place / "cut" / "run"
    assert (run / "checkpoints" / "epoch-0002" / "state.json").is_file()
    return run


def test_train_that_resumes_a_damaged_run(shop, stopped, tmp_path, figures):
    checkpoint = "checkpoints/epoch-0002"
    files = {f"{checkpoint}/state.json": 8, f"{checkpoint}/model.weights.h5": 4,
             f"{checkpoint}/average.npz": 3, "config.yaml": 5, "labels.json": 4,
             "records.json": 4, "best.keras": 3, "history.csv": 2}  # fmt: skip

    def argv(copy, out):
        # In place of what is damaged: training goes on in the run itself.
        shutil.copytree(copy, out / "run")
        return ["--workdir", out / "run", "--resume"]

    outcomes = break_files(stopped, files, "faults.doors:train_or_tidy", argv, history, tmp_path)
    check(outcomes, "runs, by train --resume", figures, 28)
