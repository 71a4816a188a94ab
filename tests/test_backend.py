"""Keras's other backends: refused in a line where a command cannot work by them."""

import os
import subprocess
import sys

import keras
import pytest
from tiny_records import write_tiny_records

from fashion_keras.commands import check_backend
from fashion_keras.errors import UserError


def test_a_backend_that_is_allowed_passes():
    check_backend("jax", keras.backend.backend())


def test_another_is_refused_and_told_what_to_set(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(UserError) as raised:
        check_backend("tensorflow", "jax")
    first, second = str(raised.value).splitlines()
    assert first == "Keras's backend is 'torch': expected tensorflow or jax."
    assert second.startswith("Set KERAS_BACKEND=tensorflow")


def test_training_by_another_backend_is_refused_and_leaves_nothing(tmp_path):
    records = tmp_path / "records"
    records.mkdir()
    write_tiny_records(records, train=6, validation=3, test=2)
    program = (
        "import sys, keras; keras.backend.backend = lambda: 'torch';"
        "from fashion_keras.train import main; sys.exit(main())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "--data", records, "--workdir", tmp_path / "run"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 2
    lines = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert lines == ["error: Keras's backend is 'torch': expected tensorflow or jax."]
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "run").exists()
