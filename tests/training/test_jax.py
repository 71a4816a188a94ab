"""Training by JAX, Keras's other backend, in processes of its own: a process has one backend."""

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from augmented_batch import augmented_batch, operations_of_rand_augment
from sklearn.metrics import accuracy_score

from fashion_keras.config import load_config
from fashion_keras.evaluation.predictions import predict
from fashion_keras.run import load_run

HERE = Path(__file__).parent
# One process for all, which takes ten seconds to start: the tests of what stands on the backend,
# a batch by each augmentation, then a training.
PROGRAM = """
import sys, numpy, pytest
files, batches, records, arguments = sys.argv[1].split(","), *sys.argv[2:4], sys.argv[4:]
print("tests:", int(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files])))
from augmented_batch import augmented_batch, operations_of_rand_augment
for policy in "light", "rand-augment":
    images, labels = augmented_batch(records, policy)
    numpy.savez(f"{batches}/{policy}.npz", images=images, labels=labels)
print("operations:", operations_of_rand_augment())
from fashion_keras.models.registry import ARCHITECTURES
from fashion_keras.train import main
ARCHITECTURES["tiny"] = "tiny_arch"
sys.exit(main(["--data", records, *arguments]))
"""
UNDER_JAX = (
    "test_ema.py",
    "test_losses.py",
    *(
        f"test_confusion.py::test_{name}"
        for name in (
            "accumulates_what_scikit_learn_counts_over_all_batches",
            "leaves_out_products_without_the_label",
            "resets_between_epochs",
            "thousands_of_classes_are_scored_as_scikit_learn_does[weights1-8000]",
            "counts_beyond_what_half_precision_holds",
        )
    ),
    *(
        f"test_macro_f1.py::test_{name}"
        for name in (
            "sample_weights_count_in_training_and_validation",
            "every_output_has_scores_under_its_name[as_dict]",
            "several_steps_in_one_call_count_as_well",
            "another_callbacks_evaluation_leaves_the_training_scores_alone",
            "a_fit_after_one_without_it_counts",
            "a_model_that_its_first_batch_builds_is_scored[Subclassed]",
        )
    ),
    "test_optimizer.py",
    "../report/test_occlusion.py::test_the_map_is_how_far_the_log_odds_fall_patch_by_patch",
)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax is not installed"
)


@pytest.fixture(scope="module")
def run(records, tmp_path_factory):
    """A run that JAX has trained: two heads, MixUp, an average, the photos enlarged."""
    folder = tmp_path_factory.mktemp("jax")
    overrides = {
        "model.arch": "tiny",
        "model.upsampling": 2,
        "data.image_size": [40, 32],
        "data.auxiliary_labels": {"baseColour": 0.5},
        "data.mixup": 0.2,
        "training.epochs": 2,
        "training.batch_size": 16,
        "training.retrain_epochs": 2,
        "optimizer.ema": 0.9,
        "decision.flip": True,
    }
    load_config(None, overrides).save(folder / "config.yaml")
    files = ",".join(str(HERE / name) for name in UNDER_JAX)
    command = [sys.executable, "-c", PROGRAM, files, folder, records]
    command += ["--config", folder / "config.yaml", "--workdir", folder / "run"]
    ended = subprocess.run(
        list(map(str, command)),
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            # Two thirds of the time went into making code fast that runs a few times.
            "XLA_FLAGS": "--xla_backend_optimization_level=0 "
            "--xla_llvm_disable_expensive_passes=true",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ended.returncode == 0, ended.stderr
    return folder / "run", ended.stdout


def test_a_run_is_trained_scored_and_told_where_its_savedmodel_comes_from(run):
    workdir, printed = run
    with open(workdir / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert "SavedModel: TensorFlow writes it, go on with: KERAS_BACKEND=tensorflow" in printed
    assert not (workdir / "model").exists()


def test_tensorflow_gives_the_scores_that_jax_wrote(run, records):
    workdir, _ = run
    predictions = predict(load_run(workdir), records, "validation")
    truth, said = predictions.truth["subCategory"], predictions.prediction("subCategory")
    written = json.loads((workdir / "evaluation.json").read_text())
    assert written["accuracy"]["value"] == pytest.approx(accuracy_score(truth, said))


def test_what_stands_on_the_backend_holds_under_jax(run):
    """The average's recursion, losses, metrics and occlusion maps, against figures by hand."""
    _, printed = run
    assert "tests: 0" in printed, printed


@pytest.mark.parametrize("policy", ["light", "rand-augment"])
def test_jax_is_fed_the_augmented_photos_that_tensorflow_is(run, records, policy):
    workdir, _ = run
    expected = augmented_batch(records, policy)
    with np.load(workdir.with_name(f"{policy}.npz")) as fed:
        for values, name in zip(expected, ("images", "labels"), strict=True):
            np.testing.assert_array_equal(fed[name], values)
    assert expected[0].std() > 1 and 0 < expected[1].max(axis=1).min() < 1, "nothing was mixed"


def test_rand_augment_is_no_more_work_under_jax(run):
    """Keras's equalisation, which compares with each brightness, makes it 23,197 operations."""
    _, printed = run
    found = int(re.search(r"^operations: (\d+)$", printed, re.M)[1])
    assert found == pytest.approx(operations_of_rand_augment(), rel=0.05)
