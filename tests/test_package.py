"""The package as it is used from Python: what `import fashion_keras as fk` gives."""

import ast
import inspect
import itertools
import logging
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import fashion_keras as fk
from fashion_keras.cli import COMMANDS
from fashion_keras.progress import Reporter, Terminal, open_bar, reporter

REPOSITORY = Path(__file__).resolve().parents[1]
STEPS = sorted(set(COMMANDS) & set(fk.__all__))


def python(program: str, **environment):
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    )


def test_every_step_of_the_command_line_is_a_function():
    steps = "audit calibrate compare convert evaluate export predict retrain train"
    assert steps.split() == STEPS
    for name in STEPS:
        assert inspect.isfunction(getattr(fk, name)), name


@pytest.mark.parametrize("name", [name for name in fk.__all__ if name != "__version__"])
def test_a_public_name_is_listed_and_documented(name):
    assert name in dir(fk)
    text = inspect.getdoc(getattr(fk, name))
    assert text and text.splitlines()[0].endswith(".")


@pytest.mark.parametrize("name", STEPS)
def test_a_step_has_an_example_and_names_every_argument(name):
    function = getattr(fk, name)
    text = inspect.getdoc(function)
    assert "Example:" in text and f"fk.{name}(" in text
    for argument in inspect.signature(function).parameters:
        assert f"{argument}:" in text, argument


def test_type_checkers_see_the_names_that_are_loaded():
    tree = ast.parse(Path(fk.__file__).read_text(encoding="utf-8"))
    block = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {name.asname: found.module for found in block.body for name in found.names}
    assert seen == fk._NAMES


def test_importing_the_package_loads_nothing_heavy():
    done = python(
        "import sys, fashion_keras as fk; dir(fk); fk.UserError; fk.Config\n"
        "sys.exit(str([m for m in ('tensorflow', 'keras', 'pandas') if m in sys.modules]))"
    )
    assert done.stderr.strip() == "[]"


def test_a_step_stays_a_function_in_any_order_of_imports():
    ways = {
        "function": "fk.train",
        "module": "importlib.import_module('fashion_keras.train')",
        "from": "exec('from fashion_keras.train import main')",
        "cli": "importlib.import_module('fashion_keras.cli')",
    }
    program = "import importlib, inspect, sys, fashion_keras as fk\n"
    for order in itertools.permutations(ways):
        program += "".join(f"{ways[way]}\n" for way in order)
        program += "assert inspect.isfunction(fk.train), 1\n"
        program += "from fashion_keras import train; assert inspect.isfunction(train), 2\n"
        program += "assert inspect.ismodule(sys.modules['fashion_keras.train']), 3\n"
        program += "for n in [n for n in sys.modules if n.startswith('fashion_keras.')]: "
        program += "del sys.modules[n]\n"
        program += "vars(fk).pop('train', None)\n"
    done = python(program)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = fk.trian


def test_it_says_so_where_tensorflow_came_first():
    program = "import sys, types; sys.modules['tensorflow'] = types.ModuleType('tensorflow')\n"
    program += "import fashion_keras"
    told = python(program, TF_ENABLE_ONEDNN_OPTS="")  # set, if to nothing: a choice
    assert "Import fashion_keras first" not in told.stderr
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPATH": str(REPOSITORY)},
    )
    assert "Import fashion_keras first" in done.stderr


def test_the_library_logs_and_prints_nothing(capsys, caplog):
    with caplog.at_level(logging.INFO, logger="fashion_keras"), reporter(True) as report_to:
        report_to.say("done")
        report_to.warn("look")
        report_to.update("phase", 1, 2)
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("INFO", "done"),
        ("WARNING", "look"),
    ]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_prints_lines_and_keeps_warnings_apart(capsys):
    with Terminal(bars=False) as report_to:
        report_to.say("done")
        report_to.warn("look")
        report_to.note("three left")
    printed = capsys.readouterr()
    assert printed.out == "done\n"
    assert printed.err == "warning: look\nthree left\n"


def test_a_notebook_shows_one_line_a_cell_that_its_bars_take_turns_in(monkeypatch, capsys):
    display = pytest.importorskip("IPython.display")
    pytest.importorskip("ipykernel")
    shell = types.SimpleNamespace(kernel=True, execution_count=1)
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    drawn = []
    monkeypatch.setattr(display, "display", lambda data, **options: drawn.append((data, options)))
    with Reporter() as own:
        own.update("hashing", 1, 2)
        own.update("hashing", 2, 2)
        own.update("comparing", 2, 2)
    assert [options["update"] for _, options in drawn] == [False] + [True] * (len(drawn) - 1)
    assert drawn[-1][0]["text/plain"].startswith("comparing: 100%|█")
    shell.execution_count = 2
    with open_bar(3, "epoch 1/1", " batches", shown=True):
        pass
    assert not drawn[-2][1]["update"] and len({o["display_id"] for _, o in drawn}) == 2
    count = len(drawn)
    with reporter(False) as silent:
        silent.update("hashing", 2, 2)
    assert len(drawn) == count and capsys.readouterr() == ("", "")


def test_bars_are_shown_or_not_as_asked(capsys):
    own = Reporter(bars=True)
    assert reporter(own) is own and not reporter(False).bars
    with own:
        own.update("hashing", 1, 2)
        own.update("hashing", 2, 2)
    assert "hashing: 100%" in capsys.readouterr().err
