"""A CSV that names photos in; each photo's id and path out. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fashion_keras.data.catalog_csv import read_table
from fashion_keras.data.schema import did_you_mean
from fashion_keras.errors import UserError
from fashion_keras.text import from_cell


@dataclasses.dataclass(frozen=True)
class PathColumns:
    """Where a CSV has its photos.

    `path` is the column of paths; `id` that of ids, None for `id` where there is such a column;
    `root` the folder that relative paths start from, None for the CSV's own.
    """

    path: str = "path"
    id: str | None = None
    root: Path | None = None


def read_paths(file: Path, columns: PathColumns) -> list[tuple[str | None, str]]:
    """Return the id, None where the CSV has none, and the path, "" where it has none, of each row.

    The CSV is UTF-8, its cells between commas, semicolons or tabs. Raises `UserError` where it
    cannot be read, lacks a column, or no row names a photo.
    """
    try:
        header, rows = read_table(file.read_bytes(), str(file))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    path = _find(file, header, columns.path, "--path-column")
    if columns.id is None:
        id = header.index("id") if "id" in header else None
    else:
        id = _find(file, header, columns.id, "--id-column")
    found = [(_cell(row, id) or None, _cell(row, path)) for row in rows]
    if found and not any(name for _, name in found):
        raise UserError(f"{file}: no row names a photo in column {header[path]!r}")
    return found


def _cell(row, column):
    """Return what a row has in a column, "" where it is too short or `column` is None."""
    return from_cell(row[column].strip()) if column is not None and column < len(row) else ""


def _find(file, header, column, option):
    if column in header:
        return header.index(column)
    raise UserError(
        f"{file} has no column {column!r}{did_you_mean(column, header)}: it has "
        f"{', '.join(header)[:200]}.\nName the one that is meant with {option}"
    )
