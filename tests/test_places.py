"""An address is used or refused, and never a local folder, wherever a place can be named."""

import argparse
import importlib
from pathlib import Path

import pytest

from fashion_keras.cli import COMMANDS
from fashion_keras.config import load_config
from fashion_keras.errors import UserError
from fashion_keras.io import place, place_text
from fashion_keras.store import SCHEMES

ADDRESSES = (
    "gs://bucket/x",
    "s3://bucket/x",
    "az://container/x",
    "http://shop.example/x",
    "https://shop.example/x",
    "memory://x",
    "GS://bucket/x",
    "hdfs+v2.0-x://node/x",
)
# Options that take text, and name no place.
TEXT = {
    "convert": {
        "csv",
        *(f"{name}_column" for name in ("id", "image", "label", "text", "group", "split", "time")),
    },
    "train": {"devices", "recipe", "arch", "label", "set"},
    "recipes": {"recipe"},
    "evaluate": {"split", "label"},
    "audit": {"label", "splits"},
    "predict": {"server", "name", "labels", "path_column", "id_column", "title_column"},
    "demo": {"host"},
}


class Found(Exception):
    pass


def parser_of(command: str) -> argparse.ArgumentParser:
    """Return the parser of a command, caught when it is asked to read a command line."""
    module = importlib.import_module(COMMANDS[command][0])
    with pytest.MonkeyPatch.context() as patch:

        def caught(parser, argv=None):
            raise Found(parser)

        patch.setattr(argparse.ArgumentParser, "parse_args", caught)
        with pytest.raises(Found) as found:
            module.main([])
    return found.value.args[0]


def places():
    """Every option that is or may be a place: those that take any text, and are not in `TEXT`."""
    for command in COMMANDS:
        for action in parser_of(command)._actions:
            if takes_any_text(action) and action.dest not in TEXT.get(command, ()):
                yield pytest.param(command, action, id=f"{command} {action.dest}")


def takes_any_text(action) -> bool:
    if action.nargs == 0 or action.choices is not None:
        return False
    try:
        (action.type or str)("a/b")
    except (ValueError, argparse.ArgumentTypeError, UserError):  # a number, a name, a cluster
        return False
    return True


PLACES = list(places())


def command_line(command, asked, address):
    """Give `address` to one option, and something to all that are required."""
    argv = []
    for action in parser_of(command)._actions:
        if action.dest == asked.dest:
            argv += [*action.option_strings[:1], address]
        elif action.required:
            value = "test" if action.dest == "split" else "something"
            argv += [*action.option_strings[:1], value]
    return argv


def test_every_command_has_a_place():
    assert {param.values[0] for param in PLACES} == set(COMMANDS) - {"recipes"}
    assert len(PLACES) > 30


@pytest.fixture
def without_stores(monkeypatch):
    """The default installation: what the extra [cloud] brings is not there."""
    monkeypatch.setitem(SCHEMES, "gs", "a_package_that_is_not_there")


@pytest.mark.parametrize("address", ["gs://bucket/x", "hdfs://node/x", "s3:/bucket/x"])
@pytest.mark.parametrize(("command", "action"), PLACES)
def test_an_address_that_cannot_be_used_is_a_line_and_nothing_is_made(
    tmp_path, monkeypatch, capsys, without_stores, command, action, address
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_KERAS_CACHE", str(tmp_path / "cache"))
    argv = command_line(command, action, address)
    assert importlib.import_module(COMMANDS[command][0]).main(argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    [line] = printed.err.splitlines()
    assert address in line
    assert "is an address" in line or 'pip install "fashion-keras[cloud]"' in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.records", "hdfs://node/x"),
        ("model.weights", "https://shop.example/best.keras"),
        ("training.teacher", "s3:/bucket/run"),
        ("training.teacher", ["runs/a", "hdfs://node/run"]),
    ],
)
def test_a_config_names_the_key_whose_value_is_an_address_of_no_store(tmp_path, key, value):
    with pytest.raises(UserError, match=f"{key}.*is an address"):
        load_config(None, {key: value})
    section, name = key.split(".")
    file = tmp_path / "config.yaml"
    file.write_text(f"{section}:\n  {name}: {value}\n")
    with pytest.raises(UserError, match=f"{key}.*config.yaml.*is an address"):
        load_config(file)


def test_a_config_keeps_an_address_whose_package_is_not_there(without_stores):
    assert load_config(None, {"data.records": "gs://bucket/x/"}).data.records == "gs://bucket/x"


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("of_a_path", [str, Path], ids=["text", "path"])
def test_every_kind_of_address_is_known(address, of_a_path):
    with pytest.raises(UserError, match="is an address"):
        place(of_a_path(address))
    with pytest.raises(UserError, match="is an address"):
        place_text(address)


@pytest.mark.parametrize(
    "path", ["runs/a", "./gs:x", "a:b", "C:/records", r"C:\records", "/tmp/gs://x", "läufe 1", "x"]
)
def test_a_place_is_what_it_was(path):
    assert place(path) == Path(path)
    assert place_text(path) == path


@pytest.mark.parametrize("address", ["file:///tmp/a%20b", "file:/tmp/a%20b", "FILE:///tmp/a%20b"])
def test_a_file_address_is_the_path(address):
    assert place(address) == Path("/tmp/a b")


def refusals(folder):
    """Calls from Python behind the steps, each of which would write below `folder`."""
    from fashion_keras.auditing.sheets import write_files
    from fashion_keras.data.conversion import Request, convert
    from fashion_keras.data.sample import draw_sample
    from fashion_keras.data.schema import DatasetInfo
    from fashion_keras.evaluation.files import check_output
    from fashion_keras.io import replacing_folder, write_text
    from fashion_keras.pages.gallery import build_gallery
    from fashion_keras.serving.layout import new_version
    from fashion_keras.tagging.row_formats import Columns
    from fashion_keras.tagging.row_table import open_table

    return [
        lambda: convert(Request(source="catalogue"), folder),
        lambda: draw_sample(folder),
        lambda: DatasetInfo.load(folder),
        lambda: check_output(folder),
        lambda: write_files(folder, {"a.json": {}}),
        lambda: write_text(f"{folder}/a.txt", ""),
        lambda: replacing_folder(folder).__enter__(),
        lambda: build_gallery(None, "records", folder),
        lambda: new_version(folder),
        lambda: open_table(f"{folder}/tags.csv", Columns(["kind"])).__enter__(),
    ]


@pytest.mark.parametrize("index", range(10))
def test_calls_behind_the_steps_refuse_addresses(tmp_path, monkeypatch, index):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is an address"):
        refusals("gs://bucket/x")[index]()
    assert not list(tmp_path.iterdir())
