"""A CSV that names photos in; each photo's id and path out. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fashion_keras.data.catalog_csv import read_table
from fashion_keras.data.schema import did_you_mean
from fashion_keras.errors import UserError


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
    """Return the id, None where the CSV has none, and the path of each row.

    The CSV is UTF-8, its cells between commas, semicolons or tabs. Raises `UserError` where it
    cannot be read, lacks a column, or a row names no photo.
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
    found = []
    for number, row in enumerate(rows, start=1):
        if len(row) <= max(path, id or 0) or not row[path].strip():
            raise UserError(
                f"{file}: row {number} after the header names no photo in column "
                f"{header[path]!r}: {','.join(row)[:80]}"
            )
        found.append((row[id].strip() or None if id is not None else None, row[path].strip()))
    return found


def _find(file, header, column, option):
    if column in header:
        return header.index(column)
    raise UserError(
        f"{file} has no column {column!r}{did_you_mean(column, header)}: it has "
        f"{', '.join(header)[:200]}.\nName the one that is meant with {option}"
    )
