"""Rows of many processes in; parts beside a table, which become the table in order, out.

`OUTPUT.parts` holds a file for each part of the photos, whole or not there, and `manifest.jsonl`:
what the parts are of, then a line for each part that is done. Imports no TensorFlow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fashion_keras.errors import UserError
from fashion_keras.io import json_text, locked, write_bytes
from fashion_keras.reading import STRICT, digest, sha256_of, validated
from fashion_keras.tagging.row_table import Table

MANIFEST = "manifest.jsonl"


@dataclasses.dataclass(frozen=True)
class Part:
    """What the manifest says of a part: its file, and how many of its rows are errors.

    `first` is the path and the reason of the first error.
    """

    __pydantic_config__ = STRICT

    number: int
    rows: int
    errors: int
    num_bytes: int
    sha256: str
    first: tuple[str, str] | None = None


def parts_folder(output: Path) -> Path:
    """Return where the parts of a table are."""
    return output.with_name(f"{output.name}.parts")


def part_path(folder: Path, number: int) -> Path:
    """Return the file of a part."""
    return folder / f"part-{number:06d}"


def write_part(folder: Path, number: int, rows: Sequence[bytes], errors: Sequence[tuple]) -> Part:
    """Write a part's encoded rows, whole or not at all; return what the manifest says of it."""
    path, data = part_path(folder, number), b"".join(rows)
    write_bytes(path, data)
    first = errors[0] if errors else None
    return Part(number, len(rows), len(errors), len(data), sha256_of(path), first)


class Parts:
    """The parts of a table while they are made; `opened_parts` makes it.

    Attributes:
        folder: where they are.
        done: those that are there, by number.
    """

    def __init__(self, folder: Path, kept: int | None, plan: str | None, done: dict[int, Part]):
        self.folder, self.kept, self.done = folder, kept, done
        self._plan = plan

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(part.rows for part in self.done.values())

    def begin(self, table: Table, plan: Mapping[str, Any]) -> None:
        """Say what the parts are of; `UserError` where those that are there are of other things."""
        found = digest(json.loads(json_text(plan)))
        if self._plan is None:
            self._plan, self.kept = found, table.end
            self._append({"plan": found, "kept_bytes": table.end, **plan})
        elif found != self._plan:
            raise UserError(
                f"{self.folder} was begun with other photos, labels, thresholds, model or "
                "--batch-size:\ngive the same, or remove it to start anew"
            )

    def add(self, part: Part) -> None:
        """Note a part that a machine has written; `UserError` where it is not to be seen here."""
        path = part_path(self.folder, part.number)
        if not path.is_file() or path.stat().st_size != part.num_bytes:
            raise UserError(
                f"{path} is not here as a machine of the cluster has written it: expected an "
                "--output on a file system that all machines share"
            )
        self._append(dataclasses.asdict(part))
        self.done[part.number] = part

    def pour(self, table: Table) -> None:
        """Append all rows to a table, in order; `UserError` where a part is damaged."""
        for number in sorted(self.done):
            part, path = self.done[number], part_path(self.folder, number)
            if not path.is_file() or sha256_of(path) != part.sha256:
                raise UserError(f"{path} is damaged: remove it, and give the command again")
            table.append(path.read_bytes(), part.rows, part.errors)

    def _append(self, line: Mapping[str, Any]) -> None:
        with open(self.folder / MANIFEST, "ab") as file:
            file.write(json_text(line, indent=None).encode("utf-8"))


def check_no_parts(output: Path) -> None:
    """Raise `UserError` where a run on a cluster has left parts of a table."""
    if (folder := parts_folder(output)).exists():
        raise UserError(
            f"{folder} is there, from a run on a cluster that was interrupted: continue it with "
            "--cluster and --resume,\nor remove it to start anew"
        )


@contextlib.contextmanager
def opened_parts(output: Path, *, resume: bool) -> Iterator[Parts]:
    """Open the parts of a table, and hold them against other processes; removed at a good end.

    With `resume` those that are there are kept. A table that was killed while they were poured
    into it is cut to what it held before. Raises `UserError` where there are some and not
    `resume`, or another process is at work.
    """
    if not resume:
        check_no_parts(output)
    folder, partial = parts_folder(output), output.with_name(f"{output.name}.partial")
    folder.mkdir(exist_ok=True)
    with locked(folder, f"{folder} is being written by another process: wait for it"):
        parts = _read(folder)
        if parts.kept is not None and partial.exists() and partial.stat().st_size > parts.kept:
            os.truncate(partial, parts.kept)
        try:
            yield parts
        except BaseException:
            if not parts.done:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder)


def _read(folder: Path) -> Parts:
    """Return what the manifest says, as far as it was written and the files are there."""
    path = folder / MANIFEST
    whole = path.read_bytes().rpartition(b"\n")[0].splitlines() if path.exists() else []
    if not whole:
        path.unlink(missing_ok=True)
        return Parts(folder, None, None, {})
    try:
        first, *lines = map(json.loads, whole)
        found = [validated(Part, line) for line in lines]
        plan, kept = str(first["plan"]), int(first["kept_bytes"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: remove {folder} to start anew") from error
    os.truncate(path, sum(len(line) + 1 for line in whole))  # of a half-written line
    there = {
        part.number: part
        for part in found
        if (file := part_path(folder, part.number)).is_file()
        and file.stat().st_size == part.num_bytes
    }
    return Parts(folder, kept, plan, there)
