"""The predict command by a server: no TensorFlow, killed and resumed, in constant memory."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from serving.http_stand_in import CLASSES, serving
from serving.tiny import photo

from fashion_keras.predict import main

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def server():
    with serving() as state:
        yield state


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A zip of 60 photos, the last a bad one."""
    path = tmp_path_factory.mktemp("shop") / "shop.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(59):
            file.writestr(f"{number:03d}.jpg", photo(8 + number, 8, seed=number))
        file.writestr("059.jpg", b"x no photo")
    return path


def arguments(server, *more):
    return ["--server", server.url, "--name", "shop", "--batch-size", "4", *map(str, more)]


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# As fashion-keras predict, but a shell's background job inherits an ignored SIGINT.
COMMAND = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('fashion_keras.predict', run_name='__main__')"
)


def start(server, *more):
    command = [sys.executable, "-c", COMMAND, *arguments(server, *more)]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_table_holds_the_servers_answers(server, shop, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert main(arguments(server, shop, "--output", out, "--threshold", "0.75")) == 0
    found = rows(out)
    assert [row["id"] for row in found] == [f"{number:03d}" for number in range(60)]
    with zipfile.ZipFile(shop) as file:
        for row in found[:-1]:
            size = len(file.read(f"{row['id']}.jpg"))
            assert row["class"] == CLASSES[size % 3]
            assert float(row["class_score"]) == pytest.approx(0.5 + size % 50 / 100)
            assert row["class_decision"] == (
                "accept" if float(row["class_score"]) >= 0.75 else "review"
            )
    assert "not a photo" in found[-1]["error"]
    assert "warning: 1 of 60 photos" in capsys.readouterr().err


def test_lines_are_printed_where_no_output_is_given(server, shop, capsys):
    assert main(arguments(server, shop)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 60
    assert lines[0].split()[1] in CLASSES


def test_a_few_requests_are_in_flight_and_no_more(server, shop, tmp_path):
    server.seconds = 0.05
    out = tmp_path / "out.csv"
    assert main(arguments(server, shop, "--output", out, "--in-flight", "3")) == 0
    assert 1 < server.most_at_once <= 3
    assert sum(server.batches) == 59


def test_rest_needs_no_tensorflow(server, shop, tmp_path):
    program = (
        "import sys\n"
        "from fashion_keras.predict import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "assert not {'tensorflow', 'keras', 'grpc', 'pandas'} & sys.modules.keys()\n"
    )
    out = tmp_path / "out.csv"
    command = [sys.executable, "-c", program, *arguments(server, shop, "--output", out)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_a_killed_run_goes_on_where_it_was(server, shop, tmp_path, name):
    whole = tmp_path / f"whole-{name}"
    assert main(arguments(server, shop, "--output", whole)) == 0
    server.batches.clear()
    server.gate._value = 6  # answers, then none
    out, partial = tmp_path / name, tmp_path / f"{name}.partial"
    process = start(server, shop, "--output", out, "--in-flight", "2")
    wait_for(lambda: partial.exists() and partial.read_bytes().count(b"\n") >= 5 * 4)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not out.exists()
    kept = partial.read_bytes().count(b"\n") - (name == "out.csv")
    server.gate.release(10**6)
    time.sleep(0.2)  # the two requests that nobody waits for any more
    server.batches.clear()
    assert main(arguments(server, shop, "--output", out, "--resume")) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert sum(server.batches) == 59 - kept
    assert not partial.exists()


def test_an_interrupt_says_that_the_rows_are_kept(server, shop, tmp_path):
    server.gate._value = 6
    out = tmp_path / "out.csv"
    process = start(server, shop, "--output", out, "--in-flight", "2")
    wait_for(lambda: len(server.batches) >= 6)
    process.send_signal(signal.SIGINT)
    server.gate.release(10**6)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "out.csv.partial keeps" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("trouble", ["hangs", "is busy"])
def test_an_interrupt_does_not_wait_for_a_server_that(trouble, server, shop, tmp_path):
    if trouble == "hangs":
        server.gate._value = 3
    else:
        server.post = lambda path, body: server.batches.append(1) or (503, {"error": "busy"})
    process = start(server, shop, "--output", tmp_path / "out.csv", "--retries", "99")
    wait_for(lambda: len(server.batches) >= 3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)  # an answer is waited for twice as long, a retry for ever
    assert process.returncode == 130


def test_a_server_that_goes_away_is_an_error_and_keeps_the_rows(
    server, shop, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("fashion_keras.tagging.server_api._FIRST_WAIT", 0.01)
    answered = server.post

    def post(path, body):
        return answered(path, body) if len(server.batches) < 5 else (503, {"error": "gone"})

    server.post = post
    out = tmp_path / "out.csv"
    options = ["--in-flight", "1", "--retries", "1"]
    assert main(arguments(server, shop, "--output", out, *options)) == 2
    told = capsys.readouterr().err
    assert "keeps 20 rows: --resume goes on" in told
    assert "error: " + server.url + " does not answer: status 503" in told
    server.post = answered
    assert main(arguments(server, shop, "--output", out, "--resume")) == 0
    assert len(rows(out)) == 60


def test_no_server_is_an_error_and_leaves_nothing(shop, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as found:
        url = f"http://127.0.0.1:{found.getsockname()[1]}"
    out = tmp_path / "out.csv"
    command = ["--server", url, "--name", "shop", "--retries", "0", str(shop)]
    assert main([*command, "--output", str(out)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {url} does not answer")
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_catalogue(server, tmp_path):
    # Photos of 200 kB each: 10 MB or 200 MB of them in all.
    (tmp_path / "big.jpg").write_bytes(photo(8, 8) + os.urandom(200_000))
    peaks = []
    for count in (50, 1000):
        lines = [f"{number},big.jpg" for number in range(count)]
        (tmp_path / "list.csv").write_text("\n".join(["id,path", *lines]))
        process = start(server, tmp_path / "list.csv", "--output", tmp_path / f"{count}.csv")
        _, status, usage = os.wait4(process.pid, 0)
        process.communicate()
        assert status == 0
        peaks.append(usage.ru_maxrss / 1024)  # MiB
    assert peaks[1] < peaks[0] + 40, peaks


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
