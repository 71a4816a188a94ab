"""The demo command: what it refuses, builds and serves."""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from serving.tiny import photo, tiny_run
from serving.titled import save_titled_run
from tiny_records import LABELS, write_tiny_records

from fashion_keras import demo
from fashion_keras.errors import UserError
from fashion_keras.serving.savedmodel import export_saved_model

REPOSITORY = Path(__file__).resolve().parents[1]
needs_server = pytest.mark.skipif(
    None in map(importlib.util.find_spec, ("starlette", "uvicorn")),
    reason="needs the extra [demo]",
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "shop"
    export_saved_model(tiny_run(labels=LABELS), folder)
    return folder


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_tiny_records(folder)
    return folder


def refusal(capsys, *argv):
    assert demo.main([str(argument) for argument in argv]) == 2
    return capsys.readouterr().err


def test_no_bundle_is_answered_with_how_to_make_one(tmp_path, capsys):
    assert "fashion-keras export" in refusal(capsys, "--model", tmp_path)


@pytest.mark.parametrize(
    "options", [["--build-index", "records"], ["--limit", "3"], ["--limit", "0"], ["--port", "x"]]
)
def test_options_that_make_no_sense_are_refused(tmp_path, options):
    with pytest.raises(SystemExit) as stopped:
        demo.main(["--model", str(tmp_path), *options])
    assert stopped.value.code == 2


def test_no_photos_to_pick_from(shop, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no photo")
    assert "no photos in" in refusal(capsys, "--model", shop, "--examples", tmp_path)
    assert "no folder" in refusal(capsys, "--model", shop, "--examples", tmp_path / "none")


def test_what_is_in_a_file_makes_it_an_example_and_not_its_name(tmp_path):
    (tmp_path / "a folder.jpg").mkdir()
    (tmp_path / "notes.jpg").write_text("no photo")
    (tmp_path / "hat").write_bytes(photo(format="PNG"))
    (tmp_path / "shoe.jfif").write_bytes(photo())
    (tmp_path / "scan.tiff").write_bytes(photo(format="TIFF"))  # browsers do not show it
    assert [path.name for path in demo._example_photos(tmp_path)] == ["hat", "shoe.jfif"]


def test_no_run_at_the_path_of_one(shop, tmp_path, capsys):
    assert "no trained model" in refusal(capsys, "--model", shop, "--run", tmp_path)


def test_without_a_server_it_says_what_to_install(shop, capsys, monkeypatch):
    from importlib import metadata

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert 'pip install "fashion-keras[demo]"' in refusal(capsys, "--model", shop)


@needs_server
def test_a_port_that_is_taken_is_named(shop, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} is in use" in refusal(capsys, "--model", shop, "--port", port)


def test_the_index_is_built_and_the_next_command_printed(shop, records, tmp_path, capsys):
    index = tmp_path / "index"
    argv = ["--model", shop, "--index", index, "--build-index", records, "--limit", "5"]
    assert demo.main([str(argument) for argument in argv]) == 0
    out = capsys.readouterr().out
    assert "5 training products" in out
    assert f"--model {shop} --index {index}" in out
    assert (index / "embeddings.npy").is_file()


@needs_server
def test_an_index_of_another_model_is_refused(shop, records, tmp_path, capsys):
    import keras

    index = tmp_path / "index"
    argv = ["--model", shop, "--index", index, "--build-index", records, "--limit", "2"]
    assert demo.main([str(argument) for argument in argv]) == 0
    other = tiny_run(labels=LABELS)
    other.model.set_weights([weight + 1 for weight in other.model.get_weights()])
    keras.backend.clear_session()
    export_saved_model(other, tmp_path / "other")
    error = refusal(capsys, "--model", tmp_path / "other", "--index", index, "--port", "0")
    assert "made with another model" in error


def test_heat_maps_are_refused_from_another_model(tmp_path):
    from serving.tiny import save_tiny_run

    from fashion_keras.serving.layout import ModelInfo

    info = ModelInfo("0", "subCategory", LABELS, (40, 32), "pad", 5)
    with pytest.raises(UserError, match="another model"):
        demo._run_of(save_tiny_run(tmp_path / "run"), info, tmp_path)


def test_help_needs_no_tensorflow():
    script = (
        "import sys; from fashion_keras import demo\n"
        "demo.main(['--model', 'none'])\n"
        "print([name for name in ('tensorflow', 'keras', 'starlette') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"


@contextlib.contextmanager
def served(*argv):
    """Run the command until it is done with; yield the page's address."""
    # As fashion-keras demo, but a shell's background job inherits an ignored SIGINT.
    command = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('fashion_keras.demo', run_name='__main__')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", command, *map(str, argv), "--port", "0"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("Open http://127.0.0.1:"), process.stderr.read()
        yield line.split()[1]
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors


def asked(address, body=None, headers=None):
    request = urllib.request.Request(address, body, headers or {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


@needs_server
def test_the_page_is_served_on_this_machine_until_interrupted(shop):
    with served("--model", shop) as address:
        page = asked(address)
        assert "subCategory: shop" in page and 'id="text"' not in page
        text = asked(f"{address}/classify?name=my.jpg", photo())
    assert "my.jpg" in text and any(name in text for name in LABELS["subCategory"])
    assert "heat map" not in text


@needs_server
def test_a_run_is_served_as_it_is_with_heat_maps_and_titles(tmp_path):
    run = save_titled_run(tmp_path / "shoes", labels=LABELS)
    with served("--model", run) as address:
        page = asked(address)
        assert "subCategory: shoes" in page and 'id="text"' in page
        both = b"Red shirt" + photo()
        with_title = asked(f"{address}/classify?name=my.jpg", both, {"Title-Bytes": "9"})
        alone = asked(f"{address}/classify-title", b"Red shirt")
    assert "By photo and title" in with_title and "heat map" in with_title
    assert "By the title alone" in alone and "Red shirt" in alone


@needs_server
def test_a_model_that_comes_with_the_package_goes_by_its_name(tmp_path, monkeypatch, capsys):
    from fashion_keras import released

    monkeypatch.setattr(released, "FOLDER", tmp_path)
    assert "no SavedModel at fashion" in refusal(capsys)
    save_titled_run(tmp_path / "fashion", labels=LABELS)
    assert "no photos in" in refusal(capsys, "--examples", tmp_path)


def test_threshold_reads_the_same_above_and_beside_the_photos():
    from fashion_keras.demo import _introduction
    from fashion_keras.pages.answers import percent
    from fashion_keras.serving.layout import ModelInfo

    accept = {"photo": {"a": 0.92258}}
    info = ModelInfo("0", "a", {"a": ("x", "y")}, (40, 32), "stretch", 2, accept=accept)
    assert percent(info.thresholds()["a"]) == "92.2%"
    assert "From 92.2% on it accepts" in _introduction("models/fashion", info, None)


def test_the_page_says_what_a_model_takes():
    from fashion_keras.demo import _introduction
    from fashion_keras.serving.layout import ModelInfo

    takes = ("photo", "title", "both")
    info = ModelInfo("0", "a", {"a": ("x", "y")}, (40, 32), "stretch", 2, takes=takes)
    assert "by its photo, its title or both, into a (2)" in _introduction("fashion", info, None)
    alone = ModelInfo("0", "a", {"a": ("x", "y")}, (40, 32), "stretch", 2)
    assert "by its photo, into a (2)" in _introduction("fashion", alone, None)
