"""Content in; a file or folder that is either whole or not there, out.

Everything is written beside its place and then renamed, so a kill at any moment leaves what was
there before. A fixed name beside, not a new one each time: the next write clears a leftover.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from fashion_keras.errors import UserError


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it to `path` if the block succeeds.

    The name keeps its suffix, which some writers insist on. Example:

        with replacing(run / "best.keras") as partial:
            model.save(partial)
    """
    path = Path(path)
    partial = path.with_name(f"partial-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 file whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, value, indent: int | None = 1) -> None:
    """Write a JSON file whole or not at all; `ValueError` for NaN and infinity."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    write_text(path, f"{text}\n")


@contextlib.contextmanager
def replacing_folder(folder: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; put it in its place if the block succeeds.

    Holds the place against other processes meanwhile (`UserError` if one is at work there). What
    was there is set aside and removed only when the new folder is in place; a kill in between is
    repaired by the next call. The caller checks that what is there may be replaced.
    """
    folder = Path(folder).resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.partial")
    previous = folder.with_name(f".{folder.name}.previous")
    partial.mkdir(exist_ok=True)
    with locked(partial, f"another process is writing {folder}: wait until it is done"):
        if previous.exists() and not folder.exists():
            previous.rename(folder)
        for leftover in partial.iterdir():
            _remove(leftover)
        try:
            yield partial
            shutil.rmtree(previous, ignore_errors=True)
            if folder.exists():
                folder.rename(previous)
            try:
                partial.rename(folder)
            except OSError:
                if previous.exists():
                    previous.rename(folder)
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if folder.exists():
                shutil.rmtree(previous, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: str | os.PathLike, message: str) -> Iterator[None]:
    """Hold a folder for this process; `UserError` with `message` if another one holds it.

    The kernel gives the lock back however the process ends, so none is ever left behind. On
    Windows, and on file systems without locks, nothing is held.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(message) from None
        yield
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
