"""The engine: each task's result once, whatever dies; addresses that lead nowhere are lines."""

import functools
import os
import re
import socket
import sys
from pathlib import Path

import pytest
from cluster import tasks
from drawn_catalogue import draw_catalogue
from faults.listing import contents

from fashion_keras.cluster import engine
from fashion_keras.cluster.actors import ActorPool, run_together
from fashion_keras.cluster.engine import check_node, cluster_address, connected
from fashion_keras.convert import main
from fashion_keras.errors import UserError
from fashion_keras.progress import Reporter

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TESTS))
        with connected("local[2]", Reporter(bars=False)) as found:
            yield found


def test_each_task_is_answered_once_though_a_process_dies(cluster, tmp_path):
    work = functools.partial(tasks.die_once, tmp_path)
    assert sorted(cluster.map(work, range(12))) == [(i, i) for i in range(12)]
    assert (tmp_path / "died").exists()
    assert list(cluster.in_order(tasks.double, range(30))) == list(range(0, 60, 2))


def test_processes_that_keep_something_are_replaced_when_they_die(cluster, tmp_path):
    pool = ActorPool(cluster, functools.partial(tasks.keeper, tmp_path))
    assert sorted(pool.map(range(12))) == [(i, i) for i in range(12)]
    made = [path for path in tmp_path.iterdir() if path.name.startswith("made")]
    assert (tmp_path / "died").exists() and 2 <= len(made) <= 3


def test_tasks_are_taken_as_there_is_room(cluster):
    taken = []
    results = cluster.map(tasks.double, (taken.append(i) or i for i in range(100)))
    next(results)
    assert len(taken) <= 6
    results.close()


def test_convert_writes_the_same_bytes(cluster, tmp_path):
    shop = draw_catalogue(tmp_path / "shop", count=20)
    (shop / "images/1003.jpg").write_bytes((shop / "images/1003.jpg").read_bytes()[:400])
    options = ["--source", str(shop), "--shards", "3"]
    assert main([*options, "--output", str(tmp_path / "here")]) == 0
    assert main([*options, "--output", str(tmp_path / "there"), "--cluster", "local[2]"]) == 0
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


class Listener(Reporter):
    """Keeps what is noted."""

    def __init__(self, bars):
        super().__init__(bars=bars)
        self.notes = []

    def note(self, line):
        self.notes.append(line)

    def say(self, line):
        self.notes.append(line)


def test_progress_has_photos_a_second_and_nodes_in_a_log_and_in_a_bar(cluster, monkeypatch, capsys):
    monkeypatch.setattr(engine, "_LINE", 0.0)
    log, screen = Listener(bars=False), Listener(bars=True)
    for listener in (log, screen):
        with listener:
            seen = engine.Cluster(listener)
            for done in (0, 5, 10):
                seen.progress("classifying", done, 10)
    assert log.notes[0] == screen.notes[0] == "cluster: 1 node, 2 CPUs"
    assert re.fullmatch(r"classifying: 5 of 10 photos, [\d,]+ photos/s, 1 node", log.notes[1])
    assert len(log.notes) == 3 and len(screen.notes) == 1
    bar = capsys.readouterr().err
    assert "photos/s, 1 node" in bar and "classifying: 100%" in bar


def test_processes_that_work_together_know_each_other(cluster, tmp_path):
    listener = Listener(bars=False)
    introduce = functools.partial(tasks.introduce, tmp_path)
    assert run_together(cluster, 2, introduce, listener) == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"0": "2 2", "1": "2 2"}
    assert listener.notes == ["2 processes"]


def test_where_one_of_them_is_lost_or_refuses_all_end(cluster):
    with pytest.raises(UserError, match=r"was lost, .*--resume"):
        run_together(cluster, 2, tasks.lose_one, Reporter(bars=False))
    with pytest.raises(UserError, match=r"^the second refuses$"):
        run_together(cluster, 2, tasks.refuse_one, Reporter(bars=False))


def test_print_stays_pythons(cluster):
    """Ray would put its own in its place, for this whole process."""
    assert list(cluster.in_order(tasks.double, [1])) == [2]
    assert print.__module__ == "builtins"


def test_what_a_task_refuses_is_the_users_to_mend(cluster):
    with pytest.raises(UserError, match=r"^two is refused$"):
        list(cluster.map(tasks.refuse, range(4)))


def test_a_machine_that_sees_other_files_or_has_another_version_is_told(tmp_path):
    versions = engine._versions()
    file = tmp_path / "archive.zip"
    file.write_bytes(b"12345")
    check_node({str(tmp_path): None, str(file): 5}, versions)
    for places in ({str(file): 6}, {str(file): None}, {str(tmp_path / "none"): None}):
        with pytest.raises(UserError, match=f"machine {socket.gethostname()} does not see"):
            check_node(places, versions)
    with pytest.raises(UserError, match=r"has pillow .*, this one 1\.0"):
        check_node({}, {**versions, "pillow": "1.0"})


@pytest.mark.parametrize("text", ["", "localhost", "local", "local[0]", "ray://head:10001", "a:b"])
def test_what_is_no_address_is_said(text):
    with pytest.raises(UserError, match=r"--cluster .*expected auto"):
        cluster_address(text)


def convert_error(capsys, tmp_path, address):
    command = ["--source", str(tmp_path), "--output", str(tmp_path / "out"), "--cluster", address]
    assert main(command) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and len(captured.err.splitlines()) <= 2
    return captured.err


@pytest.fixture
def unconnected(monkeypatch):
    """As in a process that has no cluster, where this one may have the module's."""
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(engine, "_PATIENCE", 0.5)


@pytest.mark.parametrize("listens", [False, True])
def test_an_address_where_no_ray_answers_is_a_line(
    tmp_path, capsys, unconnected, monkeypatch, listens
):
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        if not listens:
            server.close()
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        for address in (f"127.0.0.1:{port}", "auto"):
            error = convert_error(capsys, tmp_path, address)
            assert f"--cluster {address}: no Ray answers" in error and f":{port} within" in error


def test_without_ray_a_line_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert 'pip install "fashion-keras[ray]"' in convert_error(capsys, tmp_path, "local[2]")


def test_no_option_of_convert_or_predict_loads_ray():
    program = (
        "import sys, fashion_keras.convert, fashion_keras.predict\n"
        "assert 'ray' not in sys.modules and 'grpc' not in sys.modules\n"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", program]) == 0
