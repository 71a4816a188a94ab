"""How a command ends: its exit code, and what is printed on the way out."""

import errno
import os
import resource
import subprocess
import sys

import pytest
import tensorflow as tf

from fashion_keras.commands import run_command
from fashion_keras.data.image import decode
from fashion_keras.errors import UserError


def end_with(error):
    def command(argv):
        raise error

    return run_command(command)


def printed(capsys) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert len(captured.err.splitlines()) <= 2
    return captured.err.removeprefix("error: ")


def test_a_command_gets_its_arguments_and_ends_with_0():
    seen = []
    assert run_command(seen.append, ["--data", "x"]) == 0
    assert seen == [["--data", "x"]]


def test_what_the_user_can_mend_is_printed_and_ends_with_2(capsys):
    assert end_with(UserError("no photo at x\nGive a folder")) == 2
    assert printed(capsys) == "no photo at x\nGive a folder\n"


def test_interrupted_it_ends_with_130(capsys):
    assert end_with(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("name", ["runs/a/best.keras", None])
def test_a_full_disk_is_one_line(capsys, code, name):
    assert end_with(OSError(code, os.strerror(code), name)) == 2
    assert printed(capsys) == f"no space left on the disk ({name or 'while writing'})\n"


@pytest.mark.parametrize(
    "code", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR]
)
def test_a_path_that_cannot_be_used_is_named(capsys, code):
    assert end_with(OSError(code, os.strerror(code), "runs/a")) == 2
    assert printed(capsys) == f"cannot write or read runs/a: {os.strerror(code)}\n"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        RuntimeError("a bug"),
        OSError(errno.EACCES, "no path is known"),
        OSError(errno.EBADF, "a bug", "x"),
        tf.errors.InvalidArgumentError(None, None, "shapes differ"),
        tf.errors.NotFoundError(None, None, "Op type not registered"),
    ],
    ids=repr,
)
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(type(error)) as raised:
        end_with(error)
    assert raised.value is error


def test_what_argparse_refuses_ends_with_its_own_code():
    with pytest.raises(SystemExit) as raised:
        end_with(SystemExit(2))
    assert raised.value.code == 2


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("DataLossError", "corrupted record at 12", "a shard is damaged: corrupted record at 12"),
        ("ResourceExhaustedError", "x; No space left on device", "no space left on the disk: x"),
        ("InvalidArgumentError", "Feature: image/encoded (missing)", "holds other features"),
        ("NotFoundError", "a.tfrecord; No such file or directory", "a file is missing: a.tfrecord"),
        ("PermissionDeniedError", "a.tfrecord; Permission denied", "cannot write or read: a."),
    ],
)
def test_what_tensorflow_says_of_records_and_disks_ends_with_2(capsys, kind, text, expected):
    error = getattr(tf.errors, kind)(None, None, f"{text}\n\t [[node of the graph]]")
    assert end_with(error) == 2
    message = printed(capsys)
    assert expected in message and "graph" not in message


def test_a_photo_that_does_not_decode_ends_with_2(capsys):
    png = tf.io.encode_png(tf.zeros([8, 8, 3], tf.uint8)).numpy()[:-14]

    def command(argv):
        list(tf.data.Dataset.from_tensors(png).map(decode))

    assert run_command(command) == 2
    assert "does not decode: fashion-keras convert --verify" in printed(capsys)


def test_a_closed_pipe_is_met_in_silence_but_is_no_success(tmp_path):
    program = (
        "import sys\n"
        "from fashion_keras.commands import run_command\n"
        "sys.exit(run_command(lambda argv: print('x' * 1000)))\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, timeout=60
    )
    os.close(writer)
    assert ended.stderr == b""
    assert ended.returncode == 141


def test_a_name_that_the_terminal_cannot_show_is_no_error():
    program = (
        "import sys; from fashion_keras.commands import run_command; "
        "sys.exit(run_command(lambda argv: print('\\u00e9t\\u00e9.jpg')))"
    )
    environment = {
        **os.environ,
        "PYTHONIOENCODING": "ascii",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "\\xe9t\\xe9.jpg\n"


@pytest.mark.parametrize("code", [errno.EFBIG, errno.EMFILE, errno.EIO])
@pytest.mark.parametrize("name", ["runs/a/best.keras", None])
def test_a_limit_or_a_failing_drive_is_one_line(capsys, code, name):
    assert end_with(OSError(code, os.strerror(code), name)) == 2
    assert os.strerror(code) in printed(capsys)


def test_too_little_memory_is_one_line(capsys):
    assert end_with(MemoryError()) == 2
    assert "not enough memory" in printed(capsys)


def test_a_limit_that_tensorflow_meets_is_one_line(tmp_path, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write(argv):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            tf.io.write_file(str(tmp_path / "a"), "x" * 10_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert run_command(write) == 2
    assert "File too large" in printed(capsys)


def test_a_full_disk_that_tensorflow_meets_is_one_line_however_long_the_path(capsys):
    text = f"{'a' * 300}; No space left on device\n\tFailed to flush 1 events"
    assert end_with(tf.errors.ResourceExhaustedError(None, None, text)) == 2
    assert printed(capsys).startswith("no space left on the disk: aaa")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_a_closed_output_is_not_the_next_file_that_is_opened(tmp_path, closed):
    script = (
        "import os, sys\n"
        "from fashion_keras.commands import run_command\n"
        "def command(argv):\n"
        "    with open('made', 'w') as file:\n"
        "        print('to whoever reads', flush=True)\n"
        "        os.write(2, b'what C++ says')\n"
        "        file.write('mine')\n"
        "sys.exit(run_command(command))"
    )
    (tmp_path / "script.py").write_text(script)
    shell = f"{sys.executable} script.py {closed}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert (tmp_path / "made").read_text() == "mine"


def test_an_output_on_a_full_disk_fails_once(tmp_path):
    script = (
        "import sys\n"
        "from fashion_keras.commands import run_command\n"
        "sys.exit(run_command(lambda _: print('much')))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "error: no space left on the disk (while writing)\n"
