"""Work in several processes or threads: in order, and none is left behind however it ends."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fashion_keras.data import shard_writer
from fashion_keras.data.shard_writer import map_in_order


def program(body):
    """Start a process of its own, which has no TensorFlow and so can fork."""
    lines = [
        "import os, signal, time",
        "from fashion_keras.data.shard_writer import map_in_order",
        body,
    ]
    return subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(params=["threads", "processes"])
def kind(request, monkeypatch):
    if request.param == "processes" and not shard_writer._can_fork():
        pytest.skip("nothing can fork here")
    monkeypatch.setattr(shard_writer, "_can_fork", lambda: request.param == "processes")


def test_results_come_in_order(kind):
    def slow_at_first(task):
        time.sleep(0.05 if task == 0 else 0)
        return task * 2

    assert list(map_in_order(slow_at_first, range(20), 3)) == list(range(0, 40, 2))


def test_the_collector_of_a_process_leaves_what_it_was_forked_with_alone():
    done = ended(
        program(
            "import gc\nprint(*map_in_order(lambda _: gc.get_freeze_count() > 1000, [1], 1),"
            " gc.get_freeze_count())"
        )
    )
    assert done[:2] == (0, "True 0\n"), done


def test_only_a_few_tasks_are_taken_ahead(kind):
    taken = []

    def tasks():
        for task in range(100):
            taken.append(task)
            yield task

    results = map_in_order(str, tasks(), 2)
    assert next(results) == "0" and len(taken) <= 6
    results.close()
    assert len(taken) <= 6


def test_an_error_reaches_who_asked(kind):
    def fail(task):
        raise ValueError(f"task {task}")

    with pytest.raises(ValueError, match="task 0"):
        list(map_in_order(fail, range(5), 2))


def test_where_tensorflow_is_loaded_nothing_forks(monkeypatch):
    monkeypatch.setattr(shard_writer.sys, "platform", "linux")
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    assert set(map_in_order(lambda task: os.getpid(), range(9), 2)) == {os.getpid()}


linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")


@linux
def test_processes_answer_in_order_and_know_what_the_function_knows():
    process = program(
        "secret = {'a': object()}\n"
        "def work(task):\n"
        "    time.sleep(0.01)\n"
        "    return task, os.getpid(), 'a' in secret\n"
        "found = list(map_in_order(work, range(40), 2))\n"
        "assert [task for task, _, _ in found] == list(range(40))\n"
        "assert all(knows for _, _, knows in found)\n"
        "assert len({pid for _, pid, _ in found} - {os.getpid()}) == 2\n"
    )
    assert ended(process) == (0, "", "")


@linux
def test_a_process_that_dies_is_told():
    process = program(
        "from fashion_keras.errors import UserError\n"
        "try:\n"
        "    list(map_in_order(lambda task: os.kill(os.getpid(), signal.SIGKILL), range(9), 2))\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    code, out, err = ended(process)
    assert (code, err) == (0, "") and "for want of memory" in out


@linux
def test_ctrl_c_is_answered_once():
    process = program(
        "import os\n"
        "def work(task):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(0.5)\n"
        "list(map_in_order(work, range(1000), 2))\n"
    )
    at_work = set()  # until both are: one that is just being forked knows nothing of Ctrl-C yet
    while len(at_work) < 2:
        at_work.add(process.stdout.readline())
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = ended(process)
    assert code == -signal.SIGINT and err.count("Traceback") == 1


@linux
def test_no_process_survives_the_one_that_started_it():
    process = program(
        "def work(task):\n"
        "    print('at work', flush=True)\n"
        "    time.sleep(0.2)\n"
        "list(map_in_order(work, range(1000), 2))\n"
    )
    for _ in range(6):
        process.stdout.readline()
    process.kill()
    process.communicate(timeout=60)  # returns when no process holds the output open any more


def test_a_download_that_is_over_leaves_no_thread_that_forbids_to_fork(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    names = ["MainThread"]
    monkeypatch.setattr(
        threading, "enumerate", lambda: [threading.Thread(name=name) for name in names]
    )
    assert shard_writer._can_fork()
    names += ["fsspecIO", "asyncio_0"]
    assert shard_writer._can_fork()
    names += ["reader"]
    assert not shard_writer._can_fork()
