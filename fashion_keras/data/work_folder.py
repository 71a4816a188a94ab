"""Where records are made: `OUTPUT.partial`, which can be taken up again and is then renamed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from fashion_keras.data import schema
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.io import locked

REPORT_FILE = "report.json"
PLAN_FILE, DONE_FILE = "plan.json", "done.json"
_SHARD = re.compile(
    rf"({'|'.join(schema.SPLITS)})-\d{{5,}}-of-\d{{5,}}{re.escape(schema.SHARD_SUFFIX)}"
)
_OURS = {schema.INFO_FILE, REPORT_FILE, PLAN_FILE, DONE_FILE}


def existing_records(output: Path, plan: dict, overwrite: bool) -> DatasetInfo | None:
    """Return the records at `output` if they are what `plan` would make, None if it is free.

    Free is also what `overwrite` may replace: records, but no folder with other files in it.
    Raises `UserError` where something else is in the way.
    """
    if not output.exists():
        return None
    if not output.is_dir():
        raise UserError(f"{output} is a file: give another --output")
    strangers = sorted(name for name in os.listdir(output) if not _is_ours(name))
    if strangers:
        raise UserError(
            f"{output} holds other files ({', '.join(strangers[:3])}"
            f"{', …' if len(strangers) > 3 else ''}): give another --output, such as "
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
                if _complete(output, info):
                    return info
                state = "damaged"
    raise UserError(
        f"{output} holds {state} records: give another --output, or --overwrite to replace them"
    )


@contextlib.contextmanager
def work_folder(output: Path, plan: dict, say: Callable[[str], None]):
    """Yield the folder to work in, with what a stopped conversion of the same plan left.

    Holds it against other processes meanwhile. Raises `UserError` where another one holds it,
    or where it is something else.
    """
    folder = output.with_name(output.name + ".partial")
    if folder.exists() and not (
        folder.is_dir() and all(_is_ours(name) for name in os.listdir(folder))
    ):
        raise UserError(f"{folder} is in the way and is no stopped conversion: move it")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, f"another conversion is working in {folder}: wait until it is done"):
        if read_json(folder / PLAN_FILE) == plan:
            say(f"going on with the conversion that was stopped in {folder}")
        else:
            if (folder / PLAN_FILE).exists():
                say(f"{folder} is a stopped conversion with other options: starting afresh")
            for path in folder.iterdir():
                path.unlink()
            write_json(folder / PLAN_FILE, plan)
        yield folder


def put_in_place(folder: Path, output: Path) -> None:
    """Rename a finished folder to `output`, and drop what was there before.

    Killed in between, the next conversion finds the finished folder and renames it.
    """
    aside = None
    if output.exists():
        aside = tempfile.mkdtemp(prefix=f"{output.name}.replaced-", dir=output.parent)
        os.replace(output, aside)
    os.replace(folder, output)
    for name in (PLAN_FILE, DONE_FILE):
        (output / name).unlink(missing_ok=True)
    if aside:
        shutil.rmtree(aside, ignore_errors=True)


def read_json(path: Path) -> dict:
    """Return what a JSON file holds, or {} where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_json(path: Path, value: dict, indent: int | None = None) -> None:
    """Write a JSON file beside and rename it, so that it is whole or not there."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(
        json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    os.replace(partial, path)


def _is_ours(name: str) -> bool:
    name = name.removesuffix(".partial")
    return name in _OURS or bool(_SHARD.fullmatch(name))


def _complete(output: Path, info: DatasetInfo) -> bool:
    shards = [shard for split in info.splits.values() for shard in split.shards]
    paths = [output / shard.file for shard in shards]
    return all(
        path.is_file() and path.stat().st_size == shard.num_bytes
        for path, shard in zip(paths, shards, strict=True)
    )
