"""A run's folder in; what its files are and what each was made from, by content, out: `run.json`.

A file is noted with its sha256, and with the sha256 of what it was made from as that was then.
So a run may be copied, zipped and moved, and still tells a decision that was fitted to these
weights from one that was fitted to others, whatever its files' times are. A run of 0.1, which
noted nothing, is taken as it lies there, and noted so by the first command that changes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import fashion_keras
from fashion_keras.errors import UserError
from fashion_keras.io import write_sealed
from fashion_keras.reading import STRICT, damaged, read_json, sha256_of, short, unsealed, validated

RUN_FILE = "run.json"
FORMAT = 1
_MEND = "restore it, or remove it and do without the checks"
# A run of 0.1: its files, and what each depends on.
_FORMER = {
    **dict.fromkeys(
        ("config.yaml", "labels.json", "records.json", "teacher.npz", "best.keras"), ()
    ),
    **dict.fromkeys(("decision.json", "heads.json"), ("best.keras",)),
}


@dataclasses.dataclass(frozen=True)
class Noted:
    """A file's sha256, and those of the files that it was made from, by name."""

    __pydantic_config__ = STRICT

    sha256: str
    made_from: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _State:
    __pydantic_config__ = STRICT

    format: int
    fashion_keras: str
    files: Mapping[str, Noted]


@contextlib.contextmanager
def changing(
    folder: str | os.PathLike, *names: str, made_from: Sequence[str] = ()
) -> Iterator[None]:
    """Note files of a run when the block has written them; a kill in it leaves them not noted.

    Where it raises, files that are as they were are noted as they were.
    `made_from` names the run's files that they depend on. Example:

        with changing(run, "decision.json", made_from=["best.keras"]):
            decision.save(run / "decision.json")
    """
    folder = Path(folder)
    sources = fingerprints(folder, made_from)
    known = _read(folder)
    before = {name: known[name] for name in names if name in known}
    if before:
        _write(folder, {name: noted for name, noted in known.items() if name not in before})
    try:
        yield
    except BaseException:
        now = fingerprints(folder, names)
        same = {name: noted for name, noted in before.items() if now.get(name) == noted.sha256}
        if same:
            _write(folder, {**_read(folder), **same})
        raise
    found = fingerprints(folder, names)
    _write(folder, {**_read(folder), **{name: Noted(found[name], sources) for name in found}})


def note(folder: str | os.PathLike, *names: str, made_from: Sequence[str] = ()) -> None:
    """Note files of a run as they are."""
    with changing(folder, *names, made_from=made_from):
        pass


def fingerprints(folder: str | os.PathLike, names: Sequence[str]) -> dict[str, str]:
    """Return the sha256 of those of a run's files that are there."""
    paths = {name: Path(folder) / name for name in names}
    return {name: sha256_of(path) for name, path in paths.items() if path.is_file()}


def check_files(folder: str | os.PathLike, *names: str) -> None:
    """Raise `UserError` where files of a run are not what was noted, or made from other ones.

    A file that is not there is for the caller to miss.
    """
    folder = Path(folder)
    if not (folder / RUN_FILE).is_file():
        _migrate(folder)
    known = _read(folder)
    for name, sha256 in fingerprints(folder, names).items():
        if name not in known:
            continue
        if known[name].sha256 != sha256:
            raise _changed(folder / name)
        for source, then in known[name].made_from.items():
            if fingerprints(folder, [source]) != {source: then}:
                raise UserError(
                    f"{folder / name} was made from another {source} than is there: make it again"
                )


def is_current(folder: str | os.PathLike, name: str, source: str) -> bool:
    """Return whether a run's file is there and was made from `source` as that is now.

    A file that is not noted was being written when its command was killed. Raises `UserError`
    where it was changed since.
    """
    path = Path(folder) / name
    if not path.is_file():
        return False
    if not (Path(folder) / RUN_FILE).is_file():
        return True
    noted = _read(Path(folder)).get(name)
    if noted is None:
        return False
    if noted.sha256 != sha256_of(path):
        raise _changed(path)
    now = fingerprints(folder, [source])
    return noted.made_from.get(source) == now.get(source)


def _migrate(folder: Path) -> None:
    """Note the files of a run of 0.1 as they are; nothing where there are none."""
    found = fingerprints(folder, list(_FORMER))
    if found:
        sources = {name: {s: found[s] for s in _FORMER[name] if s in found} for name in found}
        _write(folder, {name: Noted(sha256, sources[name]) for name, sha256 in found.items()})


def _changed(path: Path) -> UserError:
    return UserError(
        f"{path} is not what the run wrote (its sha256 differs from {RUN_FILE}'s): restore it"
    )


def _read(folder: Path) -> Mapping[str, Noted]:
    path = folder / RUN_FILE
    if not path.is_file():
        return {}
    raw = read_json(path, _MEND)
    if raw.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {short(raw.get('format'))}, this fashion_keras reads {FORMAT}"
        )
    try:
        return validated(_State, unsealed(raw)).files
    except ValueError as error:
        raise damaged(path, error, _MEND) from None


def _write(folder: Path, files: Mapping[str, Noted]) -> None:
    state = _State(FORMAT, fashion_keras.__version__, dict(sorted(files.items())))
    write_sealed(folder / RUN_FILE, dataclasses.asdict(state))
