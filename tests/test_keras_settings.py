"""Keras's own settings file and switches: refused in a line where models would be other ones."""

import os
import subprocess
import sys

import keras
import pytest
from tiny_records import write_tiny_records

from fashion_keras.errors import UserError
from fashion_keras.quiet import load_keras


def train(tmp_path, **environment):
    records = tmp_path / "records"
    records.mkdir()
    write_tiny_records(records, train=6, validation=3, test=2)
    ended = subprocess.run(
        [sys.executable, "-m", "fashion_keras.train", "--data", records, "--workdir", "run"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert not (tmp_path / "run").exists()
    return errors


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('{"image_data_format": "channels_first"}', "image_data_format is 'channels_first'"),
        ('{"floatx": "quux"}', "Keras does not start"),
        ("[1]", "Keras does not start"),
    ],
)
def test_settings_that_make_other_models_are_refused(tmp_path, settings, expected):
    (tmp_path / "keras.json").write_text(settings)
    (error,) = train(tmp_path, KERAS_HOME=str(tmp_path))
    assert expected in error and str(tmp_path / "keras.json") in error


def test_half_precision_for_all_is_refused_too(monkeypatch):
    monkeypatch.setattr(keras.config, "floatx", lambda: "float16")
    with pytest.raises(UserError, match=r"floatx is 'float16', expected 'float32': .*keras\.json"):
        load_keras()


def test_keras_2_is_refused(tmp_path):
    (error,) = train(tmp_path, TF_USE_LEGACY_KERAS="1")
    assert "needs Keras 3: unset it" in error


def test_an_import_that_fails_for_another_reason_is_not_laid_to_the_settings(tmp_path, monkeypatch):
    (tmp_path / "keras.json").write_text('{"floatx": "float32", "backend": "tensorflow"}')
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("builtins.__import__", failing(__import__))
    with pytest.raises(RuntimeError, match="a broken build"):
        load_keras()


def failing(imports):
    def fail(name, *arguments, **options):
        if name == "keras":
            raise RuntimeError("a broken build")
        return imports(name, *arguments, **options)

    return fail
