"""Rows of predictions in; a table that survives being killed, and can be continued, out.

Rows go to `<path>.partial`, which takes the place of `path` at the end. Imports no TensorFlow.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from fashion_keras.errors import UserError
from fashion_keras.io import place, replacing, sweep
from fashion_keras.tagging.prediction import written
from fashion_keras.tagging.row_formats import (
    Columns,
    CsvRows,
    JsonRows,
    Row,
    labels_in,
    parquet_names,
    read_parquet,
    write_parquet,
)

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]

PARQUET = ".parquet"
_FORMATS: dict[str, type[CsvRows] | type[JsonRows]] = {
    ".csv": CsvRows,
    ".jsonl": JsonRows,
    PARQUET: JsonRows,
}
_ANOTHER = "name another --output"
_LONGEST = 2**16  # bytes of a record: a path and a reason are shorter


class Table:
    """An open table.

    Attributes:
        rows: how many there are.
        errors: how many of them have an error.
        end: bytes of the rows that are counted, with the header.
    """

    def __init__(self, path: Path, partial: Path, columns: Columns, codec, file):
        self.path, self.partial = path, partial
        self._columns = columns
        self.rows = self.errors = 0
        self._codec, self._file = codec, file
        self.end = 0
        self._done: Counter[tuple[str, str]] = Counter()

    def take_done(self, id: str, path: str) -> bool:
        """Say whether a photo has a row from before; each row answers for one photo."""
        key = (written(id), written(path))
        if not self._done[key]:
            del self._done[key]
            return False
        self._done[key] -= 1
        return True

    def write(self, rows: Iterable[Row]) -> None:
        """Append rows and hand them to the system: a killed process loses none of them."""
        rows = list(rows)
        data = b"".join(map(self._codec.encode, rows))
        self.append(data, len(rows), sum(row.error is not None for row in rows))

    def append(self, data: bytes, rows: int, errors: int) -> None:
        """Append rows that another process has encoded, by `codec_of`."""
        size = len(data)
        # Not by the file's buffer: what a full disk did not take would be written again at closing.
        while data:
            data = data[os.write(self._file.fileno(), data) :]
        self.end += size
        self.rows += rows
        self.errors += errors

    def _keep(self, source: Path) -> None:
        """Count the rows in the file, which is `source`'s, and cut off a half-written last one."""
        for row, end in _rows(self._file, self._codec, source):
            self._done[row.id, row.path] += 1
            self._count(row, end)
        self._file.truncate(self.end)
        if self.end == 0:
            self.append(self._codec.header, 0, 0)

    def _count_again(self) -> None:
        """Count the rows whose writing was interrupted when they had reached the file."""
        with contextlib.suppress(OSError, UserError), open(self.partial, "rb") as file:
            for row, end in _rows(file, self._codec, self.partial, self.end):
                self._count(row, end)

    def _count(self, row: Row, end: int) -> None:
        self.rows += 1
        self.errors += row.error is not None
        self.end = end

    def _finish(self) -> None:
        if self.path.suffix.lower() != PARQUET:
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self.partial, self.path)
            return
        with replacing(self.path) as made:
            self._file.seek(0)
            rows = (row for row, _ in _rows(self._file, self._codec, self.partial))
            write_parquet(rows, self._columns, made)
            self._file.close()
        self.partial.unlink()


def codec_of(path: Path, columns: Columns) -> CsvRows | JsonRows:
    """Return what encodes the rows of a table while it grows, by its name's ending."""
    return _FORMATS[path.suffix.lower()](columns)


def check_table(path: Path, option: str) -> None:
    """Raise `UserError` where `path` cannot become a table; `option` is what named it."""
    if path.is_dir():
        raise UserError(f"{option} {path} is a folder: expected a file to write")
    if not path.parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {path.parent}")
    if path.suffix.lower() not in _FORMATS:
        raise UserError(
            f"{option} {path}: expected a name that ends in {', '.join(_FORMATS)}, "
            "which says the format"
        )


@contextlib.contextmanager
def open_table(
    path: str | os.PathLike, columns: Columns, *, resume: bool = False
) -> Iterator[Table]:
    """Open a table to write: CSV, JSON Lines or Parquet by the name's ending.

    Rows are in `<path>.partial` until the end (for Parquet as JSON Lines), and `path` is
    untouched; if it comes to no good end, the rows so far stay there. With `resume` they are
    kept, or else those of a finished `path`; a last row that is half-written is cut off, so
    that its photo is classified again. Raises `UserError` where rows would be lost or mixed:
    there is a `.partial` and not `resume`, another process writes it, it is not such a table, nor
    what is at `path`, or it is to go on with other columns.
    """
    path = place(path)
    partial = path.with_name(f"{path.name}.partial")
    codec = codec_of(path, columns)
    source = partial
    if not partial.exists() and path.exists():
        found = _labels_of(path, codec)
        if resume:
            _check_same(path, found, columns)
            _copy_finished(path, partial, columns, codec)
            source = path
    if partial.exists() and not resume:
        raise UserError(
            f"{partial} is there, from a run that was interrupted: continue it with --resume,\n"
            "or remove it to start anew"
        )
    # Appending only creates: what is there stays there until it has been looked at.
    with open(partial, "a+b") as file:
        _lock(file, partial)
        _remove_leftovers(path)
        table = Table(path, partial, columns, codec, file)
        file.seek(0)
        try:
            if source is partial:
                _check_same(partial, _started_labels(file, codec), columns)
            table._keep(source)
        except UserError:
            if source is path:  # a copy of what is still there
                partial.unlink()
            raise
        try:
            yield table
            table._finish()
        except BaseException:
            table._count_again()
            if not table.rows:
                partial.unlink(missing_ok=True)
            raise


def _labels_of(path, codec) -> tuple[str, ...] | None:
    """Return the labels of a finished table, None of an empty file; `UserError`: it is no table."""
    if path.stat().st_size == 0:
        return None
    start = b""
    try:
        if path.suffix.lower() == PARQUET:
            return labels_in(parquet_names(path))
        with open(path, "rb") as file:
            start = file.readline(_LONGEST)
        return labels_in(codec.names(start))
    except (ValueError, OSError) as error:
        reason = f"its first line is {_shown(start)}" if start else str(error).rstrip(".")
        raise _foreign(path, reason) from error


def _started_labels(file, codec) -> tuple[str, ...] | None:
    """Return the labels of an unfinished table, None where its start does not tell them."""
    start = file.readline(_LONGEST)
    file.seek(0)
    try:
        return labels_in(codec.names(start)) if start.endswith(b"\n") else None
    except ValueError:
        return None  # what is wrong with it is said as its rows are read


def _check_same(path: Path, labels: tuple[str, ...] | None, columns: Columns) -> None:
    """Raise `UserError` where a table has other labels than those that are to be written."""
    if labels is None or Columns(labels).names == columns.names:
        return
    has = f"the labels {', '.join(labels)}" if labels else "the columns of an earlier version"
    again = f"give --label for each of them, in their order, or {_ANOTHER}" if labels else _ANOTHER
    raise UserError(
        f"{path} cannot be continued with {', '.join(columns.labels)}: it has {has}; {again}"
    )


def _copy_finished(path, partial, columns, codec):
    """Make a finished table the start of a partial one."""
    with replacing(partial) as copy, open(copy, "w+b") as file:
        if path.suffix.lower() == PARQUET:
            try:
                file.writelines(codec.encode(row) for row in read_parquet(path, columns))
            except (ValueError, OSError) as error:
                raise _foreign(path, str(error)) from error
        else:
            with open(path, "rb") as finished:
                shutil.copyfileobj(finished, file)
            _end_last_line(file)


def _end_last_line(file):
    """Add the end of line that editors leave out: in a finished table the last row is whole."""
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


def _rows(file, codec, path, end=0) -> Iterator[tuple[Row, int]]:
    """Yield each whole row of a table from the byte `end` on, and the byte where it ends.

    What follows the last end of a line is left out; `UserError` where a whole row is no row.
    """
    if not end:
        header = file.read(len(codec.header))
        if header != codec.header:
            if codec.header.startswith(header) and file.read(1) == b"":
                return  # killed within the header
            raise _foreign(path, f"its first line is {_shown(header)}")
        end = len(header)
    file.seek(end)
    record, is_open = b"", False
    for line in file:
        record += line
        is_open ^= codec.is_open(line)
        if len(record) > _LONGEST:
            raise _foreign(path, f"after byte {end} there is a row without an end")
        if is_open or not line.endswith(b"\n"):
            continue
        end += len(record)
        try:
            yield codec.decode(record), end
        except ValueError as error:
            raise _foreign(path, f"{error} in {_shown(record)}") from error
        record = b""
    # A stray quote would make all that follows look half-written: that is not ours to cut off.
    if b"\n" in record:
        raise _foreign(path, f"after byte {end} there is a row without an end")


def _shown(line: bytes) -> str:
    return repr(line[:60].decode(errors="replace").strip())


def _foreign(path, reason):
    return UserError(
        f"{path} cannot be continued or replaced: {reason}.\n"
        f"Expected a table that predict wrote: mend or remove it, or {_ANOTHER}"
    )


def _remove_leftovers(path):
    """Remove what is left of a table by processes that were killed at its start or end."""
    sweep(path)
    sweep(path.with_name(f"{path.name}.partial"))
    # As earlier versions named it. They would hold the table, as we do, if they still ran.
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.partial-*"):
        if leftover.name.rpartition("-")[2].isdecimal():
            leftover.unlink(missing_ok=True)


def _lock(file, partial):
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"{partial} is being written by another process: wait for it") from None
