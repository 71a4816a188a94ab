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
from fashion_keras.tagging.prediction import COLUMNS, Row
from fashion_keras.text import cell, from_cell

ROW_GROUP = 10_000  # rows of Parquet that are held at a time


class CsvRows:
    """Rows as CSV (RFC 4180), with a header; texts that begin as a formula behind a quote."""

    header = (",".join(COLUMNS) + "\r\n").encode()

    def encode(self, row: Row) -> bytes:
        """Return a row's record with the end of its line."""
        cells = [
            "" if value is None else f"{value:.6f}" if isinstance(value, float) else cell(value)
            for value in row
        ]
        text = io.StringIO()
        csv.writer(text).writerow(cells)
        return text.getvalue().encode("utf-8")

    def decode(self, record: bytes) -> Row:
        """Return a record's row; ValueError where it is none."""
        try:
            (texts,) = csv.reader([record.decode("utf-8")], strict=True)
            id, path, *cells = map(from_cell, texts)
        except csv.Error as failure:
            raise ValueError(str(failure)) from failure
        label, score, runner_up, runner_up_score, decision, error = (text or None for text in cells)
        return Row(
            id, path, label, _number(score), runner_up, _number(runner_up_score), decision, error
        )

    def is_open(self, line: bytes) -> bool:
        """Say whether an end of line after `line` lies within quotes, if its start does not."""
        return line.count(b'"') % 2 == 1


class JsonRows:
    """Rows as JSON Lines: an object a line, null for what there is not."""

    header = b""

    def encode(self, row: Row) -> bytes:
        """Return a row's line."""
        return (json.dumps(as_object(row), ensure_ascii=False) + "\n").encode("utf-8")

    def decode(self, record: bytes) -> Row:
        """Return a line's row; ValueError where it is none."""
        found = parse_json(record.decode("utf-8"))
        if not isinstance(found, dict) or tuple(found) != COLUMNS:
            raise ValueError(f"expected an object with {', '.join(COLUMNS)}")
        for name, value in found.items():
            kind = float if name.endswith("score") else str
            if value is not None and type(value) is not kind:
                raise ValueError(f"{name} is {short(value)}, expected {kind.__name__} or null")
        return Row(*found.values())

    def is_open(self, line: bytes) -> bool:
        """Return False: JSON has no end of line within a text."""
        return False


def as_object(row: Row) -> dict[str, str | float | None]:
    """Return a row by the names of its columns."""
    return dict(zip(COLUMNS, row, strict=True))


def write_parquet(rows: Iterable[Row], path: str | os.PathLike) -> None:
    """Write rows to a Parquet file, `ROW_GROUP` at a time."""
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(
        (name, pyarrow.float64() if name.endswith("score") else pyarrow.string())
        for name in COLUMNS
    )
    rows = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(itertools.islice(rows, ROW_GROUP)):
            table = pyarrow.Table.from_pylist([as_object(row) for row in group], schema)
            writer.write_table(table, row_group_size=ROW_GROUP)


def read_parquet(path: str | os.PathLike) -> Iterator[Row]:
    """Yield the rows of a Parquet file that `write_parquet` made; ValueError if it is another."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            if tuple(file.schema_arrow.names) != COLUMNS:
                raise ValueError(f"has the columns {', '.join(file.schema_arrow.names)}")
            for batch in file.iter_batches(batch_size=ROW_GROUP):
                yield from (Row(*found.values()) for found in batch.to_pylist())
    except pyarrow.ArrowException as error:
        raise ValueError(str(error).splitlines()[0]) from error


def _number(text):
    return None if text is None else float(text)
