"""The house's plan, read from the imports: which module may know which, and what each one costs."""

import ast
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "fashion_keras"

COMMANDS = {
    "audit",
    "calibrate",
    "compare",
    "convert",
    "demo",
    "train",
    "retrain",
    "evaluate",
    "export",
    "predict",
}
PARTS = {"data", "models", "training", "evaluation", "serving", "auditing"}
# Known to all: what went wrong, how a wait is shown, how TensorFlow is loaded, how files are kept
# and read back, what a run's are and were made from, what is no place, how text from outside is
# shown.
COMMON = {"errors", "progress", "quiet", "io", "reading", "provenance", "places", "text"}

# What each part may import, besides itself and the package's own `__init__`. A name with a dot
# stands for that module alone. `config` spells labels' names with `data/schema`'s help.
MAY_IMPORT = {
    "errors": set(),
    "text": set(),
    "reading": {"errors"},
    "places": {"errors"},
    "io": {"errors", "reading", "places"},
    "quiet": set(),
    "progress": set(),
    "config_file": COMMON | {"data.schema"},
    "config": COMMON | {"data.schema", "config_file"},
    "recipes": COMMON | {"commands", "config", "config_file"},
    "data": COMMON | {"config"},
    "models": COMMON | {"data.schema", "config", "decision"},
    "decision": COMMON,
    "provenance": {"errors", "io", "reading"},
    "run": COMMON
    | {"config", "config_file", "data.schema", "decision", "models.decision", "models.precision"},
    "features": COMMON | {"run", "data"},
    "training": COMMON | {"config", "run", "features", "data", "models"},
    "evaluation": COMMON
    | {"config", "decision", "run", "features", "data", "models", "training.metrics"},
    "serving": COMMON | {"config", "decision", "run", "data", "models"},
    # Stands above both: cross-fitting trains, and scores what it trained.
    "auditing": COMMON | (PARTS - {"serving"}) | {"config", "decision", "run", "features"},
    "commands": COMMON,
    **{
        name: COMMON | PARTS | {"config", "config_file", "decision", "run", "commands"}
        for name in COMMANDS
    },
    "cli": {"data.schema"},  # and the commands by name, when one is asked for
    "__main__": {"cli"},
}

# What answers a wrong path or key at once.
LIGHT = (
    "fashion_keras.errors",
    "fashion_keras.io",
    "fashion_keras.reading",
    "fashion_keras.config",
    "fashion_keras.config_file",
    "fashion_keras.recipes",
    "fashion_keras.decision",
    "fashion_keras.provenance",
    "fashion_keras.run",
    "fashion_keras.commands",
    "fashion_keras.cli",
    "fashion_keras.data.schema",
    "fashion_keras.data.archive",
    "fashion_keras.data.catalog",
    "fashion_keras.data.splits",
    "fashion_keras.data.sample",
    "fashion_keras.models.registry",
    "fashion_keras.training.metrics",
    "fashion_keras.training.stages",
    *(f"fashion_keras.{name}" for name in sorted(COMMANDS)),
)
HEAVY = ("tensorflow", "keras", "keras_cv", "keras_hub", "torch", "jax")


def module_name(path: Path) -> str:
    """Return a file's dotted name below the package; the package's own is empty."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported_modules(tree: ast.AST, importer: str, *, is_package: bool) -> set[str]:
    """Return the package's modules that a syntax tree imports, as dotted names below it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = ["fashion_keras", *filter(None, importer.split("."))]
                above = above[: len(above) - node.level + is_package]
                base = ".".join([*above, *filter(None, [base])])
            # `from fashion_keras.data import schema` imports data.schema.
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] != "fashion_keras":
                continue
            below = name.removeprefix("fashion_keras").removeprefix(".")
            while below and below not in FILES:
                below = below.rpartition(".")[0]
            found.add(below)
    return found - {importer}


def module_imports(name: str) -> set[str]:
    """Return what a module imports, also inside functions and for type checkers."""
    path = FILES[name]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return imported_modules(tree, name, is_package=path.name == "__init__.py")


def part(name: str) -> str:
    return name.split(".")[0]


def is_allowed(importer: str, imported: str) -> bool:
    if not imported or part(imported) == part(importer):
        return True
    allowed = MAY_IMPORT[part(importer)]
    return part(imported) in allowed or imported in allowed


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return one circle of a graph, its first node again at the end; empty if there is none."""
    state, path = defaultdict(int), []

    def visit(node):
        state[node] = 1
        path.append(node)
        for following in sorted(graph.get(node, ())):
            if state[following] == 1:
                return [*path[path.index(following) :], following]
            if not state[following] and (cycle := visit(following)):
                return cycle
        state[node] = 2
        path.pop()
        return []

    for node in sorted(graph):
        if not state[node] and (cycle := visit(node)):
            return cycle
    return []


@pytest.mark.parametrize(
    ("source", "importer", "expected"),
    [
        ("import fashion_keras.config", "train", {"config"}),
        ("from fashion_keras import run as r, config", "train", {"run", "config"}),
        ("from fashion_keras.data import schema", "train", {"data.schema"}),
        ("from fashion_keras.data.schema import ID", "train", {"data.schema"}),
        ("from . import schema", "data.catalog", {"data.schema"}),
        ("from ..config import Config", "data.catalog", {"config"}),
        ("def f():\n    from fashion_keras.run import Run", "train", {"run"}),
        ("import numpy, os.path", "train", set()),
        ("import fashion_keras", "cli", {""}),
    ],
)
def test_the_reader_of_imports_sees_each_way_of_writing_one(source, importer, expected):
    assert imported_modules(ast.parse(source), importer, is_package=False) == expected


def test_the_finder_of_circles_finds_one():
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("data.pipeline", "models.registry"),
        ("data.pipeline", "training.metrics"),
        ("models.classifier", "training.trainer"),
        ("training.trainer", "evaluation.plots"),
        ("evaluation.results", "training.trainer"),
        ("serving.savedmodel", "evaluation.results"),
        ("evaluation.results", "evaluate"),
        ("train", "evaluate"),
        ("cli", "train"),
        ("config", "data.catalog"),
    ],
)
def test_the_plan_forbids(importer, imported):
    assert not is_allowed(importer, imported)


def test_every_file_has_a_place_in_the_plan():
    assert {part(name) for name in FILES if name} == set(MAY_IMPORT)


@pytest.mark.parametrize("name", [name for name in FILES if name])
def test_a_module_imports_only_what_the_plan_lets_it(name):
    upwards = {found for found in module_imports(name) if not is_allowed(name, found)}
    assert not upwards, f"{name} may not import {', '.join(sorted(upwards))}"


def test_no_modules_import_each_other_in_a_circle():
    # Importing inside a function is no way around it: the circle is there all the same.
    graph = {name: module_imports(name) - {""} for name in FILES}
    assert find_cycle(graph) == []


def test_cli_reaches_every_command_by_name():
    from fashion_keras.cli import COMMANDS as LISTED

    assert {module for module, _ in LISTED.values()} == {
        *(f"fashion_keras.{name}" for name in COMMANDS),
        "fashion_keras.data.sample",
        "fashion_keras.recipes",
    }


def test_light_modules_load_no_tensorflow():
    # One process a look would cost minutes, so one imports them all and looks after each.
    program = (
        "import importlib, json, sys\n"
        "found = {}\n"
        f"for name in {LIGHT!r}:\n"
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
    assert json.loads(ended.stdout) == {name: [] for name in LIGHT}


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
