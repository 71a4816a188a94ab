"""The command line: help and wrong arguments are answered at once, without TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fashion_keras
from fashion_keras import cli

REPOSITORY = Path(__file__).resolve().parents[1]
HEAVY = ("tensorflow", "keras", "keras_cv", "sklearn", "matplotlib")

# Ends like `python -m MODULE ARGUMENTS…`, and says which of the heavy packages that loaded.
_PROGRAM = f"""
import importlib, sys
try:
    code = importlib.import_module(sys.argv[1]).main(sys.argv[2:])
except SystemExit as end:
    code = end.code
loaded = [name for name in {HEAVY!r} if name in sys.modules]
print("loaded:", *loaded)
sys.exit(code)
"""


def python(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def run_and_look(module, *arguments, cwd=None):
    """Run a command's main in a fresh process; return exit code, output and heavy packages."""
    ended = python("-c", _PROGRAM, module, *arguments, cwd=cwd)
    assert "Traceback" not in ended.stderr, ended.stderr
    out, _, loaded = ended.stdout.rpartition("loaded:")
    return ended.returncode, out, ended.stderr, loaded.split()


def test_every_command_is_listed_in_the_help(capsys):
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert f"\n  {name} " in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_without_a_command_it_shows_the_help_and_ends_with_2(capsys):
    assert cli.main([]) == 2
    assert "usage: fashion-keras COMMAND" in capsys.readouterr().out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"fashion-keras {fashion_keras.__version__}\n"


def test_an_unknown_command_is_answered_with_the_nearest(capsys):
    assert cli.main(["trian", "--epochs", "3"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "unknown command 'trian'" in captured.err
    assert captured.err.endswith("(did you mean 'train'?)\n")


def test_python_m_is_the_same_as_the_script():
    ended = python("-m", "fashion_keras", "--help")
    assert ended.returncode == 0 and ended.stderr == ""
    assert ended.stdout.startswith("usage: fashion-keras COMMAND")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command_needs_no_tensorflow(name):
    code, out, err, loaded = run_and_look("fashion_keras.cli", name, "--help")
    assert (code, err, loaded) == (0, "", [])
    assert out.startswith(f"usage: fashion-keras {name} ")
    assert "python -m" not in out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_an_unknown_option_is_answered_without_tensorflow(name):
    code, out, err, loaded = run_and_look("fashion_keras.cli", name, "--colour", "red")
    assert (code, out, loaded) == (2, "", [])
    assert "error:" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--arch", "vgg16"),
        ("train", "--data", "nowhere"),
        ("train", "--set", "training.epochs=0"),
        ("evaluate", "--model", "nowhere", "--data", "nowhere", "--split", "test"),
        ("export", "--model", "nowhere", "--output", "model"),
        ("predict", "--model", "nowhere", "photo.jpg"),
        ("convert", "--source", "nowhere.zip", "--output", "out"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_wrong_argument_is_one_message_without_tensorflow(tmp_path, arguments):
    code, out, err, loaded = run_and_look("fashion_keras.cli", *arguments, cwd=tmp_path)
    assert (code, out, loaded) == (2, "", [])
    assert err.startswith("error: ") and len(err.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []
