"""The export command: what it writes, prints and refuses."""

import subprocess
import sys
from pathlib import Path

import pytest
from serving.tiny import save_tiny_run

from fashion_keras.export import main

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


@pytest.mark.parametrize(
    "option",
    [["--version", "0"], ["--top", "0"], ["--top", "many"], ["--name", "a/b"], ["--name", "7"]],
)
def test_export_refuses_options_that_make_no_sense(tmp_path, option):
    with pytest.raises(SystemExit) as stopped:
        main(["--model", str(tmp_path), "--output", str(tmp_path), *option])
    assert stopped.value.code == 2


def test_argument_errors_need_no_tensorflow(tmp_path):
    script = (
        "import sys; from fashion_keras import export, predict\n"
        f"codes = export.main(['--model', 'none', '--output', {str(tmp_path)!r}]), "
        "predict.main(['--model', 'none', 'photo.jpg'])\n"
        "sys.exit(str((codes, 'tensorflow' in sys.modules, 'keras' in sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1] == "((2, 2), False, False)"
