"""A backbone and a score are each added in one place, and a room that is a trick is taken away."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_records import write_tiny_records

import fashion_keras

BACKBONE = (
    '"""Two convolutions."""'
    + """

def build_backbone(image_size, *, imagenet):
    import keras

    inputs = keras.Input((*image_size, 3), name="image")
    x = keras.layers.Conv2D(8, 3, 2)(inputs)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(inputs, keras.layers.Conv2D(8, 3, 2)(x), name="backbone")
"""
)
METRIC = """METRICS = (
    Metric(
        "worst_f1",
        "worst F1",
        "worst F1",
        "of the class with the lowest F1",
        "lowest F1 of a class",
        lambda counts: counts.f1.min(axis=-1),
        logged=True,
        compared=True,
    ),
"""


SETTINGS = {
    "data.image_size": [40, 32],
    "training.precision": "float32",
    "training.batch_size": 16,
}
PROGRAM = f"""
import fashion_keras as fk

run = fk.train(
    "records", "run", arch="twoconvolutions", epochs=1, settings={SETTINGS!r}, progress=False
)
assert {{"worst_f1", "val_worst_f1"}} <= set(run.history.columns)
scores = fk.evaluate("run", "records", "validation", report="report", resamples=50, progress=False)
assert scores.result["worst_f1"]["value"] == min(scores.per_class["f1"])
assert "worst F1" in str(scores)
fk.export("run", "models", progress=False)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run trained, evaluated and exported by a copy of the package."""
    folder = tmp_path_factory.mktemp("newcomer")
    package = folder / "fashion_keras"
    shutil.copytree(Path(fashion_keras.__file__).parent, package)
    shutil.rmtree(package / "models/accelerate")
    (package / "models/backbones/twoconvolutions.py").write_text(BACKBONE)
    metrics = (package / "metrics.py").read_text()
    assert metrics.count("METRICS = (\n") == 1
    (package / "metrics.py").write_text(metrics.replace("METRICS = (\n", METRIC))
    write_tiny_records(folder / "records")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    assert ended.returncode == 0, ended.stderr
    return folder


def test_training_works_without_the_faster_kernels(folder):
    assert (folder / "run/best.keras").is_file()


def test_a_new_score_is_on_the_page_and_the_model_card(folder):
    assert "Worst F1" in (folder / "report/report.html").read_text(encoding="utf-8")
    (card,) = folder.glob("models/**/README.md")
    assert "worst F1" in card.read_text(encoding="utf-8")
