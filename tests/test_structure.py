"""What import contracts do not say: what each module costs, and how modules are named."""

import ast
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "fashion_keras"

STEPS = (
    *("convert", "train", "retrain", "calibrate", "evaluate", "compare", "audit"),
    *("export", "predict", "demo"),
)
# What answers a wrong path or key at once.
LIGHT = (
    *("errors", "io", "reading", "config", "recipes", "provenance", "run", "commands", "cli"),
    *("metrics", "data.schema", "data.archive", "data.catalog", "data.splits", "data.sample"),
    *("decision.parameters", "models.registry", "training.stages", "tagging.loading"),
    *STEPS,
)
HEAVY = ("tensorflow", "keras", "keras_cv", "keras_hub", "torch", "jax", "starlette")


def module_name(path: Path) -> str:
    """Return a file's dotted name below the package; the package's own is empty."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def test_imports_keep_the_contracts_of_setup_cfg():
    ended = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=REPOSITORY,
    )
    assert ended.returncode == 0, ended.stdout


def test_types_hold():
    pytest.importorskip("mypy", reason="needs the extra [dev]")
    ended = subprocess.run(
        [sys.executable, "-m", "mypy"], capture_output=True, text=True, timeout=300, cwd=REPOSITORY
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_no_two_modules_share_a_name():
    names = Counter(name.rpartition(".")[2] for name in FILES)
    assert not [name for name, count in names.items() if count > 1]


def test_cli_reaches_every_command_by_name():
    from fashion_keras.cli import COMMANDS

    assert {module for module, _ in COMMANDS.values()} == {
        *(f"fashion_keras.{name}" for name in STEPS),
        "fashion_keras.data.sample",
        "fashion_keras.recipes",
    }


def test_light_modules_load_no_tensorflow():
    # One process a look would cost minutes, so one imports them all and looks after each.
    names = [f"fashion_keras.{name}" for name in LIGHT]
    program = (
        "import importlib, json, sys\n"
        "found = {}\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        f"    found[name] = [heavy for heavy in {HEAVY!r} if heavy in sys.modules]\n"
        "print(json.dumps(found))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert json.loads(ended.stdout) == {name: [] for name in names}


@pytest.mark.parametrize("name", FILES)
def test_a_module_says_in_its_first_line_what_it_does(name):
    docstring = ast.get_docstring(ast.parse(FILES[name].read_text(encoding="utf-8")))
    assert docstring, f"{FILES[name].name} has no docstring"
    assert docstring.splitlines()[0].endswith(".")


def test_no_file_is_a_drawer_for_odds_and_ends():
    drawers = {"utils", "util", "helpers", "helper", "misc", "common", "tools"}
    assert not [path for path in FILES.values() if path.stem in drawers]


def test_every_folder_is_a_package():
    folders = {path.parent for path in FILES.values()}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_no_function_is_longer_than_a_screen():
    longer = [
        f"{name}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for name, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno >= 60
    ]
    assert not longer
