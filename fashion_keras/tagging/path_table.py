"""A CSV that names photos in; each photo's id and path out. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from fashion_keras.data.csv_reader import read_csv
from fashion_keras.data.title_terms import as_title
from fashion_keras.errors import UserError
from fashion_keras.progress import LOGGER
from fashion_keras.text import from_cell


@dataclasses.dataclass(frozen=True)
class PathColumns:
    """Where a CSV has its photos.

    `path` is the column of paths; `id` that of ids, None for `id` where there is such a column;
    `root` the folder that relative paths start from, None for the CSV's own, or a zip, which may be
    at an address; `titles`
    the columns of the products' text.
    """

    path: str = "path"
    id: str | None = None
    root: Path | str | None = None
    titles: tuple[str, ...] = ()


def read_paths(
    file: Path, columns: PathColumns, say: Callable[[str], None] | None = None
) -> list[tuple[str | None, str, str]]:
    """Return of each row the id, None where the CSV has none, the path and the title, or "".

    A title of several columns has U+001F between them, as a served model takes it.

    A row with more cells than the header names no photo, for its cells may stand in other
    columns. `say` is told how a CSV was read that is not UTF-8, and of such rows; by default that
    is logged. Raises `UserError` where the CSV cannot be read, lacks a column or has it
    twice, or no row names a photo or has a title.
    """
    say = say or LOGGER.warning
    table = read_csv(file)
    path = None  # a catalogue of titles has no column of photos
    if not columns.titles or columns.path in table.header or columns.path != PathColumns.path:
        path = table.index(columns.path, "--path-column")
    id = None
    if columns.id is not None or "id" in table.header:
        id = table.index(columns.id or "id", "--id-column")
    titles = [table.index(name, "--title-column") for name in columns.titles]
    width = len(table.header)
    if table.note:
        say(table.note)
    longer = [line for line, row in zip(table.lines, table.rows, strict=True) if len(row) > width]
    if longer:
        rows = "1 row has" if len(longer) == 1 else f"{len(longer):,} rows have"
        say(
            f"{file}: {rows} more cells than the header, the first in line {longer[0]}, and so "
            "no photo: put a cell that holds a comma in quotes"
        )
    found = [
        (_cell(row, id) or None, _cell(row, path), as_title([_cell(row, at) for at in titles]))
        if len(row) <= width
        else (_cell(row, id) or None, "", "")
        for row in table.rows
    ]
    if not any(name or title for _, name, title in found):
        where = "no row has a title" if path is None else "no row names a photo in column "
        raise UserError(f"{file}: {where}{'' if path is None else repr(table.header[path])}")
    return found


def _cell(row, column):
    """Return what a row has in a column, "" where it is too short or `column` is None."""
    return from_cell(row[column].strip()) if column is not None and column < len(row) else ""
