"""`run.json`: what is noted of a run's files, and when that is said to differ."""

import os

import pytest

from fashion_keras.errors import UserError
from fashion_keras.provenance import RUN_FILE, changing, check_files, is_current, note


@pytest.fixture
def run(tmp_path):
    for name in ("best.keras", "decision.json"):
        (tmp_path / name).write_text(name)
    note(tmp_path, "best.keras")
    note(tmp_path, "decision.json", made_from=["best.keras"])
    return tmp_path


def test_what_is_as_it_was_noted_is_current(run):
    check_files(run, "best.keras", "decision.json", "not-there.json")
    assert is_current(run, "decision.json", "best.keras")


def test_a_changed_file_is_refused(run):
    (run / "decision.json").write_text("other")
    for ask in (check_files, lambda *names: is_current(*names, "best.keras")):
        with pytest.raises(UserError, match=r"decision\.json is not what the run wrote"):
            ask(run, "decision.json")


def test_a_file_made_from_another_one_is_not_current(run):
    with changing(run, "best.keras"):
        (run / "best.keras").write_text("better")
    assert not is_current(run, "decision.json", "best.keras")
    with pytest.raises(UserError, match=r"made from another best\.keras than is there"):
        check_files(run, "decision.json")


def test_a_change_that_is_killed_leaves_the_file_not_noted_and_the_others_noted(run):
    with changing(run, "best.keras"):
        (run / "best.keras").write_text("better")
        check_files(run, "best.keras")  # as what comes after a kill here does
        (run / "decision.json").write_text("other")
        with pytest.raises(UserError):
            check_files(run, "decision.json")


def test_a_change_that_fails_before_it_changes_anything_changes_no_note(run):
    before = (run / RUN_FILE).read_bytes()
    with pytest.raises(OSError), changing(run, "best.keras"):
        raise OSError
    assert (run / RUN_FILE).read_bytes() == before


def test_a_run_that_noted_nothing_is_taken_as_it_lies_there_and_noted_when_it_changes(run):
    (run / RUN_FILE).unlink()
    os.utime(run / "decision.json", (100, 100))
    assert is_current(run, "decision.json", "best.keras")
    with changing(run, "best.keras"):
        (run / "best.keras").write_text("better")
    check_files(run, "best.keras")
    assert not is_current(run, "decision.json", "best.keras")


def test_a_file_whose_writing_was_killed_is_not_current(run):
    with changing(run, "decision.json", made_from=["best.keras"]):
        assert not is_current(run, "decision.json", "best.keras")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "files": {}}'])
def test_a_damaged_run_file_is_a_line(run, text):
    (run / RUN_FILE).write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        check_files(run, "best.keras")


def test_a_changed_run_file_is_said_to_be(run):
    path = run / RUN_FILE
    path.write_text(path.read_text().replace('"decision.json"', '"other.json"'))
    with pytest.raises(UserError, match="it was changed after it was written"):
        check_files(run, "best.keras")
