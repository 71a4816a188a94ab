"""Where records are made: `OUTPUT.partial`, which can be taken up again and is then renamed."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from fashion_keras.data import schema
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.io import locked, put_folder, remove, write_json
from fashion_keras.reading import read_json
from fashion_keras.text import some

REPORT_FILE = "report.json"
PLAN_FILE, DONE_FILE = "plan.json", "done.json"
_SHARD = re.compile(
    rf"({'|'.join(schema.SPLITS)})-\d{{5,}}-of-\d{{5,}}{re.escape(schema.SHARD_SUFFIX)}"
)
_SCRATCH = re.compile(r"\.(.+)\.partial-[^.]+")  # of a file that a killed process was writing
_OURS = {schema.INFO_FILE, REPORT_FILE, PLAN_FILE, DONE_FILE}


def existing_records(output: Path, plan: dict, overwrite: bool) -> DatasetInfo | None:
    """Return the records at `output` if they are what `plan` would make, None if it is free.

    Free is also what `overwrite` may replace: records, but no folder with other files in it.
    Raises `UserError` where something else is in the way.
    """
    if not output.exists() and _aside(output).is_dir() and _work(output).is_dir():
        with locked(_work(output), _taken(output)):
            _repair(output)
    info = _existing(output, plan, overwrite)
    if info:
        with contextlib.suppress(UserError, OSError), locked(output, _taken(output)):
            _tidy(output)
    return info


@contextlib.contextmanager
def work_folder(output: Path, plan: dict, say: Callable[[str], None], overwrite: bool = False):
    """Yield the folder to work in, with what a stopped conversion of the same plan left.

    Holds it against other processes meanwhile. Raises `UserError` where another one holds it or
    has made records at `output` in the meantime, or where it is something else.
    """
    folder = _work(output)
    if folder.exists() and not (
        folder.is_dir() and all(_is_ours(name) for name in os.listdir(folder))
    ):
        raise UserError(f"{folder} is in the way and is no stopped conversion: move it")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, _taken(output)):
        _repair(output)
        # Again, since all photos have been looked at: nothing that was made meanwhile is replaced.
        if _existing(output, plan, overwrite):
            shutil.rmtree(folder)
            raise UserError(f"another conversion has made these records at {output} meanwhile")
        if _left_plan(folder) == plan:
            say(f"going on with the conversion that was stopped in {folder}")
        else:
            if (folder / PLAN_FILE).exists():
                say(f"{folder} is a stopped conversion with other options: starting afresh")
            for path in folder.iterdir():
                remove(path)
            write_json(folder / PLAN_FILE, plan)
        yield folder


def put_in_place(folder: Path, output: Path) -> None:
    """Rename a finished folder to `output`, and drop what was there before.

    Killed in between, the next conversion puts back what was there, and goes on.
    """
    put_folder(folder, output, _aside(output))
    _tidy(output)


def _existing(output: Path, plan: dict, overwrite: bool) -> DatasetInfo | None:
    if not output.exists():
        return None
    if not output.is_dir():
        raise UserError(f"{output} is a file: give another --output")
    strangers = sorted(name for name in os.listdir(output) if not _is_ours(name))
    if strangers:
        raise UserError(
            f"{output} holds other files ({some(strangers, 3)}): give another --output, such as "
            f"{output / 'records'}"
        )
    if overwrite or not os.listdir(output):
        if os.path.ismount(output):
            raise UserError(
                f"{output} is a mount point, which no finished folder can be renamed to: give a "
                f"folder in it, such as {output / 'records'}"
            )
        return None
    state = "unfinished"
    if (output / schema.INFO_FILE).is_file():
        state = "other"
        with contextlib.suppress(UserError):
            info = DatasetInfo.load(output)
            if {key: info.source.get(key) for key in plan} == plan:
                info.fetch(output)
                if _complete(output, info):
                    return info
                state = "damaged"
    raise UserError(
        f"{output} holds {state} records: give another --output, or --overwrite to replace them"
    )


def _left_plan(folder: Path) -> dict | None:
    """Return the plan of a stopped conversion, None where there is none that can be read."""
    try:
        return read_json(folder / PLAN_FILE, "it is made anew")
    except UserError:
        return None


def _work(output: Path) -> Path:
    return output.with_name(f"{output.name}.partial")


def _aside(output: Path) -> Path:
    """Return where records wait while those that replace them are put in their place."""
    return output.with_name(f"{output.name}.partial.previous")


def _taken(output: Path) -> str:
    return f"another conversion is working in {_work(output)}: wait until it is done"


def _tidy(output: Path) -> None:
    """Remove what only the work needed, from finished records and from beside them."""
    for name in os.listdir(output):
        if name in (PLAN_FILE, DONE_FILE) or _SCRATCH.fullmatch(name) or name.endswith(".partial"):
            remove(output / name)
    _repair(output)


def _repair(output: Path) -> None:
    """Put back, or remove, what conversions have set aside that were then killed."""
    aside = _aside(output)
    if not output.exists():
        if aside.is_dir():
            os.replace(aside, output)
        return
    # Earlier versions set records aside under a name of each time's own.
    for found in (aside, *output.parent.glob(f"{glob.escape(output.name)}.replaced-*")):
        if found.is_dir() and all(_is_ours(name) for name in os.listdir(found)):
            shutil.rmtree(found, ignore_errors=True)


def _is_ours(name: str) -> bool:
    scratch = _SCRATCH.fullmatch(name)
    name = scratch[1] if scratch else name.removesuffix(".partial")
    return name in _OURS or bool(_SHARD.fullmatch(name))


def _complete(output: Path, info: DatasetInfo) -> bool:
    shards = [shard for split in info.splits.values() for shard in split.shards]
    paths = [output / shard.file for shard in shards]
    return all(
        path.is_file() and path.stat().st_size == shard.num_bytes
        for path, shard in zip(paths, shards, strict=True)
    )
