"""Content in; a file or folder that is either whole or not there, out.

Everything is written in a scratch folder beside its place and then renamed, so a kill at any
moment leaves what was there before. A scratch folder is locked while somebody works in it: the
next write of the same thing removes the ones that nobody holds. All of it is of this machine:
`gs://bucket/records` would be a local folder `gs:`, and `places` has local paths for addresses.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fashion_keras.errors import UserError
from fashion_keras.reading import digest

# One slash is enough, for `Path` makes one of two. One letter is a Windows drive.
_ADDRESS = re.compile(r"(?!file:/)[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_FILE = re.compile(r"file:/", re.IGNORECASE)
NO_ADDRESS = "is an address: expected a file or folder of this machine; copy it here first"


def is_address(path: str | os.PathLike) -> bool:
    """Return whether `path` is an address, such as `gs://bucket/x` or `https://shop.example/x`."""
    return _ADDRESS.match(os.fspath(path)) is not None


def place(path: str | os.PathLike) -> Path:
    """Return `path`, for argparse's `type` and for callers; `UserError` where it is an address."""
    return Path(place_text(path))


def place_text(path: str | os.PathLike) -> str:
    """Return `path` as it is written, a `file://` as the path; `UserError` for other addresses."""
    if is_address(path):
        raise UserError(f"{path} {NO_ADDRESS}")
    text = os.fspath(path)
    return unquote(urlsplit(text).path) if _FILE.match(text) else text


try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

_LONGEST_NAME = 200  # bytes of a name that a scratch folder's can hold beside its own 55
_LOST = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
_SURROGATE = re.compile("[\ud800-\udfff]")


# ---- written whole or not at all ----


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path of the same name to write to; move it to `path` if the block succeeds.

    The content is on the disk before the name is. Example:

        with replacing(run / "best.keras") as partial:
            model.save(partial)
    """
    path = place(path)
    with scratch_folder(path) as scratch, _called(path, scratch):
        partial = scratch / path.name
        yield partial
        _sync(partial)
        os.replace(partial, path)
        _sync(path.parent)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 file whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, value, indent: int | None = 1) -> None:
    """Write a JSON file whole or not at all; `ValueError` for NaN and infinity."""
    write_text(path, json_text(value, indent))


def write_sealed(path: str | os.PathLike, value: Mapping) -> None:
    """Write an object as JSON with the sha256 of its values, which `reading.unsealed` checks."""
    body = json.loads(json_text(value))
    write_json(path, {**body, "sha256": digest(body)})


def json_text(value, indent: int | None = 1) -> str:
    """Return a value as JSON with a line's end; `ValueError` for NaN and infinity.

    A file's name that is not UTF-8 is written with the escapes that a terminal shows.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return _SURROGATE.sub(lambda match: f"\\\\u{ord(match[0]):04x}", text) + "\n"


@contextlib.contextmanager
def replacing_folder(folder: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty folder of the same name; put it in `folder`'s place if the block succeeds.

    Holds the place against other processes meanwhile (`UserError` if one is at work there). What
    was there is set aside and removed only when the new folder is in place; a kill in between is
    repaired by the next call. The caller checks that what is there may be replaced.
    """
    folder = place(folder).resolve()
    if os.path.ismount(folder):
        raise UserError(
            f"{folder} is a mount point, which no finished folder can be renamed to: give a "
            f"folder in it, such as {folder / 'output'}"
        )
    made = [parent for parent in folder.parents if not parent.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    work, previous = (folder.with_name(f".{_short(folder)}.{x}") for x in ("partial", "previous"))
    descriptor = _hold(work, f"another process is writing {folder}: wait until it is done")
    try:
        if previous.exists() and not folder.exists():
            previous.rename(folder)
        for leftover in work.iterdir():
            remove(leftover)
        fresh = work / folder.name
        fresh.mkdir()
        with _called(folder, work):
            yield fresh
            put_folder(fresh, folder, previous)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
        for parent in made if not folder.exists() else ():
            with contextlib.suppress(OSError):  # somebody else has put something there
                parent.rmdir()
        _release(descriptor)


@contextlib.contextmanager
def scratch_folder(beside: str | os.PathLike, leftovers: str | None = None) -> Iterator[Path]:
    """Yield an empty folder beside the path `beside`, hidden and locked; remove it at the end.

    What killed processes left is removed first, see `sweep`.
    """
    beside = Path(beside)
    prefix = f".{_short(beside)}.partial-"
    with _called(beside, beside.parent, everything=True):
        sweep(beside, leftovers)
        while True:
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=beside.parent))
            try:
                descriptor = _lock(folder)
                break
            except (FileNotFoundError, BlockingIOError):
                continue  # another one's sweep came first
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _release(descriptor)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


# ---- locks ----


@contextlib.contextmanager
def locked(folder: str | os.PathLike, message: str = "", *, wait: bool = False) -> Iterator[None]:
    """Hold a folder for this process; `UserError` with `message` if another one holds it.

    To `wait` is to hold it when that one is done.
    The kernel gives the lock back however the process ends, so none is ever left behind. On
    Windows, and on file systems without locks, nothing is held.
    """
    try:
        descriptor = _lock(Path(folder), wait)
    except (BlockingIOError, FileNotFoundError):  # held, or just moved by who held it
        raise UserError(message) from None
    try:
        yield
    finally:
        _release(descriptor)


def _lock(folder: Path, wait: bool = False) -> int | None:
    """Return what `_release` takes, None where there are no locks.

    Raises `BlockingIOError` where another one holds it, and `FileNotFoundError` where the folder
    that was locked is no longer the one of this name.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks
            os.close(descriptor)
            return None
        if not os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(folder))
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise
    return descriptor


def _hold(folder: Path, message: str) -> int | None:
    """Make and lock a folder; `UserError` with `message` if another process holds it."""
    while True:
        with contextlib.suppress(FileExistsError):  # with exist_ok it is raised if it then goes
            folder.mkdir()
        try:
            return _lock(folder)
        except BlockingIOError:
            raise UserError(message) from None
        except FileNotFoundError:
            continue  # who held it has just removed it


def _release(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def sweep(beside: str | os.PathLike, leftovers: str | None = None) -> None:
    """Remove the scratch folders of a path that nobody holds: a killed process left them.

    And the folders beside it whose whole names match the regular expression `leftovers`. On
    Windows, and on file systems without locks, they stay, for nobody can say whether they are in
    use.
    """
    beside = Path(beside)
    ours = re.escape(f".{_short(beside)}.partial-") + ".*"
    pattern = re.compile(f"{ours}|{leftovers}" if leftovers else ours)
    with os.scandir(beside.parent) as entries:
        found = [entry for entry in entries if pattern.fullmatch(entry.name)]
    for entry in found:
        if not entry.is_dir(follow_symlinks=False):
            continue
        try:
            descriptor = _lock(Path(entry.path))
        except OSError:  # held, gone, or not ours to open
            continue
        if descriptor is not None:
            shutil.rmtree(entry.path, ignore_errors=True)
            os.close(descriptor)


# ---- renaming ----


def put_folder(fresh: Path, folder: Path, previous: Path) -> None:
    """Rename `fresh` to `folder`; what is there goes to `previous` first, and back on failure."""
    sync_folder(fresh)
    shutil.rmtree(previous, ignore_errors=True)
    try:
        if folder.exists():
            folder.rename(previous)
        fresh.rename(folder)
    except BaseException:
        if previous.exists() and not folder.exists():
            previous.rename(folder)
        raise
    _sync(folder.parent)


def sync_folder(folder: Path) -> None:
    """Have the disk take the files of a folder; of folders in it only that they are there."""
    for path in (*folder.iterdir(), folder):
        _sync(path)


def _sync(path: Path) -> None:
    """Have the disk take what was written, so that no later loss of power undoes the rename."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _LOST:
            raise
        # Folders on some systems, and pipes, cannot be synchronised.


@contextlib.contextmanager
def _called(path: Path, scratch: Path, *, everything: bool = False) -> Iterator[None]:
    """Let an error of the system name the path that somebody asked for, not a scratch one."""
    try:
        yield
    except OSError as error:
        inside = str(error.filename or "").startswith(os.fspath(scratch))
        if error.filename is not None and (everything or inside):
            error.filename, error.filename2 = os.fspath(path), None
        raise


def _short(path: Path) -> str:
    """Return a path's name, or a hash of it where it leaves a longer one no room."""
    name = os.fsencode(path.name)
    return path.name if len(name) <= _LONGEST_NAME else hashlib.sha256(name).hexdigest()[:32]
