"""Rows of predictions in, bytes out, and back: CSV, JSON Lines, Parquet. Imports no TensorFlow.

A table's columns follow from the labels in it.

CSV and JSON Lines can be continued after any byte: a record ends where its line does, so what
follows the last end is half-written. A Parquet file is unreadable until it is closed, so while it
grows it is JSON Lines, and becomes Parquet at the end.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fashion_keras.reading import parse_json, short
from fashion_keras.text import cell, from_cell

ROW_GROUP = 10_000  # rows of Parquet that are held at a time
# What follows a label's own name in the names of its columns, and what they hold.
_PARTS = {"": str, "_score": float, "_decision": str}
_RUNNER_UP = {"_runner_up": str, "_runner_up_score": float}
_EARLIER = ("id", "path", "class", "score", "runner_up", "runner_up_score", "decision", "error")
_AGAIN = "label_"


class Row(NamedTuple):
    """A row of a table: `tags` are the cells of all labels; what there is not is None."""

    id: str
    path: str
    tags: tuple[str | float | None, ...]
    error: str | None = None

    @property
    def cells(self) -> tuple[str | float | None, ...]:
        """All cells, in the order of the columns."""
        return (self.id, self.path, *self.tags, self.error)


class Columns:
    """The columns of a table: `id`, `path`, those of each label, `error`.

    A label has its class, `_score` and `_decision`; the first one its runner-up too. A label whose
    columns would be called as others are before it gets `label_` before its name.

    Attributes:
        labels: in their order.
        names: of all columns.
        kinds: what each column holds, `str` or `float`.
    """

    def __init__(self, labels: Sequence[str]):
        self.labels = tuple(labels)
        kinds: dict[str, type] = {"id": str, "path": str}
        for number, label in enumerate(labels):
            parts = _PARTS if number else _PARTS | _RUNNER_UP
            while any(f"{label}{part}" in {*kinds, "error"} for part in parts):
                label = f"{_AGAIN}{label}"
            kinds |= {f"{label}{part}": kind for part, kind in parts.items()}
        kinds["error"] = str
        self.names, self.kinds = tuple(kinds), tuple(kinds.values())

    def row(self, cells: Sequence[str | float | None]) -> Row:
        """Return the row of cells in the columns' order; `ValueError` where they are no row."""
        if len(cells) != len(self.names):
            raise ValueError(f"{len(cells)} cells, expected {len(self.names)}")
        id, path, *tags, error = cells
        if not isinstance(id, str) or not isinstance(path, str) or isinstance(error, float):
            raise ValueError("id, path or error is no text")
        return Row(id, path, tuple(tags), error)


def labels_in(names: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of a table with these columns; `ValueError` where predict made no such.

    Of a table that an earlier version wrote there are none.
    """
    names = tuple(names)
    first, others = 2, 2 + len(_PARTS | _RUNNER_UP)
    labels = names[first : first + 1] + names[others : -1 : len(_PARTS)]
    if names != _EARLIER and Columns(labels).names != names:
        raise ValueError(f"its columns are {', '.join(names)}"[:160])
    return () if names == _EARLIER else labels


class CsvRows:
    """Rows as CSV (RFC 4180), with a header; texts that begin as a formula behind a quote."""

    def __init__(self, columns: Columns):
        self._columns = columns
        self.header = _record(columns.names)

    def encode(self, row: Row) -> bytes:
        """Return a row's record with the end of its line."""
        return _record(row.cells)

    def decode(self, record: bytes) -> Row:
        """Return a record's row; ValueError where it is none."""
        id, path, *texts = _texts(record)
        kinds = self._columns.kinds[2:]
        cells = [kind(text) if text else None for kind, text in zip(kinds, texts, strict=True)]
        return self._columns.row([id, path, *cells])

    def names(self, start: bytes) -> tuple[str, ...]:
        """Return the names of the columns of a table that starts so; ValueError: it is none."""
        return _texts(start)

    def is_open(self, line: bytes) -> bool:
        """Say whether an end of line after `line` lies within quotes, if its start does not."""
        return line.count(b'"') % 2 == 1


class JsonRows:
    """Rows as JSON Lines: an object a line, null for what there is not."""

    header = b""

    def __init__(self, columns: Columns):
        self._columns = columns

    def encode(self, row: Row) -> bytes:
        """Return a row's line."""
        cells = dict(zip(self._columns.names, row.cells, strict=True))
        return (json.dumps(cells, ensure_ascii=False) + "\n").encode("utf-8")

    def decode(self, record: bytes) -> Row:
        """Return a line's row; ValueError where it is none."""
        found = parse_json(record.decode("utf-8"))
        if not isinstance(found, dict) or tuple(found) != self._columns.names:
            raise ValueError(f"expected an object with {', '.join(self._columns.names)}")
        for (name, value), kind in zip(found.items(), self._columns.kinds, strict=True):
            if value is not None and type(value) is not kind:
                raise ValueError(f"{name} is {short(value)}, expected {kind.__name__} or null")
        return self._columns.row(list(found.values()))

    def names(self, start: bytes) -> tuple[str, ...]:
        """Return the names of the columns of a table that starts so; ValueError: it is none."""
        found = parse_json(start.decode("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("expected an object")
        return tuple(found)

    def is_open(self, line: bytes) -> bool:
        """Return False: JSON has no end of line within a text."""
        return False


def write_parquet(rows: Iterable[Row], columns: Columns, path: str | os.PathLike) -> None:
    """Write rows to a Parquet file, `ROW_GROUP` at a time."""
    import pyarrow
    from pyarrow import parquet

    types = {str: pyarrow.string(), float: pyarrow.float64()}
    schema = pyarrow.schema(
        (name, types[kind]) for name, kind in zip(columns.names, columns.kinds, strict=True)
    )
    rows = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(itertools.islice(rows, ROW_GROUP)):
            cells = [dict(zip(columns.names, row.cells, strict=True)) for row in group]
            writer.write_table(pyarrow.Table.from_pylist(cells, schema), row_group_size=ROW_GROUP)


def read_parquet(path: str | os.PathLike, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a Parquet file that `write_parquet` made; ValueError if it is another."""
    with _parquet_file(path) as file:
        for batch in file.iter_batches(batch_size=ROW_GROUP):
            yield from map(columns.row, zip(*batch.to_pydict().values(), strict=True))


def parquet_names(path: str | os.PathLike) -> tuple[str, ...]:
    """Return the names of a Parquet file's columns; ValueError if it is none."""
    with _parquet_file(path) as file:
        return tuple(file.schema_arrow.names)


@contextlib.contextmanager
def _parquet_file(path):
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except pyarrow.ArrowException as error:
        raise ValueError(str(error).splitlines()[0]) from error


def _record(cells) -> bytes:
    texts = [
        "" if value is None else f"{value:.6f}" if isinstance(value, float) else cell(value)
        for value in cells
    ]
    text = io.StringIO()
    csv.writer(text).writerow(texts)
    return text.getvalue().encode("utf-8")


def _texts(record) -> tuple[str, ...]:
    """Return the texts of a line of a CSV; ValueError where it is none."""
    try:
        (texts,) = csv.reader([record.decode("utf-8")], strict=True)
    except csv.Error as failure:
        raise ValueError(str(failure)) from failure
    return tuple(map(from_cell, texts))
