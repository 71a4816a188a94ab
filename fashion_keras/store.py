"""An address in; what a cloud's store has there, read and written through fsspec, out.

fsspec and the stores' own packages come with the extra `[cloud]`, and are imported when an address
is first used. What they raise becomes a `UserError` that names the address.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fashion_keras.errors import UserError

# Each with the package that fsspec needs for it.
SCHEMES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "memory": "fsspec"}
AT_ONCE = 16  # requests: what hides the time that each of them takes, on a slow line too
_TRIES, _WAIT = 4, 0.5  # seconds before the second try, twice as many before the next
_VERSION = ("ETag", "etag", "md5Hash", "created")  # what stores call it that changes with a file
_SIGN_IN = ("Credential", "ClientAuthentication", "ProfileNotFound", "TokenRetrieval", "RefreshErr")
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EROFS)


class Unreachable(UserError):
    """A store that does not answer, or not as it should: later it may."""


class Stored(NamedTuple):
    """A file in a store: its size in bytes, what changes when it is written, and its key."""

    size: int
    version: str
    key: str


def check_address(address: str) -> str:
    """Return an address without a slash at its end; `UserError` where it is none that we know.

    Whether its store's package is here is another question: `check_installed`.

    Example:

        >>> check_address("s3://bucket/records/")
        's3://bucket/records'
    """
    scheme, _, rest = address.partition(":")
    known = ", ".join(f"{name}://" for name in SCHEMES if name != "memory")
    if scheme not in SCHEMES:
        raise UserError(f"{address} is an address that cannot be used: expected {known} or a path")
    if not rest.startswith("//") or not rest.strip("/"):
        example = f"{scheme}://{rest.strip('/') or 'BUCKET/NAME'}"
        raise UserError(f"{address} is an address without its //: expected {example}")
    if {"", ".", ".."} & set(rest.strip("/").split("/")):
        raise UserError(f"{address} is no address of a file or folder: expected names between /")
    return address.rstrip("/")


def check_installed(address: str) -> None:
    """Raise `UserError` where the package of an address's store is missing; imports nothing."""
    needed = SCHEMES[address.partition(":")[0]]
    if any(importlib.util.find_spec(package) is None for package in ("fsspec", needed)):
        raise UserError(
            f'{address} needs {needed}, which is not installed: pip install "fashion-keras[cloud]"'
        )


class Store:
    """What lies at an address and below it.

    Raises `UserError` where the address is wrong, or the package of its store is missing.
    """

    def __init__(self, address: str):
        self.address = check_address(address)
        check_installed(self.address)
        import fsspec

        with _explaining(self.address):
            # A listing that is kept would hide what others write meanwhile.
            self._fs = fsspec.filesystem(address.partition(":")[0], use_listings_cache=False)
        self._base = self._fs._strip_protocol(self.address)

    def files(self) -> dict[str, Stored]:
        """Return the files by their names below the address; "" is the address itself."""
        with _explaining(self.address):
            found = self._fs.find(self._base, detail=True)
        files = {}
        for key, info in found.items():
            name = key[len(self._base) :].removeprefix("/")
            if info["type"] != "file" or key.endswith("/"):
                continue  # some tools write an empty object for a folder
            if name and {"", ".", ".."} & set(name.split("/")):
                raise UserError(
                    f"{self.address}/{name} has no name that a file can have: remove it"
                )
            size = int(info["size"])
            version = next((str(info[key]) for key in _VERSION if info.get(key)), "")
            files[name] = Stored(size, f"{size} {version}", key)
        return files

    def key(self, name: str) -> str:
        """Return the key of what has a name below the address; "" is the address itself."""
        return f"{self._base}/{name}" if name else self._base

    def get(self, key: str, path: Path, check: Callable[[Path], str | None]) -> None:
        """Download to `path`, again where it fails or `check` says what is wrong with it."""
        for wait in (*(_WAIT * 2**n for n in range(_TRIES - 1)), None):
            try:
                with _explaining(self.address):
                    self._fs.get_file(key, os.fspath(path))
                if not (wrong := check(path)):
                    return
                failure = UserError(f"{self._named(key)} arrived wrong {_TRIES} times: {wrong}")
            except UserError as error:
                if isinstance(error.__cause__, FileNotFoundError | PermissionError):
                    raise UserError(f"{self._named(key)}: {error}") from error.__cause__
                failure = error
            if wait is None:
                raise failure
            time.sleep(wait)

    def put(self, path: Path, key: str) -> None:
        """Upload a file; it is there whole or not at all."""
        with _explaining(self.address):
            self._fs.put_file(os.fspath(path), key)

    def read(self, key: str) -> bytes | None:
        """Return the content of a small file, None where there is none."""
        with _explaining(self.address):
            try:
                return self._fs.cat_file(key)
            except FileNotFoundError:
                return None

    def write(self, key: str, content: bytes) -> None:
        """Write a small file."""
        with _explaining(self.address):
            self._fs.pipe_file(key, content)

    def copy(self, source: str, target: str) -> None:
        """Copy within the store."""
        with _explaining(self.address):
            self._fs.cp_file(source, target)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove files, those that are gone already too."""

        def remove(key: str) -> None:
            with _explaining(self.address), contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(key)

        for _ in at_once(remove, ((key,) for key in keys)):
            pass

    def _named(self, key: str) -> str:
        return self.address + key[len(self._base) :]


def at_once(function: Callable[..., object], tasks: Iterable[tuple]) -> Iterator[tuple]:
    """Call `function` with each task's parts, several at once; yield the tasks as they are done."""
    tasks = list(tasks)
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="store")
    try:
        calls = [pool.submit(function, *task) for task in tasks]
        for task, call in zip(tasks, calls, strict=True):
            call.result()
            yield task
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _explaining(address: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and (error.filename or error.errno in _DISK):
            raise  # of this machine's disk: stores' errors name no file
        raise _explained(address, error) from error


def _explained(address: str, error: Exception) -> UserError:
    """Return what a store's failure means for who named the address: each package has its own."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if isinstance(error, FileNotFoundError):
        return UserError(f"{address} is not there ({reason}): check its name, or make the bucket")
    if isinstance(error, PermissionError):
        return UserError(
            f"{address} may not be read or written ({reason}): ask for the right to list, read, "
            "write and remove there"
        )
    if any(part in type(error).__name__ for part in _SIGN_IN):
        return UserError(
            f"{address}: no credentials ({reason}): sign in as the store's own tools do"
        )
    return Unreachable(
        f"{address} cannot be reached ({type(error).__name__}: {reason}): try again; what is done "
        "already is kept"
    )
