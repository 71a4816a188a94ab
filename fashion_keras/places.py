"""An address in; a file or folder of this machine that mirrors it out, and back into the store.

Everything inside works on local files. What is read is mirrored in the cache, and a shard of
records when it is first needed. What is changed is changed in a mirror that this process holds, and
then uploaded: beside its place first, then a list of what goes where, then it is copied there
within the store. A reader that meets the list reads what it lists, so nobody ever sees half.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from fashion_keras.errors import UserError
from fashion_keras.io import is_address, locked, place, scratch_folder, write_json
from fashion_keras.progress import LOGGER, Reporter, open_bar
from fashion_keras.reading import read_json, sha256_of
from fashion_keras.store import Store, Stored, Unreachable, at_once, check_address, check_installed

CACHE_VARIABLE = "FASHION_KERAS_CACHE"
LAZY = ".tfrecord"  # not downloaded before `fetch`
# The files that make what they lie in valid: copied last, for those who know of no list.
SEALS = ("dataset_info.json", "run.json", "saved_model.pb", "model.tflite", "model.onnx")
STAGING = ".fashion_keras"
_LIST = "commit.json"
_STATE = "mirror.json"
_AT = f"{os.sep}at{os.sep}"
_READ, _WORK = "read", "work"
_OUTLINE = 2**16  # bytes: of larger files an outline has the names alone
_SAVE_EVERY = 5  # seconds
_P = ParamSpec("_P")
_R = TypeVar("_R")


class _Known(NamedTuple):
    """A mirrored file: size and time here, its version in the store, its sha256 if it is known."""

    size: int
    mtime: int
    version: str
    sha256: str = ""

    def is_of(self, path: Path) -> bool:
        try:
            status = path.stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime)


_changing: dict[str, Mirror] = {}  # by address: those that this process holds
_shown: dict[str, str] = {}  # the path of each mirror that was used, and its address
_bars: bool | None = None


# ---- what callers use ----


def anywhere(path: str | os.PathLike) -> Path | str:
    """Return a path, or the text of an address; `UserError` for an address that is none of ours.

    For argparse's `type`, and for callers. Example:

        >>> anywhere("file:///data/records"), anywhere("s3://bucket/records/")
        (PosixPath('/data/records'), 's3://bucket/records')
    """
    if not is_address(path):
        return place(path)
    address = check_address(os.fspath(path))
    check_installed(address)
    return address


def named(path: str | os.PathLike) -> str:
    """Return a path or an address as text, as it was given; raises as `anywhere`."""
    return os.fspath(anywhere(path)) if is_address(path) else os.fspath(path)


def local(path: str | os.PathLike, choose: Callable[[list[str]], set[str]] | None = None) -> Path:
    """Return a path as it is, and of an address a copy of what it holds, downloaded where new.

    Of records that is all but the shards, which `fetch` brings; of a folder what `choose` takes of
    its files' names. Raises `UserError` where nothing is there. Example:

        info = DatasetInfo.load(local("s3://bucket/records"))
    """
    found = anywhere(path)
    if isinstance(found, Path):
        return found
    address, below = _mirrored(found)
    return Mirror(address, _READ).pull(choose) / below


@contextlib.contextmanager
def changing(
    path: str | os.PathLike, *, replaced: bool = False, outline: bool = False
) -> Iterator[Path]:
    """Yield a path as it is, and of an address a mirror, uploaded if the block succeeds.

    `replaced` removes what the store has beside, if there is anything to upload; an `outline` has
    large files by name alone. Raises `UserError` where another process of this machine holds it,
    and where somebody else has changed it in the store meanwhile.
    """
    if (named_by := _address(path)) is None:
        yield place(path)
        return
    address, below = _mirrored(named_by)
    if address in _changing:
        yield _changing[address].path / below
        return
    mirror = Mirror(address, _WORK)
    with mirror.held():
        _changing[address] = mirror
        try:
            yield mirror.pull(outline=outline) / below
            mirror.push(replaced=replaced)
        finally:
            del _changing[address]


def changes(
    *names: str,
    replaced: bool = False,
    outline: bool = False,
    writes: Callable[[], bool] = lambda: True,
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a step whose arguments `names` are paths or addresses that it changes.

    The step is given paths, as `changing` yields them. Where `writes` says no, for this process
    is one of several and another one writes, it is given copies to read. Example:

        @changes("model")
        def calibrate(model, data, *, progress=True): ...
    """

    def decorate(step: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = inspect.signature(step)

        @functools.wraps(step)
        def on_mirrors(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            given = signature.bind(*args, **kwargs)
            with watched(given.arguments.get("progress", True)), contextlib.ExitStack() as stack:
                for name in names:
                    if (path := given.arguments.get(name)) is None:
                        continue
                    if writes():
                        mirror = changing(path, replaced=replaced, outline=outline)
                        given.arguments[name] = stack.enter_context(mirror)
                    else:
                        given.arguments[name] = _to_read(path)
                return step(*given.args, **given.kwargs)

        return on_mirrors

    return decorate


def _to_read(path: str | os.PathLike) -> Path:
    """Return as `local` a copy of what is at an address, but also where nothing is there yet."""
    address = _address(path)
    return place(path) if address is None else Mirror(address, _READ).pull(missing_ok=True)


def _address(path: str | os.PathLike) -> str | None:
    """Return an address as it is, of a path what it is a mirror of; raises as `anywhere`."""
    found = anywhere(path)
    return found if isinstance(found, str) else address_of(found)


@contextlib.contextmanager
def watched(progress: bool | Reporter) -> Iterator[None]:
    """Show downloads as a step's `progress` asks, and name addresses and no mirrors in errors."""
    global _bars
    before, _bars = _bars, progress.bars if isinstance(progress, Reporter) else progress and None
    try:
        yield
    except UserError as error:
        if (text := with_addresses(str(error))) == str(error):
            raise
        raise UserError(text) from error
    finally:
        _bars = before


def sync(path: str | os.PathLike) -> None:
    """Upload what has changed in a mirror that this process holds; do nothing for other paths.

    A store that cannot be reached is a warning: the next upload has this one's files too.
    """
    for mirror in list(_changing.values()):
        if Path(path).is_relative_to(mirror.path):
            try:
                mirror.push()
            except Unreachable as error:
                LOGGER.warning("%s. The next upload is tried with what comes until then", error)


def fetch(folder: str | os.PathLike, files: Mapping[str, tuple[int, str]]) -> None:
    """Download files, by name with size and sha256, that a mirror of records has not; else nothing.

    Raises `UserError` that names the file whose bytes are not those.
    """
    if (address := address_of(folder)) is not None:
        at, below = _mirrored(address)
        mirror = _changing.get(at) or Mirror(at, _READ)
        mirror.fetch({os.path.join(below, name): expected for name, expected in files.items()})


def address_of(path: str | os.PathLike) -> str | None:
    """Return the address that a path is a mirror of, None where it is none."""
    if (address := _shown.get(os.fspath(path))) is not None:
        return address
    try:
        tree, key, _, _, *below = Path(path).absolute().relative_to(cache()).parts
        state = read_json(cache() / tree / key / _STATE, "remove it")
    except (ValueError, UserError):
        return None
    return "/".join((state["address"], *below))


def with_addresses(text: str) -> str:
    """Return a text for people, in which mirrors have the names of their addresses."""
    for path, address in _shown.items() if _AT in text else ():
        if path in text:
            text = address.join(re.split(rf"{re.escape(path)}(?![\w.-])", text))
    return text


def cache() -> Path:
    """Return the folder of all mirrors: `FASHION_KERAS_CACHE`, or one in the user's `.cache`."""
    folder = os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "fashion_keras"
    return Path(os.path.realpath(folder))


def _mirrored(address: str) -> tuple[str, str]:
    """Return the address that is mirrored, and the name in it: a model needs what is beside it."""
    folder, _, name = address.rpartition("/")
    return (folder, name) if name.endswith(".keras") else (address, "")


# ---- a mirror ----


class Mirror:
    """A file or folder of this machine that is as an address, and a note of what is the same.

    Args:
        address: of the file or folder.
        tree: the part of the cache, for reading or for work: a reader never disturbs a training.
    """

    def __init__(self, address: str, tree: str):
        self.address = address
        self._home = cache() / tree / hashlib.sha256(address.encode()).hexdigest()[:24]
        self.path = self._home / "at" / address.rpartition("/")[2]
        _shown[str(self.path)] = address
        self._is_held = False
        self._known: dict[str, _Known] = {}
        self._seen: dict[str, str] = {}  # the store's versions, as of the last look
        self._before: set[str] = set()  # what was here then
        self._id = ""  # of this machine's uploads

    @functools.cached_property
    def store(self) -> Store:
        """The store, opened where it is needed."""
        return Store(self.address)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the mirror for this process alone."""
        self._make()
        busy = f"another process works on {self.address} on this machine: wait until it is done"
        with locked(self._home, busy):
            self._is_held = True
            yield

    def pull(
        self,
        choose: Callable[[list[str]], set[str]] | None = None,
        *,
        outline: bool = False,
        missing_ok: bool = False,
    ) -> Path:
        """Make the mirror as the store is, all but what is lazy or not chosen; return its path.

        Where it is held and the store is as it was last seen, what is here goes first: a kill came
        between a change and its upload.
        """
        self._make()
        with self._locked():
            if self._is_held:
                self._finish_uploads()
            while True:
                remote, _, _ = self._look()
                if not remote and not self._is_held and not missing_ok:
                    raise UserError(f"nothing is at {self.address}: check its name")
                ahead = self._is_ahead(remote)
                if not ahead:
                    self._drop({*self._here(), *self._known} - set(remote))
                chosen = remote if choose is None or "" in remote else choose(list(remote))
                wanted = {
                    name: remote[name]
                    for name in chosen
                    if self._lacks(name, remote[name], ahead, outline)
                }
                try:
                    self._download(wanted, outline=outline)
                except UserError:
                    if self._look()[0] == remote:
                        raise
                    continue  # somebody was writing it
                if not wanted or self._look()[0] == remote:
                    break
            self._seen = {name: file.version for name, file in remote.items()}
            self._before = set(self._here())
            self._save()
        return self.path

    def fetch(self, files: Mapping[str, tuple[int, str]]) -> None:
        """Download files, by name with size and sha256, that are not here as they should be."""
        with self._locked():
            wanted = {}
            for name, (size, sha256) in files.items():
                path, known = self._at(name), self._known.get(name)
                if known and known.is_of(path) and known.sha256 == sha256:
                    continue
                if path.is_file() and path.stat().st_size == size and sha256_of(path) == sha256:
                    self._note(name, known.version if known else "", sha256)
                    continue
                wanted[name] = Stored(size, self._seen.get(name, ""), self.store.key(name))
            self._download(wanted, {name: files[name][1] for name in wanted})
            self._save()

    def push(self, *, replaced: bool = False) -> None:
        """Upload what has changed here since the last look; a reader sees all of it or nothing.

        Raises `UserError` where somebody else has changed the same in the store meanwhile.
        """
        here = self._here()
        changed = {n: p for n, p in here.items() if not (k := self._known.get(n)) or not k.is_of(p)}
        gone = (self._before - here.keys()) & self._seen.keys()
        if replaced and changed:
            gone = self._seen.keys() - here.keys()
        if not changed and not gone:
            return
        self._finish_uploads()
        remote, staged, _ = self._look()
        for name in (*changed, *gone):
            if self._seen.get(name) != (remote[name].version if name in remote else None):
                raise UserError(
                    f"{self.address}/{name} was changed in the store meanwhile, by another process "
                    f"or person: what is here stays in {_real(self.path)}, and is not uploaded"
                )
        noted = {name: path.stat() for name, path in changed.items()}
        self._id = self._id or secrets.token_hex(8)
        self._save()  # an upload that is interrupted goes on where this says
        self._upload(changed, sorted(gone), staged)
        remote, _, _ = self._look()
        for name, status in noted.items():
            version = remote[name].version
            self._known[name] = _Known(status.st_size, status.st_mtime_ns, version)
        self._known = {name: known for name, known in self._known.items() if name not in gone}
        self._seen = {name: file.version for name, file in remote.items()}
        self._before = set(here)
        self._save()

    # -- the store's side --

    def _look(self) -> tuple[dict[str, Stored], dict[str, Stored], dict[str, dict]]:
        """Return what a reader should see, what waits beside it, and the lists of what goes where.

        Each machine that uploads has a folder of its own beside, so that none disturbs another.
        """
        files = self.store.files()
        staged = {name: files.pop(name) for name in list(files) if name.startswith(f"{STAGING}/")}
        lists = {}
        for name in staged:
            folder, _, last = name.rpartition("/")
            if last != _LIST or not (raw := self.store.read(self.store.key(name))):
                continue
            lists[folder] = listed = json.loads(raw)
            for name, sha256 in listed["files"].items():
                if (key := f"{folder}/{sha256}") in staged:
                    files[name] = staged[key]
            for name in listed["gone"]:
                files.pop(name, None)
        return files, staged, lists

    def _upload(self, changed: dict[str, Path], gone: list[str], staged: dict[str, Stored]) -> None:
        folder = f"{STAGING}/{self._id}"
        with self._bar(len(changed), "uploading to") as bar:
            if len(changed) == 1 and not gone:  # a store writes one file whole or not at all
                [(name, path)] = changed.items()
                self.store.put(path, self.store.key(name))
                bar.update()
                return
            sha256 = {name: sha256_of(path) for name, path in changed.items()}
            waiting = {}
            for name, path in changed.items():
                beside = f"{folder}/{sha256[name]}"
                # Else it is of an upload that was interrupted: that goes on.
                if beside not in staged or staged[beside].size != path.stat().st_size:
                    waiting[name] = (path, self.store.key(beside))
            bar.update(len(changed) - len(waiting))
            for _ in at_once(self.store.put, waiting.values()):
                bar.update()
        listed = json.dumps({"files": sha256, "gone": gone}).encode()
        self.store.write(self.store.key(f"{folder}/{_LIST}"), listed)
        self._finish_uploads()

    def _finish_uploads(self) -> None:
        """Put what waits beside in its place, where a list says that it is complete."""
        key = self.store.key
        _, staged, lists = self._look()
        for folder, listed in lists.items():
            moves = {n: (key(f"{folder}/{s}"), key(n)) for n, s in listed["files"].items()}
            last = [name for name in moves if name.rpartition("/")[2] in SEALS]
            try:
                for names in (moves.keys() - set(last), last):
                    for _ in at_once(self.store.copy, [moves[name] for name in names]):
                        pass
            except UserError:
                if self._look()[2].get(folder) == listed:
                    raise
                continue  # another machine was as quick
            self.store.remove(map(key, listed["gone"]))
            self.store.remove([key(f"{folder}/{_LIST}")])
            self.store.remove(key(name) for name in staged if name.startswith(f"{folder}/"))

    # -- this machine's side --

    def _make(self) -> None:
        _ = self.store  # a wrong address leaves nothing behind
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def _at(self, name: str) -> Path:
        return self.path / name if name else self.path

    def _here(self) -> dict[str, Path]:
        """Return the files that are here, without those that somebody is still writing."""
        if self.path.is_file():
            return {"": self.path}
        found = {}
        for folder, folders, files in os.walk(self.path):
            folders[:] = [name for name in folders if _is_whole(name)]
            for path in (Path(folder, name) for name in files if _is_whole(name)):
                found[path.relative_to(self.path).as_posix()] = path
        return found

    def _is_ahead(self, remote: Mapping[str, Stored]) -> bool:
        """Say whether what is here was made from what the store has."""
        if not self._is_held or bool(self._seen) != bool(remote):
            return False
        return all(n in remote and remote[n].version == v for n, v in self._seen.items())

    def _lacks(self, name: str, file: Stored, ahead: bool, outline: bool) -> bool:
        if name.endswith(LAZY) and not outline:
            return False
        path, known = self._at(name), self._known.get(name)
        if ahead and path.is_file() and known and (known.version or outline):
            return False
        return not (known and known.version == file.version and known.is_of(path))

    def _download(
        self,
        wanted: Mapping[str, Stored],
        sha256: Mapping[str, str] | None = None,
        *,
        outline: bool = False,
    ) -> None:
        """Download files beside, and rename those that have their size and their `sha256`."""
        if not wanted:
            return

        def wrong(name: str, path: Path) -> str | None:
            size, expected = path.stat().st_size, wanted[name].size
            if sha256 is None:
                return None if size == expected else f"{size:,} bytes of {expected:,}"
            if size != expected or sha256_of(path) != sha256[name]:
                return f"its sha256 is not that of {SEALS[0]}. Convert the catalogue again"
            return None

        def get(name: str, file: Stored) -> None:
            part, path = scratch / hashlib.sha256(name.encode()).hexdigest(), self._at(name)
            version = file.version
            if outline and file.size > _OUTLINE:
                part.touch()
                version = ""  # the name alone: not what the store has
            else:
                self.store.get(file.key, part, functools.partial(wrong, name))
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, path)
            self._note(name, version, (sha256 or {}).get(name, ""))

        saved = time.monotonic()
        with scratch_folder(self.path) as scratch, self._bar(len(wanted), "downloading") as bar:
            try:
                for _ in at_once(get, wanted.items()):
                    bar.update()
                    if time.monotonic() > saved + _SAVE_EVERY:  # a kill loses no more than that
                        self._save()
                        saved = time.monotonic()
            finally:
                self._save()

    def _drop(self, names: set[str]) -> None:
        for name in names:
            path = self._at(name)
            path.unlink(missing_ok=True)
            self._known.pop(name, None)
            for folder in path.parents:
                if not folder.is_relative_to(self.path):
                    break
                with contextlib.suppress(OSError):  # something else is in it
                    folder.rmdir()

    def _note(self, name: str, version: str, sha256: str = "") -> None:
        status = self._at(name).stat()
        self._known[name] = _Known(status.st_size, status.st_mtime_ns, version, sha256)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Wait for other readers of this machine, and take what they have noted."""
        with contextlib.nullcontext() if self._is_held else locked(self._home, wait=True):
            if not self._known:
                self._load()
            yield

    def _load(self) -> None:
        if not (self._home / _STATE).is_file():
            return
        state = read_json(self._home / _STATE, f"remove {self._home}")
        self._known = {name: _Known(*known) for name, known in state["files"].items()}
        self._seen, self._id = state["seen"], state["id"]

    def _save(self) -> None:
        files = dict(self._known)  # others of our threads go on noting
        state = {"address": self.address, "id": self._id, "seen": self._seen, "files": files}
        write_json(self._home / _STATE, state, indent=None)

    def _bar(self, count: int, what: str):
        shown = Reporter(bars=_bars).bars
        return open_bar(count, f"{what} {self.address}", " files", shown=shown, leave=False)


def _is_whole(name: str) -> bool:
    return not name.startswith(".") and not name.endswith((".partial", ".previous"))


def _real(path: Path) -> str:
    """Return a mirror's own path, which `shown` leaves as it is."""
    return f"{path.parent}{os.sep}"
