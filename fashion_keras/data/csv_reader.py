"""A CSV that a person gives in; its header, rows and where each row stands, out.

The one reader for all of them: catalogues, lists of paths, corrections. Commas, semicolons or
tabs, or what Excel's line `sep=` says; line ends within quotes; encodings as `decode_text`.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from fashion_keras.data.schema import did_you_mean
from fashion_keras.data.text_encoding import decode_text
from fashion_keras.errors import UserError
from fashion_keras.reading import read_bytes

NAME_COLUMN = "productDisplayName"  # the last one of Kaggle's file

_DELIMITERS = ",;\t"
_SEP_LINE = re.compile(r'"?sep=(?P<delimiter>[^"\w\s]|\t)"?[,;\t]*', re.IGNORECASE)
_SAMPLE = 50  # rows that decide between two delimiters of the header

Record = tuple[int, list[str]]  # the line it begins in, from 0, and its cells


@dataclasses.dataclass(frozen=True)
class Table:
    """A CSV: its header, and its rows, whose lengths may differ from the header's.

    `where` is what messages call it, `lines` the line of the file that each row begins in, from
    1. `note` says how it was read where it is not UTF-8, and is empty where it is.
    """

    where: str
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    note: str = ""

    def index(self, column: str, option: str = "") -> int:
        """Return a column's place; `UserError` if it is not there once.

        `option` is what chooses another column, if any does.
        """
        found = [place for place, name in enumerate(self.header) if name == column]
        if not found:
            raise UserError(
                f"{self.where} has no column {column!r}{did_you_mean(column, self.header)}: it has "
                + _shortened(", ".join(self.header))
                + (f".\nName another with {option}" if option else "")
            )
        if len(found) > 1:
            places = " and ".join(str(place + 1) for place in found)
            raise UserError(
                f"{self.where} has the column {column!r} {len(found)} times (columns {places}): "
                "which one is meant? Rename the others"
            )
        return found[0]


def read_csv(path: Path) -> Table:
    """Read a CSV from a file; `UserError` where it cannot be read."""
    return parse_csv(read_bytes(path), str(path))


def parse_csv(data: bytes, where: str) -> Table:
    """Return the header and rows of a CSV, less its blank lines.

    A row of one's own CSV that is longer than the header by empty cells alone, as Excel writes
    them, is cut. Raises `UserError` for text of no known encoding, and where there is no row.
    """
    text, note = decode_text(data, where)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    begin, delimiter = 0, None
    if match := _SEP_LINE.fullmatch(lines[0].strip(" ")):
        begin, delimiter = 1, match["delimiter"]
    delimiter = delimiter or _delimiter(lines)
    kaggle = NAME_COLUMN in next((line for line in lines[begin:] if line), "")
    records = _line_by_line if kaggle else _records
    table = [(at, row) for at, row in records(lines, delimiter, begin) if any(row)]
    if len(table) < 2:
        raise UserError(f"{where} is empty: expected a header and at least one row")
    header = [cell.strip() for cell in table[0][1]]
    rows = [row for _, row in table[1:]]
    if header[-1] != NAME_COLUMN:  # else more cells are a name's commas
        rows = [_trimmed(row, len(header)) for row in rows]
    return Table(where, header, rows, [at + 1 for at, _ in table[1:]], note)


def is_csv(text: str, column: str) -> bool:
    """Say whether text is a CSV with a header, and no list of a value a line.

    It is where its first line holds several cells, or is the name `column` alone.
    """
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
    if not lines or _SEP_LINE.fullmatch(lines[0]):
        return bool(lines)
    cells = _alone(lines[0], _delimiter(lines[:1]))
    return len(cells) > 1 or cells[0].strip() == column


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that splits the header, and most rows as it splits the header."""

    def fit(delimiter: str) -> tuple[bool, int, int]:
        rows = (row for _, row in _records(lines, delimiter, 0) if any(row))
        widths = [len(row) for row in islice(rows, _SAMPLE)] or [0]
        return widths[0] > 1, Counter(widths)[widths[0]], widths[0]

    return max(_DELIMITERS, key=fit)  # the first of equals: a comma


def _records(lines: Sequence[str], delimiter: str, begin: int) -> Iterator[Record]:
    """Yield records; where a line's quotes do not add up, it is a record of its own.

    They do not where the CSV's grammar is broken, or where a record of several lines has not as
    many cells as the header: then a stray quote has swallowed the lines behind it.
    """
    width = 0
    while begin < len(lines):
        start = begin
        reader = csv.reader(
            (f"{lines[i]}\n" for i in range(start, len(lines))), delimiter=delimiter, strict=True
        )
        try:
            for row in reader:
                end = start + reader.line_num
                if end > begin + 1 and width and len(_trimmed(row, width)) != width:
                    break
                yield begin, row
                width = width or len(row) * any(row)
                begin = end
            else:
                return
        except csv.Error:
            pass
        yield begin, _alone(lines[begin], delimiter)
        width = width or len(_alone(lines[begin], delimiter))
        begin += 1


def _line_by_line(lines: Sequence[str], delimiter: str, begin: int) -> Iterator[Record]:
    """Yield a record a line.

    Kaggle's file has one product a line and does not escape quotes, so a stray one must not join
    its line to the next.
    """
    for at in range(begin, len(lines)):
        yield at, _alone(lines[at], delimiter)


def _alone(line: str, delimiter: str) -> list[str]:
    """Return a line's cells; where its quotes do not add up, they are plain characters."""
    if '"' in line:
        with contextlib.suppress(csv.Error):
            return next(csv.reader([line], delimiter=delimiter, strict=True))
    return line.split(delimiter)


def _trimmed(row: list[str], width: int) -> list[str]:
    return row if any(row[width:]) else row[:width]


def _shortened(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
