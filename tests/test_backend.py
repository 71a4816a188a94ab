"""Keras's other backends: refused in a line where a command cannot work by them."""

import keras
import pytest
from tiny_records import write_tiny_records

from fashion_keras.commands import check_backend
from fashion_keras.errors import UserError
from fashion_keras.train import main


def test_a_backend_that_is_allowed_passes():
    check_backend("jax", keras.backend.backend())


def test_another_is_refused_and_told_what_to_set(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(UserError) as raised:
        check_backend("tensorflow", "jax")
    first, second = str(raised.value).splitlines()
    assert first == "Keras's backend is 'torch': expected tensorflow or jax."
    assert second.startswith("Set KERAS_BACKEND=tensorflow")


def test_training_by_another_backend_is_refused_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    records = tmp_path / "records"
    write_tiny_records(records, train=6, validation=3, test=2)
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    assert main(["--data", str(records), "--workdir", str(tmp_path / "run")]) == 2
    first, _ = capsys.readouterr().err.splitlines()
    assert first == "error: Keras's backend is 'torch': expected tensorflow or jax."
    assert not (tmp_path / "run").exists()
