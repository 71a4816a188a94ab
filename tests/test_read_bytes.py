"""One way to read a file: no more than there is, no more than allowed, and never for ever."""

import os
import signal
import socket
import subprocess
import sys
import tracemalloc

import pytest

from fashion_keras.errors import UserError
from fashion_keras.reading import read_bytes


@pytest.fixture
def impatient():
    """Ends a test that waits for what never comes."""

    def give_up(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def make_link_to_a_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("size", [0, 1, 10])
def test_a_file_is_read_whole(tmp_path, size):
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(range(size)))
    assert read_bytes(path, 10) == bytes(range(size))


def test_a_file_over_the_limit_is_refused(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(2**20 + 1))
    with pytest.raises(UserError, match=r"a\.jpg is larger than 1 MiB"):
        read_bytes(path, 2**20)


def test_a_small_file_takes_little_memory(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"photo")
    tracemalloc.start()
    try:
        read_bytes(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_file_of_the_kernel_which_has_no_size_is_read():
    assert read_bytes("/proc/self/status").startswith(b"Name:")


@pytest.mark.parametrize("make", [make_pipe, make_socket, make_link_to_a_device, os.mkdir])
def test_what_is_no_file_is_refused_at_once(tmp_path, make, impatient, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    make(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"expected a file|directory|No such device"):
        read_bytes(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["nowhere.jpg", "zero\0byte.jpg", "x" * 300])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(UserError, match=r"^the photo cannot be read: "):
        read_bytes(tmp_path / name, name="the photo")


def test_a_file_that_does_not_fit_in_memory_is_an_error_of_that_file(tmp_path):
    path = tmp_path / "a.jpg"
    with open(path, "wb") as file:
        file.truncate(200 * 2**20)
    program = (
        "import resource, sys\n"
        "from fashion_keras.errors import UserError\n"
        "from fashion_keras.reading import read_bytes\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))\n"
        "try:\n"
        "    read_bytes(sys.argv[1])\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == f"{path} does not fit in memory\n", ended.stderr
