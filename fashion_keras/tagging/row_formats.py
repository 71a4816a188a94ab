"""Rows of predictions in, bytes out, and back: CSV, JSON Lines, Parquet. Imports no TensorFlow.

CSV and JSON Lines can be continued after any byte: a record ends where its line does, so what
follows the last end is half-written. A Parquet file is unreadable until it is closed, so while it
grows it is JSON Lines, and becomes Parquet at the end.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator

from fashion_keras.reading import parse_json, short
from fashion_keras.tagging.columns import Columns, Row
from fashion_keras.text import cell, from_cell

ROW_GROUP = 10_000  # rows of Parquet that are held at a time


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
        return (json.dumps(self._object(row), ensure_ascii=False) + "\n").encode("utf-8")

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

    def _object(self, row):
        return dict(zip(self._columns.names, row.cells, strict=True))

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
            values = zip(*(row.cells for row in group), strict=True)
            arrays = [
                pyarrow.array(column, field.type)
                for column, field in zip(values, schema, strict=True)
            ]
            table = pyarrow.Table.from_arrays(arrays, schema=schema)
            writer.write_table(table, row_group_size=ROW_GROUP)


def read_parquet(path: str | os.PathLike, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a Parquet file that `write_parquet` made; ValueError if it is another."""
    import pyarrow

    with _parquet_file(path) as file:
        try:
            for batch in file.iter_batches(batch_size=ROW_GROUP):
                yield from map(columns.row, zip(*batch.to_pydict().values(), strict=True))
        except pyarrow.ArrowException as error:
            raise ValueError(str(error).splitlines()[0]) from error


def parquet_names(path: str | os.PathLike) -> tuple[str, ...]:
    """Return the names of a Parquet file's columns; ValueError if it is none."""
    with _parquet_file(path) as file:
        return tuple(file.schema_arrow.names)


def _parquet_file(path):
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except pyarrow.ArrowException as error:
        raise ValueError(str(error).splitlines()[0]) from error


def _record(cells) -> bytes:
    """Return a line of a CSV."""
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
