"""Commands that lack something: room for a file, memory, a disk, an output, permission."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from faults.children import run_child
from faults.listing import contents, names
from faults.shop import (
    Shop,
    convert_argv,
    evaluate_argv,
    export_argv,
    index_argv,
    predict_argv,
    train_argv,
)

pytestmark = pytest.mark.faults

# What may stay where a command was stopped: what the same command takes up again.
TAKEN_UP = ("records.partial", "tags.csv.partial", "tags.parquet.partial")
NOBODY = 65534


def commands(shop, place):
    """Each command that writes, with its arguments, writing below `place`."""
    return {
        "convert": ("convert", convert_argv(shop.catalogue, place / "records")),
        "train": ("train", train_argv(shop.records, place / "run", epochs=1)),
        "export": ("export", export_argv(shop.run, place / "models")),
        "predict": ("predict", predict_argv(shop.bundle, place / "tags.csv", shop.photos)),
        "predict parquet": (
            "predict", predict_argv(shop.bundle, place / "tags.parquet", shop.photos),
        ),
        "evaluate": ("evaluate", evaluate_argv(shop.own_run, shop.records, place / "scores")),
        "index": ("demo", index_argv(shop.bundle, shop.records, place / "index")),
    }  # fmt: skip


COMMANDS = tuple(commands(Shop(Path()), Path()))


def run(shop, place, command, **how):
    module, argv = commands(shop, place)[command]
    if command.startswith("predict") and list(place.glob("*.partial")):
        argv = [*argv, "--resume"]
    return run_child(f"fashion_keras.{module}", argv, place.parent / "said", **how)


def check_refused(ended, place, command, figures, what):
    left = [path.name for path in place.iterdir() if path.name not in TAKEN_UP]
    figures(f"resources: {what}: {command}: code {ended.code}, {len(left)} left over")
    assert "Traceback" not in ended.err, ended.err
    assert ended.refused, ended.last()
    assert not left


@pytest.fixture
def place(tmp_path):
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_limit_on_the_size_of_files(shop, place, figures, command):
    # Beneath 10 kB TensorFlow cannot write what it makes of our functions, and says so at length.
    limit = 30_000 if command in ("export", "train") else 2_000
    ended = run(shop, place, command, limits={resource.RLIMIT_FSIZE: limit})
    check_refused(ended, place, command, figures, f"files of {limit // 1000} kB at most")
    assert run(shop, place, command).code == 0, "and nothing is in its way afterwards"


@contextlib.contextmanager
def small_disk(folder: Path, size: str):
    """Mount a file system of `size` in memory at `folder`; skip where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(shop, tmp_path, figures, command):
    disk = tmp_path / "disk"
    size = {"predict": "4k", "predict parquet": "8k"}.get(command, "24k")
    with small_disk(disk, size):
        place = disk / "place"
        place.mkdir()
        module, argv = commands(shop, place)[command]
        ended = run_child(f"fashion_keras.{module}", argv, tmp_path / "said")
        check_refused(ended, place, command, figures, f"a disk of {size}B")
        assert "space" in ended.err


@pytest.mark.parametrize("megabytes", [120, 200, 350])
def test_convert_in_little_memory(shop, place, figures, megabytes):
    """Only convert: where TensorFlow cannot have a thread, it ends the process itself."""
    ended = run(shop, place, "convert", more_memory=megabytes * 2**20)
    figures(f"resources: {megabytes} MB of memory: convert: code {ended.code}")
    assert ended.code == 0, ended.last()
    assert contents(place / "records") == contents(shop.records)


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2)], ids=["out", "err", "both"])
@pytest.mark.parametrize("command", ["convert", "predict", "evaluate"])
def test_closed_outputs_stop_no_command(shop, place, figures, command, closed):
    ended = run(shop, place, command, closed=closed)
    figures(f"resources: closed {closed}: {command}: code {ended.code}")
    assert ended.code == 0, ended.err


def test_a_shell_that_closes_the_outputs_of_a_refused_command(tmp_path):
    python = sys.executable
    script = f"{python} -m fashion_keras.convert --source nowhere --output x >&- 2>&-"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.fixture(scope="module")
def open_shop(shop):
    """A copy of the shop that any user of the machine can read, in a folder that one can enter."""
    with tempfile.TemporaryDirectory(prefix="fashion-keras-faults-") as folder:
        os.chmod(folder, 0o755)
        copy = Path(folder) / "shop"
        shutil.copytree(shop.folder, copy)
        yield Shop(copy)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_cannot_be_written_to(open_shop, tmp_path, figures, command):
    if os.getuid() != 0:
        pytest.skip("only root can run a command as nobody")
    place = open_shop.folder.parent / f"place of {command}"
    place.mkdir()
    module, argv = commands(open_shop, place)[command]
    said = open_shop.folder.parent / f"said of {command}"
    ended = run_child(f"fashion_keras.{module}", argv, said, uid=NOBODY)
    check_refused(ended, place, command, figures, "a folder of another user's")
    assert str(place) in ended.err


@pytest.mark.parametrize("part", ["records", "run", "models", "catalogue"])
def test_files_that_cannot_be_read(open_shop, tmp_path, figures, part):
    if os.getuid() != 0:
        pytest.skip("only root can run a command as nobody")
    command = {"records": "evaluate", "run": "export", "models": "predict", "catalogue": "convert"}
    place = open_shop.folder.parent / f"place without {part}"
    place.mkdir()
    os.chown(place, NOBODY, NOBODY)
    folder = getattr(open_shop, part)
    hidden = [path for path in folder.rglob("*") if path.is_file()]
    for path in hidden:
        path.chmod(0)
    try:
        module, argv = commands(open_shop, place)[command[part]]
        said = open_shop.folder.parent / f"said without {part}"
        ended = run_child(f"fashion_keras.{module}", argv, said, uid=NOBODY)
    finally:
        for path in hidden:
            path.chmod(0o644)
    check_refused(ended, place, command[part], figures, f"{part} of another user's")


def test_what_was_there_before_survives_a_full_disk(shop, tmp_path, figures):
    """An index, an evaluation and a table are replaced by whole ones or not at all."""
    disk = tmp_path / "disk"
    with small_disk(disk, "3m"):
        place = disk / "place"
        place.mkdir()
        for command in ("evaluate", "index", "predict"):
            assert run(shop, place, command).code == 0
        before, left = contents(place), names(place)
        free = shutil.disk_usage(disk).free
        (disk / "filler").write_bytes(b"x" * (free - 4096))
        for command in ("evaluate", "index", "predict"):
            ended = run_child(
                f"fashion_keras.{commands(shop, place)[command][0]}",
                commands(shop, place)[command][1],
                tmp_path / "said",
            )
            assert ended.refused, ended.last()
        found = {name for name in names(place) if name not in TAKEN_UP}
    figures(f"resources: replacing on a full disk: {len(found ^ set(left))} files lost or left")
    assert found == set(left)
    assert before
