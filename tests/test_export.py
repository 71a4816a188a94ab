"""The export command: what it writes, prints and refuses."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving.tiny import save_tiny_run
from tiny_records import LABELS, write_tiny_records

from fashion_keras.export import main
from fashion_keras.serving.layout import ModelInfo

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_tiny_run(tmp_path_factory.mktemp("runs") / "tiny")


def test_export_writes_the_next_version_and_says_where(run, tmp_path, capsys):
    (tmp_path / "shop" / "4").mkdir(parents=True)
    assert main(["--model", str(run), "--output", str(tmp_path / "shop")]) == 0
    assert (tmp_path / "shop" / "5" / "saved_model.pb").is_file()
    out = capsys.readouterr().out
    assert str(tmp_path / "shop" / "5") in out
    assert "subCategory (7 classes)" in out
    assert "gender (2 classes)" in out


def test_export_by_name_puts_what_a_server_needs_beside_the_model(run, tmp_path, capsys):
    models = tmp_path / "models"
    assert main(["--model", str(run), "--output", str(models), "--name", "shop"]) == 0
    assert sorted(path.name for path in models.iterdir()) == [
        "batching_parameters.txt",
        "docker-compose.yml",
        "models.config",
        "shop",
    ]
    version = models / "shop" / "1"
    assert {path.name for path in version.iterdir()} >= {
        "README.md",
        "assets",
        "assets.extra",
        "saved_model.pb",
        "variables",
    }
    assert (version / "README.md").read_text("utf-8").count("v1/models/shop:predict") == 1
    captured = capsys.readouterr()
    assert str(models / "docker-compose.yml") in captured.out
    assert captured.err == ""


def test_export_without_a_name_writes_nothing_but_the_version(run, tmp_path):
    assert main(["--model", str(run), "--output", str(tmp_path / "shop")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["1"]


def test_export_says_what_an_edited_models_config_lacks(run, tmp_path, capsys):
    (tmp_path / "models.config").write_text("# ours\n")
    assert main(["--model", str(run), "--output", str(tmp_path), "--name", "shop"]) == 0
    assert "has been edited and does not list shop" in capsys.readouterr().err
    assert (tmp_path / "models.config").read_text() == "# ours\n"


def test_what_killed_exports_left_is_removed_by_the_next(run, tmp_path):
    for left in ("1.partial-4711", ".export.partial-killed", "2.partial-by-hand"):
        (tmp_path / "shop" / left).mkdir(parents=True)
        (tmp_path / "shop" / left / "saved_model.pb").write_bytes(b"half")
    assert main(["--model", str(run), "--output", str(tmp_path / "shop")]) == 0
    found = sorted(path.name for path in (tmp_path / "shop").iterdir())
    assert found == ["1", "2.partial-by-hand"]


def test_export_refuses_a_version_that_is_there(run, tmp_path, capsys):
    (tmp_path / "4").mkdir()
    assert main(["--model", str(run), "--output", str(tmp_path), "--version", "4"]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert list((tmp_path / "4").iterdir()) == []


def test_export_refuses_an_output_that_is_a_file(run, tmp_path, capsys):
    (tmp_path / "file").write_text("precious")
    assert main(["--model", str(run), "--output", str(tmp_path / "file" / "deep")]) == 2
    assert "is a file" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "precious"


def test_export_of_no_run_says_so_and_makes_no_folder(tmp_path, capsys):
    output = tmp_path / "shop"
    assert main(["--model", str(tmp_path / "none"), "--output", str(output)]) == 2
    assert "no trained model" in capsys.readouterr().err
    assert not output.exists()


def test_an_export_that_fails_leaves_no_folder_that_it_made(run, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("fashion_keras.serving.savedmodel.write_warmup", full)
    assert main(["--model", str(run), "--output", str(tmp_path / "models"), "--name", "shop"]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option",
    [["--version", "0"], ["--top", "0"], ["--top", "many"], ["--name", "a/b"], ["--name", "7"]],
)
def test_export_refuses_options_that_make_no_sense(tmp_path, option):
    with pytest.raises(SystemExit) as stopped:
        main(["--model", str(tmp_path), "--output", str(tmp_path), *option])
    assert stopped.value.code == 2


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_tiny_records(folder)
    return folder


@pytest.fixture(scope="module")
def run_on_records(tmp_path_factory):
    return save_tiny_run(tmp_path_factory.mktemp("runs") / "tiny", LABELS)


def test_small_models_are_checked_and_written_beside_the_savedmodels(
    run_on_records, records, tmp_path, capsys
):
    argv = ["--model", str(run_on_records), "--output", str(tmp_path), "--name", "shop"]
    argv += ["--top", "2"]
    argv += ["--format", "litert", "litert-int8", "--data", str(records), "--check-photos", "10"]
    assert main(argv) == 0
    folder = tmp_path / "shop"
    assert (folder / "litert" / "1" / "model.tflite").is_file()
    checked = json.loads((folder / "litert-int8" / "1" / "check.json").read_text("utf-8"))
    assert (checked["split"], checked["num_photos"]) == ("validation", 10)
    assert set(checked["results"]) == {"keras", "litert-int8"}
    assert ModelInfo.load(folder / "litert" / "1").top == 2
    result = checked["results"]["litert-int8"]
    assert result["bytes"] == (folder / "litert-int8" / "1" / "model.tflite").stat().st_size
    assert 0.5 < result["agreement"]["subCategory"] <= 1
    out = capsys.readouterr().out
    assert "subCategory of 10 photos of split validation" in out
    for start in ("keras", "litert ", "litert-int8"):
        assert [line for line in out.splitlines() if line.startswith(start)]
    # TF Serving, which reads this folder, takes a version with no SavedModel in it for broken.
    assert sorted(path.name for path in folder.iterdir()) == ["litert", "litert-int8"]


def test_a_small_model_without_records_is_written_unchecked(run, tmp_path, capsys):
    assert main(["--model", str(run), "--output", str(tmp_path), "--format", "litert"]) == 0
    assert sorted(path.name for path in (tmp_path / "litert" / "1").iterdir()) == [
        "README.md",
        "assets",
        "model.tflite",
    ]
    assert "Not checked" in capsys.readouterr().out


def test_int8_that_loses_more_than_a_point_says_so(
    run_on_records, records, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("fashion_keras.serving.small_models.points_lost", lambda *results: 1.04)
    argv = ["--model", str(run_on_records), "--output", str(tmp_path), "--format", "litert"]
    assert main([*argv, "--data", str(records), "--check-photos", "5"]) == 0
    error = capsys.readouterr().err
    assert "litert loses more than 1 point of accuracy: subCategory 1.0, baseColour 1.0" in error


def test_int8_needs_records(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--model", str(run), "--output", str(tmp_path), "--format", "litert-int8"])
    assert stopped.value.code == 2
    assert "needs --data" in capsys.readouterr().err


def test_records_of_other_classes_are_refused(run, records, tmp_path, capsys):
    argv = ["--model", str(run), "--output", str(tmp_path), "--format", "litert"]
    assert main([*argv, "--data", str(records)]) == 2
    assert "other subCategory classes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_onnx_without_its_packages_says_what_to_install(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["--model", str(run), "--output", str(tmp_path), "--format", "onnx"]) == 2
    assert 'pip install "fashion-keras[onnx]"' in capsys.readouterr().err


def test_a_small_model_of_a_version_that_is_there_is_refused(run, tmp_path, capsys):
    (tmp_path / "litert" / "2").mkdir(parents=True)
    argv = ["--model", str(run), "--output", str(tmp_path), "--format", "litert", "--version", "2"]
    assert main(argv) == 2
    assert "never overwritten" in capsys.readouterr().err


def test_argument_errors_need_no_tensorflow(tmp_path):
    script = (
        "import sys\nfrom fashion_keras.export import main as export\n"
        "from fashion_keras.predict import main as predict\n"
        f"codes = export(['--model', 'none', '--output', {str(tmp_path)!r}]), "
        "predict(['--model', 'none', 'photo.jpg'])\n"
        "sys.exit(str((codes, 'tensorflow' in sys.modules, 'keras' in sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1] == "((2, 2), False, False)"
