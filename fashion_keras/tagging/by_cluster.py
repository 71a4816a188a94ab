"""A request and a Ray cluster in; the table that one machine would write, out.

The driver plans parts of about a thousand photos; a process of the cluster that holds the model
reads a part's photos and writes its rows. Imports no TensorFlow in the driver.

`OUTPUT.parts` holds a file for each part, whole or not there, and `manifest.jsonl`: what the parts
are of, then a line for each part that is done. In the end they become the table, in order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fashion_keras.cluster.actors import ActorPool
from fashion_keras.cluster.engine import Cluster
from fashion_keras.errors import UserError
from fashion_keras.io import json_text, locked, write_bytes
from fashion_keras.provenance import fingerprints
from fashion_keras.quiet import load_tensorflow
from fashion_keras.reading import STRICT, check_sha256, digest, sha256_of, validated
from fashion_keras.released import FOLDER, is_released
from fashion_keras.run import (
    BEST_MODEL_FILE,
    CONFIG_FILE,
    LABELS_FILE,
    SEES,
    TITLE_FILE,
    decision_file,
)
from fashion_keras.serving.layout import is_run
from fashion_keras.tagging.batches import classify_all
from fashion_keras.tagging.loading import load_local
from fashion_keras.tagging.prediction import Tally, table_row
from fashion_keras.tagging.row_formats import Columns
from fashion_keras.tagging.row_table import Table, codec_of
from fashion_keras.tagging.sources import Listed, PhotoSource, batches, read_photos

MANIFEST = "manifest.jsonl"
_PHOTOS_A_PART = 1_024
_IN_FLIGHT = 2  # one batch is decoded while another is classified
_OTHER_MODEL = "the machines of the cluster need the same model, such as on a path that they share"


@dataclasses.dataclass(frozen=True)
class Tagging:
    """What rows are made by: all that a machine needs beside the photos.

    `thresholds` are those of each label by what is known of a product, `files` the sha256 of the
    model's; a model that comes with the package is found in each machine's own.
    """

    model: str
    files: Mapping[str, str]
    labels: tuple[str, ...]
    titles: bool
    thresholds: Mapping[str, Mapping[str, float]]
    batch_size: int
    output: Path

    @classmethod
    def of(cls, version: Path, **options) -> Tagging:
        """Describe a model of `serving.layout.find_model`; `options` are the other fields."""
        if is_run(version):
            decisions = map(decision_file, SEES)
            names = [BEST_MODEL_FILE, TITLE_FILE, LABELS_FILE, CONFIG_FILE, *decisions]
        else:
            found = sorted(path for path in version.rglob("*") if path.is_file())
            names = [path.relative_to(version).as_posix() for path in found]
        path = version.absolute()
        model = os.fspath(path.relative_to(FOLDER) if is_released(version) else path)
        return cls(model, fingerprints(version, names), **options)

    @property
    def place(self) -> Path:
        """Where this machine has the model."""
        return FOLDER / self.model  # that of a model of the package; any other is absolute

    @property
    def a_part(self) -> int:
        """Photos of a part: whole batches, those that one machine would make."""
        return max(1, _PHOTOS_A_PART // self.batch_size) * self.batch_size

    def plan(self, source: PhotoSource, numbers: Sequence[int]) -> dict:
        """Return what decides the parts' rows."""
        made_by = dataclasses.asdict(self)
        kept = ("files", "labels", "titles", "thresholds", "batch_size")
        return {"photos": source.digest(numbers), **{name: made_by[name] for name in kept}}


def tag_by_cluster(
    tagging: Tagging, source: PhotoSource, table: Table, parts: Parts, cluster: Cluster
) -> Tally:
    """Write the rows of all photos that a table has none of, in order; return what failed.

    A part that is done is not done again. Raises `UserError` where a machine sees other files.
    """
    names = enumerate(source.names())
    numbers = [number for number, name in names if not table.take_done(*name)]
    parts.begin(table, tagging.plan(source, numbers))
    for path in (*source.places(), parts.folder):
        cluster.share(path)
    planned = [numbers[i : i + tagging.a_part] for i in range(0, len(numbers), tagging.a_part)]
    missing = [number for number in range(len(planned)) if number not in parts.done]

    def progress():
        cluster.progress("classifying", table.rows + parts.rows, len(source))

    progress()
    tasks = ((number, source.part(planned[number])) for number in missing)
    pool = ActorPool(cluster, functools.partial(_tagger, tagging, parts.folder))
    with contextlib.closing(pool.map(tasks)) as results:
        for _, part in results:
            parts.add(part)
            progress()
    tally = Tally()
    for number in sorted(parts.done):
        part = parts.done[number]
        tally.count(part.rows, part.errors, part.first)
    parts.pour(table)
    return tally


def _tagger(tagging: Tagging, folder: Path, has_gpu: bool) -> Callable[[tuple], Part]:
    """Load the model, on a machine of the cluster; return what makes a part."""
    check_sha256(tagging.place, tagging.files, _OTHER_MODEL)
    tf = load_tensorflow()
    if not has_gpu:  # each of the machine's CPUs has a process of its own
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    model = load_local(tagging.place, tagging.labels, tagging.titles)
    codec = codec_of(tagging.output, Columns(tagging.labels))

    def make_part(task: tuple[int, Sequence[Listed]]) -> Part:
        number, listed = task
        rows, errors = [], []
        grouped = batches(read_photos(listed), tagging.batch_size)
        for batch in classify_all(grouped, model, _IN_FLIGHT):
            errors += [(found.path, found.error) for found in batch if found.error]
            for found in batch:
                row = table_row(found, tagging.labels, tagging.thresholds[found.sees])
                rows.append(codec.encode(row))
        return write_part(folder, number, rows, errors)

    return make_part


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
