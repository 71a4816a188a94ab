"""A run's folder in; held, begun whole or not at all, and checked before training goes on, out."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fashion_keras.config import Config
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.io import locked, sweep
from fashion_keras.provenance import RUN_FILE, check_files
from fashion_keras.reading import read_text
from fashion_keras.run import (
    BEST_MODEL_FILE,
    CHECKPOINTS,
    CONFIG_FILE,
    DECISION_FILE,
    HISTORY_FILE,
    LABELS_FILE,
    RECORDS_FILE,
    SAVED_MODEL,
    TEACHER_FILE,
    TENSORBOARD,
    load_labels,
    save_config,
    save_labels,
    save_records,
)

# What a run begins with; only when the config is there too it is one.
_BEFORE = (RECORDS_FILE, LABELS_FILE, RUN_FILE)
_FILES = (*_BEFORE, CONFIG_FILE, TEACHER_FILE, BEST_MODEL_FILE, HISTORY_FILE)
_FOLDERS = (CHECKPOINTS, TENSORBOARD)
_MEND = "restore it, or train anew"


@contextlib.contextmanager
def held(workdir: Path, *, fresh: bool) -> Iterator[None]:
    """Hold a run's folder against other commands that would change it; make it if it is `fresh`.

    Raises `UserError` where another command holds it, and where a fresh one holds something.
    """
    if fresh:
        _check_free(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
    with locked(workdir, f"another process is training in {workdir}: wait until it is done"):
        if fresh:
            _check_free(workdir)
        yield


def begin(
    workdir: Path, config: Config, info: DatasetInfo, labels: Mapping[str, Sequence[str]]
) -> None:
    """Make the folder a run that can be resumed: it is one with the last of these files."""
    remove_leftovers(workdir)
    for name in _BEFORE:
        (workdir / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        (workdir / name).mkdir(exist_ok=True)
    save_records(workdir, info)
    save_labels(workdir, labels)
    save_config(workdir, config)


def check_resumable(workdir: Path, labels: Mapping[str, Sequence[str]]) -> None:
    """Raise `UserError` where going on would lose what is there, or could not be finished."""
    if not checkpoints(workdir / CHECKPOINTS):
        _check_nothing_to_lose(workdir)
        return
    found = load_labels(workdir)
    if found != {label: tuple(classes) for label, classes in labels.items()}:
        state = "is missing" if found is None else "has other classes, or another order"
        raise UserError(f"{workdir / LABELS_FILE} {state}: {_MEND}")
    _check_best_model(workdir / BEST_MODEL_FILE)
    check_files(workdir, BEST_MODEL_FILE)


def remove_leftovers(workdir: Path) -> None:
    """Remove what a kill has left beside finished files, and all checkpoints but the last."""
    for folder in (workdir, *(workdir / name for name in (*_FOLDERS, SAVED_MODEL))):
        if folder.is_dir():
            sweep(folder / CONFIG_FILE, leftovers=r"\..+\.partial-.*")  # of any file of a run
    for name in _FILES:
        for former in (f"partial-{name}", f"{name}.partial"):  # of versions up to 0.1
            (workdir / former).unlink(missing_ok=True)
    folder = workdir / CHECKPOINTS
    stale = [path for _, path in checkpoints(folder)[:-1]]
    for pattern in ("partial", ".epoch-*.partial", ".epoch-*.previous"):
        stale += folder.glob(pattern)
    for path in stale:
        shutil.rmtree(path)


def undo(workdir: Path) -> None:
    """Remove what a run that ended before its first checkpoint made, so that it can be redone."""
    # Its first epoch may have been scored and kept already, or be half-written on a full disk.
    remove_leftovers(workdir)
    for name in _FILES:
        (workdir / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        shutil.rmtree(workdir / name, ignore_errors=True)
    with contextlib.suppress(OSError):  # not empty: something is in it that is not ours
        workdir.rmdir()


def checkpoints(folder: str | os.PathLike) -> list[tuple[int, Path]]:
    """Return the complete checkpoints in a folder as (epochs done, path), oldest first."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    named = ((re.fullmatch(r"epoch-(\d+)", path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in named if match)


def _check_free(workdir: Path) -> None:
    """Raise `UserError` unless there is nothing, or what was killed before it was a run."""
    if workdir.exists() and (
        not workdir.is_dir() or not all(_is_of_no_run(path) for path in workdir.iterdir())
    ):
        raise UserError(
            f"{workdir} is not empty: give another --workdir, or --resume to go on with it"
        )


def _is_of_no_run(path: Path) -> bool:
    if path.name in _FOLDERS:
        return path.is_dir() and not any(path.iterdir())
    scratch = tuple(f".{name}.partial-" for name in (*_BEFORE, CONFIG_FILE))
    return path.name in _BEFORE or path.name.startswith(scratch)


def _check_nothing_to_lose(workdir: Path) -> None:
    """Raise `UserError` where a run has come further than to its first checkpoint, and lost it."""
    history = workdir / HISTORY_FILE
    epochs = len(read_text(history).splitlines()) - 1 if history.is_file() else 0
    is_whole = (workdir / DECISION_FILE).is_file() or epochs > 1
    # The folder is there from the start: a kill within the first epoch leaves it empty.
    is_cut = (workdir / BEST_MODEL_FILE).is_file() and not (workdir / CHECKPOINTS).is_dir()
    if is_whole or is_cut:
        raise UserError(
            f"{workdir} has trained, but its {CHECKPOINTS}/ holds no epoch: there is nothing to "
            f"go on with,\nand {BEST_MODEL_FILE} would be overwritten. Restore it, or begin a run "
            f"from these weights: --weights {shlex.quote(str(workdir))}"
        )


def _check_best_model(file: Path) -> None:
    """Raise `UserError` where the best model so far is missing or damaged; Keras is not asked."""
    try:
        with zipfile.ZipFile(file) as archive:
            missing = {"config.json", "model.weights.h5"} - set(archive.namelist())
            part = archive.testzip() or ", ".join(sorted(missing))
    except Exception as error:  # zipfile raises a class a kind of damage
        raise UserError(f"{file} cannot be read ({str(error)[:160]}): {_MEND}") from None
    if part:
        raise UserError(f"{file} is damaged ({part}): {_MEND}")
