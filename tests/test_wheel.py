"""The wheel that a user installs: what is in it, and that it works away from the repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import fashion_keras
from fashion_keras.config import recipe_names

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("fashion_keras", "tests", "docs", "scripts")
# Beside the modules; the last three are of the model that comes with the package.
PACKED = (".yaml", ".html", ".css", ".js", ".j2", ".typed", ".keras", ".json", ".md")

pytestmark = pytest.mark.slow


def run(*command, cwd=None):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of the sources: building leaves folders beside them."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copytree(
            ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("README.md", "LICENSE", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / "source")
    build = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir")
    run(sys.executable, *build, folder / "dist", folder / "source")
    (made,) = (folder / "dist").glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of commands of a fresh environment with the wheel, and this one's packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    places = {"base": str(folder), "platbase": str(folder)}
    scripts = Path(sysconfig.get_path("scripts", "venv", places))
    own = Path(sysconfig.get_path("purelib", "venv", places))
    offline = ("install", "--no-deps", "--no-index", wheel)
    run(sys.executable, "-m", "pip", "--python", scripts / "python", *offline)
    # After the installation, which else finds this environment's fashion_keras.
    (own / "others.pth").write_text(sysconfig.get_path("purelib"))
    where = run(
        scripts / "python", "-c", "import fashion_keras as f; print(f.__file__)", cwd=folder
    )
    assert Path(where.strip()).is_relative_to(own)
    return scripts


def test_the_wheel_holds_the_package_with_its_files_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    package = ROOT / "fashion_keras"
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.suffix in (".py", *PACKED)
    }
    assert {name for name in names if name.startswith("fashion_keras/")} == expected
    assert {name.partition("/")[0] for name in names} == {
        "fashion_keras",
        f"fashion_keras-{fashion_keras.__version__}.dist-info",
    }


def test_the_installed_commands_work_outside_the_repository(installed, tmp_path):
    command = installed / "fashion-keras"
    assert run(command, "--version", cwd=tmp_path).split() == [
        "fashion-keras",
        fashion_keras.__version__,
    ]
    assert "usage: fashion-keras COMMAND" in run(command, "--help", cwd=tmp_path)
    listed = run(command, "recipes", cwd=tmp_path)
    assert [line.split(":")[0] for line in listed.splitlines() if not line.startswith(" ")] == list(
        recipe_names()
    )
    config = run(command, "train", "--recipe", "resnet18", "--print-config", cwd=tmp_path)
    assert "arch: resnet18" in config
    run(command, "sample", "catalogue", "--count", "100", cwd=tmp_path)
    assert len(list(tmp_path.glob("catalogue/images/*.jpg"))) == 100
    run(command, "convert", "--source", "catalogue", "--output", "records", cwd=tmp_path)
    assert (tmp_path / "records" / "dataset_info.json").is_file()
