import json
import multiprocessing
import os
import signal

import pytest

from fashion_keras.errors import UserError
from fashion_keras.io import locked, replacing, replacing_folder, write_json, write_text


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
