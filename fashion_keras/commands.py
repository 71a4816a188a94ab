"""A command's function in, its exit code out: how every command starts, fails and ends."""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from fashion_keras.errors import UserError
from fashion_keras.places import anywhere, with_addresses
from fashion_keras.progress import LOGGER
from fashion_keras.quiet import load_keras
from fashion_keras.text import printable

# A disk or a path that fails, not a bug of ours.
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_SUCH_PATH = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
# A limit of the shell's (ulimit), or a drive that fails: with or without a name.
_LIMITED = (errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE)

_LINES = "\n\t"
_BAR = re.compile(r"((?:\r|\n|\x1b\[A)*)(.*?)(\r?)", re.DOTALL)  # tqdm's moves, its bar, a move
USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count
CLOSED_PIPE = 141  # 128 + SIGPIPE


def run_command(function: Callable[[Sequence[str] | None], None], argv=None) -> int:
    """Run `function(argv)`; print what the user can mend in a line or two and return 2.

    A `UserError`, and failures of the disk, are the user's to mend. Anything else is a bug and
    keeps its traceback.
    """
    _open_what_is_closed()
    if hasattr(sys.stdout, "reconfigure"):
        # A name that a terminal cannot show is no error; stderr is made so by Python.
        sys.stdout.reconfigure(errors="backslashreplace")
    with (
        contextlib.redirect_stdout(Screen(sys.stdout)),
        contextlib.redirect_stderr(Screen(sys.stderr, bars=True)),
        _warnings_shown(),
    ):
        return _run(function, argv)


@contextlib.contextmanager
def _warnings_shown():
    """Print on standard error what the library warns of by its log."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)


class Screen:
    """A stream around another one, on which text from outside is seen and not obeyed.

    Class names, ids and file names are printed in dozens of places; what makes a terminal move its
    cursor, change its title or turn a line around is written out here, once for all.

    Args:
        stream: what is written to; whatever else is asked of it is passed on.
        bars: progress bars are drawn here: a text may go to the line's start, or up, first.
    """

    def __init__(self, stream: TextIO, *, bars: bool = False):
        self._stream = stream
        self._bars = bars

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text`, made harmless."""
        text = with_addresses(text)
        bar = _BAR.fullmatch(text) if self._bars else None
        before, shown, after = bar.groups() if bar else ("", text, "")
        self._stream.write(f"{before}{printable(shown, keep=_LINES)}{after}")
        return len(text)


def _run(function, argv) -> int:
    try:
        function(argv)
        sys.stdout.flush()  # so that a closed pipe is met here and not at the interpreter's exit
    except UserError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Someone closed our output, as `| head` does: no message, here or at the interpreter's
        # exit, but no success either, for what was left to do is not done.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except OSError as error:
        _drop_what_cannot_be_written()
        if error.errno in _FULL:
            return _complain(f"no space left on the disk ({error.filename or 'while writing'})")
        if error.errno in _LIMITED:
            name = f" {error.filename}" if error.filename else ""
            return _complain(f"cannot write or read{name}: {os.strerror(error.errno)}")
        if error.errno in _FORBIDDEN + _NO_SUCH_PATH and error.filename:
            return _complain(f"cannot write or read {error.filename}: {error.strerror}")
        raise
    except MemoryError:
        return _complain(
            "there is not enough memory: end other programs, or take fewer photos at a time"
        )
    except Exception as error:
        explained = _explain_tensorflow(error)
        if explained is None:
            raise
        return _complain(explained)
    return 0


def _open_what_is_closed() -> None:
    """Lead outputs that the shell has closed (`>&-`) nowhere.

    Else the next file that is opened would be given their number, and what TensorFlow has to say
    would be written into it.
    """
    for descriptor, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def _drop_what_cannot_be_written() -> None:
    """Lead the output nowhere where it is what failed, so that its end does not fail again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def positive_int(text: str) -> int:
    """Return an option's text as a whole number of 1 or more, for argparse's `type`."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return number


def add_run_and_records(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that works on a run and the records it was trained on."""
    parser.add_argument(
        "--model", required=True, type=anywhere, metavar="RUN", help="a training run's folder"
    )
    parser.add_argument(
        "--data", required=True, type=anywhere, metavar="DIR", help="the records it was trained on"
    )


def _complain(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return USER_ERROR


def _explain_tensorflow(error: Exception) -> str | None:
    """Return a line for what bad records or a full disk raise inside TensorFlow, or None."""
    tf = sys.modules.get("tensorflow")
    if tf is None:
        return None
    first = (str(error).splitlines() or [""])[0][:240]
    if isinstance(error, tf.errors.DataLossError):
        return f"a shard is damaged: {first}\nConvert the catalogue again, or check with --verify"
    if isinstance(error, tf.errors.OpError) and os.strerror(errno.ENOSPC) in str(error):
        return f"no space left on the disk: {first}"
    if isinstance(error, tf.errors.OpError) and (
        reason := next((r for r in map(os.strerror, _LIMITED) if r in str(error)), None)
    ):
        return f"cannot write or read: {reason} ({first})"
    if isinstance(error, tf.errors.ResourceExhaustedError) and "OOM" in first:
        return f"there is not enough memory: take fewer photos at a time ({first})"
    if isinstance(error, tf.errors.InvalidArgumentError) and "Feature: " in str(error):
        return (
            f"a shard holds other features than this fashion_keras writes: {first}\n"
            "Convert the catalogue again"
        )
    if isinstance(error, tf.errors.InvalidArgumentError) and re.search(
        r"Decode(Png|Jpeg|Image)", str(error)
    ):
        return (
            "a photo in the records does not decode: fashion-keras convert --verify DIR "
            "says which.\nConvert the catalogue again"
        )
    if isinstance(error, tf.errors.NotFoundError) and "No such file" in first:
        return f"a file is missing: {first}"
    if isinstance(error, tf.errors.PermissionDeniedError):
        return f"cannot write or read: {first}"
    return None


def check_backend(*allowed: str) -> None:
    """Import Keras; raise `UserError` unless it computes by one of `allowed`."""
    backend = load_keras().backend.backend()
    if backend not in allowed:
        raise UserError(
            f"Keras's backend is {backend!r}: expected {' or '.join(allowed)}.\n"
            f"Set KERAS_BACKEND={allowed[0]}, or change keras.json in ~/.keras"
        )
