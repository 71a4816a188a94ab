import errno
import fcntl
import json
import multiprocessing
import os
import resource
import signal

import pytest

from fashion_keras.errors import UserError
from fashion_keras.io import (
    locked,
    replacing,
    replacing_folder,
    write_bytes,
    write_json,
    write_text,
)


def test_a_file_is_replaced_whole_and_nothing_stays_beside(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"ä": 1})
    assert json.loads(path.read_text("utf-8")) == {"ä": 1}
    write_text(path, "new\n")
    assert path.read_text() == "new\n"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(RuntimeError), replacing(path) as partial:
        assert partial.suffix == ".json"
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_folder_is_replaced_whole_and_nothing_stays_beside(tmp_path):
    folder = tmp_path / "deep" / "report"
    for text in ("old", "new"):
        with replacing_folder(folder) as partial:
            assert not list(partial.iterdir())
            (partial / "page.html").write_text(text)
        assert (folder / "page.html").read_text() == text
    assert os.listdir(folder.parent) == ["report"]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path):
    folder = tmp_path / "report"
    with replacing_folder(folder) as partial:
        (partial / "page.html").write_text("old")
    with pytest.raises(RuntimeError), replacing_folder(folder) as partial:
        (partial / "page.html").write_text("half")
        raise RuntimeError
    assert (folder / "page.html").read_text() == "old"
    assert os.listdir(tmp_path) == ["report"]


def _die_between_the_renames(folder):
    rename = type(folder).rename

    def rename_and_die(self, target):
        rename(self, target)
        os.kill(os.getpid(), signal.SIGKILL)

    type(folder).rename = rename_and_die
    with replacing_folder(folder) as partial:
        (partial / "page.html").write_text("new")


def test_a_kill_between_the_renames_is_repaired_by_the_next_call(tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "page.html").write_text("old")
    process = multiprocessing.get_context("fork").Process(
        target=_die_between_the_renames, args=(folder,)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not folder.exists()
    with pytest.raises(RuntimeError), replacing_folder(folder):
        raise RuntimeError
    assert (folder / "page.html").read_text() == "old"
    assert os.listdir(tmp_path) == ["report"]


def test_two_at_once_is_a_line(tmp_path):
    with (
        replacing_folder(tmp_path / "report"),
        pytest.raises(UserError, match="another process is writing"),
        replacing_folder(tmp_path / "report"),
    ):
        pass
    with (
        locked(tmp_path, "held"),
        pytest.raises(UserError, match="held"),
        locked(tmp_path, "held"),
    ):
        pass


def _killed(function, *arguments):
    """Run a function in a process of its own, which kills itself in it."""
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _die_while_writing(path):
    with replacing(path) as partial:
        partial.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_write_leaves_is_removed_by_the_next_of_the_same_file(tmp_path):
    path, other = tmp_path / "best.keras", tmp_path / "history.csv"
    write_text(path, "old")
    _killed(_die_while_writing, path)
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    write_text(other, "1")
    assert len(os.listdir(tmp_path)) == 3
    write_text(path, "new")
    assert sorted(os.listdir(tmp_path)) == ["best.keras", "history.csv"]


def test_two_writers_of_a_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as first:
        first.write_text("first")
        write_text(path, "second")
        assert path.read_text() == "second"
        assert first.read_text() == "first"
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_name_as_long_as_the_system_takes_is_written(tmp_path):
    for name in ("x" * 255, "ü" * 127):
        write_text(tmp_path / name, "text")
        assert (tmp_path / name).read_text() == "text"
        with replacing_folder(tmp_path / "folder" / name) as partial:
            (partial / "page.html").write_text("page")
    assert len(os.listdir(tmp_path)) == 3


def test_a_file_is_written_with_the_rights_that_any_new_file_has(tmp_path):
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "a.txt", "text")
    with replacing_folder(tmp_path / "folder"):
        pass
    (tmp_path / "plain-folder").mkdir()
    for one, other in (("plain", "a.txt"), ("plain-folder", "folder")):
        assert (tmp_path / one).stat().st_mode == (tmp_path / other).stat().st_mode


def _write_too_much(write, target):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        write(target)
    except OSError as error:
        assert (error.errno, error.filename) in ((errno.EFBIG, None), (errno.EFBIG, str(target)))
        os.kill(os.getpid(), signal.SIGKILL)


def _fill(folder):
    with replacing_folder(folder) as partial:
        (partial / "big").write_bytes(bytes(2000))


@pytest.mark.parametrize("write", [lambda path: write_bytes(path, bytes(2000)), _fill])
def test_a_disk_that_takes_no_more_leaves_what_was_there_and_nothing_beside(tmp_path, write):
    _killed(_write_too_much, write, tmp_path / "new" if write is not _fill else tmp_path / "a/b")
    assert os.listdir(tmp_path) == []


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(OSError) as raised:
        write_text("/proc/self/a.txt", "text")
    assert raised.value.filename == "/proc/self/a.txt"
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as raised:
        write_text(tmp_path / "folder", "text")
    assert raised.value.filename == str(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]
    with pytest.raises(FileNotFoundError) as raised:
        write_text(tmp_path / "none" / "a.txt", "text")
    assert raised.value.filename == str(tmp_path / "none" / "a.txt")


def _replace_many(folder, barrier, results):
    barrier.wait()
    for number in range(200):
        try:
            with replacing_folder(folder) as partial:
                (partial / "a").write_text(f"{os.getpid()} {number}")
                (partial / "b").write_text(f"{os.getpid()} {number}")
        except UserError:
            continue
    results.put("ended well")


def test_many_at_once_replace_a_folder_or_get_the_line(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(3), context.Queue()
    processes = [
        context.Process(target=_replace_many, args=(tmp_path / "f", barrier, results))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [results.get(timeout=5) for _ in processes] == ["ended well"] * 3
    assert (tmp_path / "f" / "a").read_text() == (tmp_path / "f" / "b").read_text()
    assert os.listdir(tmp_path) == ["f"]


def test_a_folder_that_was_moved_by_who_held_it_is_not_held(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    flock = fcntl.flock

    def moved_first(*arguments):
        folder.rename(tmp_path / "done")
        flock(*arguments)

    with (
        pytest.MonkeyPatch.context() as patched,
        pytest.raises(UserError, match="held"),
    ):
        patched.setattr(fcntl, "flock", moved_first)
        with locked(folder, "held"):
            pass
    os.close(descriptor)


def test_a_mount_point_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    with pytest.raises(UserError, match="mount point"), replacing_folder(tmp_path / "f"):
        raise AssertionError


def test_a_name_that_is_no_unicode_is_written_as_a_terminal_shows_it(tmp_path):
    write_json(tmp_path / "a.json", {"path": os.fsdecode(b"caf\xe9/x")})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"path": "caf\\udce9/x"}
