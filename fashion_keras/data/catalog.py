"""An archive in; its products (id, labels, photo) and a report of what was left out, out.

Reads the Kaggle dataset in its small or large layout, or any CSV that names photos.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections import Counter
from collections.abc import Sequence

from fashion_keras.data.archive import Archive
from fashion_keras.data.catalog_csv import (
    LARGE,
    csv_names,
    find_own_csv,
    find_styles,
)
from fashion_keras.data.csv_reader import NAME_COLUMN, Table, parse_csv
from fashion_keras.data.photo_finder import PhotoFinder, without_extension
from fashion_keras.data.schema import LABEL_COLUMNS, did_you_mean
from fashion_keras.errors import UserError

ID_COLUMN = "id"

NO_PHOTO = "no photo"
UNREADABLE = "unreadable photo"
DUPLICATE = "duplicate id"
BAD_ROW = "bad row"
EXCLUDED = "excluded"
REASONS = (NO_PHOTO, UNREADABLE, DUPLICATE, BAD_ROW, EXCLUDED)

# What pandas.read_csv reads as missing by default, less its numeric spellings; the dataset
# itself has '' and 'NA'.
MISSING_TEXT = frozenset(
    {"", "NA", "N/A", "n/a", "#N/A", "<NA>", "nan", "NaN", "null", "NULL", "None"}
)


@dataclasses.dataclass(frozen=True, slots=True)
class Product:
    """One row: its labels (None where the cell is empty) and its photo's name in the archive.

    `photo` is None where there is none; `repaired` says that the row was malformed.
    """

    id: str
    name: str
    labels: dict[str, str | None]
    photo: str | None
    repaired: bool


@dataclasses.dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is not among the products, with one of `REASONS` and what was found."""

    id: str
    reason: str
    detail: str


@dataclasses.dataclass(frozen=True)
class Catalog:
    """Products with a photo, and an account of every other row.

    `products` have a photo, readable as far as `check_photos` has looked; `without_photo` are
    well-formed rows with no photo or an unreadable one (the published split needs them).
    Every row is in `products` or in `left_out`, so `rows` is the sum of the two. `repaired`
    lists the ids of malformed rows that were mended. `layout` is `small`, `large` or `own`.
    `notes` are lines for the terminal about how the rows were read.
    """

    source: str
    layout: str
    label_columns: tuple[str, ...]
    products: tuple[Product, ...]
    without_photo: tuple[Product, ...]
    rows: int
    repaired: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...] = ()

    def report(self) -> dict:
        """Return counts, and every id that was repaired or left out by reason, for JSON."""
        by_reason = {reason: [] for reason in REASONS}
        for row in self.left_out:
            by_reason[row.reason].append({"id": row.id, "detail": row.detail})
        return {
            "source": self.source,
            "layout": self.layout,
            "label_columns": list(self.label_columns),
            "rows": self.rows,
            "products": len(self.products),
            "counts": {
                "repaired": len(self.repaired),
                **{reason: len(rows) for reason, rows in by_reason.items()},
            },
            "empty_cells": {
                label: sum(product.labels[label] is None for product in self.products)
                for label in self.label_columns
            },
            "repaired": list(self.repaired),
            "left_out": by_reason,
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """Return a few lines for the terminal: what was found, repaired and left out."""
        lines = [f"{self.source}: {self.rows:,} rows, {len(self.products):,} products with a photo"]
        if self.repaired:
            rows = "row" if len(self.repaired) == 1 else "rows"
            lines.append(
                f"  repaired: {len(self.repaired):,} malformed {rows}{_some(self.repaired)}"
            )
        counts = Counter(row.reason for row in self.left_out)
        for reason in REASONS:
            if counts[reason]:
                ids = [row.id for row in self.left_out if row.reason == reason]
                lines.append(f"  left out: {counts[reason]:,} × {reason}{_some(ids)}")
        return "\n".join(lines + [f"  {note}" for note in self.notes])


def read_catalog(
    archive: Archive,
    *,
    csv: str | None = None,
    id_column: str | None = None,
    image_column: str | None = None,
    label_columns: Sequence[str] | None = None,
) -> Catalog:
    """Read the products of an archive in the Kaggle layout, or of one's own CSV.

    Args:
        archive: where the CSV and the photos are.
        csv: name of the CSV in the archive. Defaults to Kaggle's `styles.csv`, else to the
            only CSV of the topmost folder that has one.
        id_column: column of the products' ids. Defaults to the stem of `image_column`, else
            to `id`.
        image_column: column of the photos' paths, relative to the CSV or to `images/` beside
            it, with or without the files' endings. Defaults to `images/<id>`.
        label_columns: columns to learn from. Defaults to those of the Kaggle dataset.

    Raises `UserError` where the CSV or a column is missing, the text is not UTF-8, or no row
    has a photo.
    """
    names = archive.names()
    kaggle = find_styles(names)
    own = any(option is not None for option in (csv, id_column, image_column, label_columns))
    if csv is None:
        csv = kaggle or find_own_csv(archive, names, own)
    elif (csv := posixpath.normpath(csv)) not in names:
        raise UserError(f"{archive.source} holds no {csv!r}" + did_you_mean(csv, csv_names(names)))
    layout = "small"
    if csv != kaggle or image_column or id_column not in (None, ID_COLUMN):
        layout = "own"
    elif LARGE in csv:
        layout = "large"

    table = parse_csv(archive.read(csv), f"{csv} in {archive.source}")
    where, header = table.where, table.header
    if label_columns is None:
        label_columns = LABEL_COLUMNS
        if layout == "own":
            label_columns = [label for label in LABEL_COLUMNS if label in header]
            if not label_columns:
                raise UserError(
                    f"{where} has none of the Kaggle dataset's labels: name the columns to "
                    f"learn from with --label-column (it has {', '.join(header)})"
                )
    label_columns = tuple(dict.fromkeys(label_columns))
    if id_column is None and image_column is None:
        id_column = ID_COLUMN
    columns = _Columns(
        id=None if id_column is None else table.index(id_column, "--id-column"),
        image=None if image_column is None else table.index(image_column, "--image-column"),
        name=table.index(NAME_COLUMN) if NAME_COLUMN in header else None,
        labels={label: table.index(label, "--label-column") for label in label_columns},
    )
    photos = PhotoFinder(names, posixpath.dirname(csv), layout == "own", archive.start)
    catalog = _collect(table, columns, photos)
    notes = (*catalog.notes, *filter(None, [photos.note()]))
    catalog = dataclasses.replace(catalog, source=str(archive.source), layout=layout, notes=notes)
    if not catalog.products:
        raise UserError(
            f"{where}: none of its {catalog.rows:,} rows has a photo"
            + (f" ({catalog.left_out[0].detail})" if catalog.left_out else "")
            + ".\nPhotos are expected in images/<id>.jpg beside it, or where --image-column says"
        )
    return catalog


@dataclasses.dataclass(frozen=True)
class _Columns:
    id: int | None
    image: int | None
    name: int | None
    labels: dict[str, int]


def _collect(table: Table, columns: _Columns, photos: PhotoFinder) -> Catalog:
    """Sort the rows into products and rows left out, mending those that can be mended."""
    products, without_photo, repaired, left_out = [], [], [], []
    seen: set[str] = set()
    width = len(table.header)
    ids = _ids(table.rows, columns)
    for number, row, id in zip(table.lines, table.rows, ids, strict=True):
        mended = False
        if len(row) > width and table.header[-1] == NAME_COLUMN:
            # An unquoted comma in the product name, the last column.
            row = [*row[: width - 1], ",".join(row[width - 1 :])]
            mended = True
        if len(row) != width:
            detail = f"row {number} has {len(row)} fields, expected {width}"
            left_out.append(LeftOut(id, BAD_ROW, detail))
            continue
        if not id:
            left_out.append(LeftOut(id, BAD_ROW, f"row {number} has no id"))
            continue
        if id in seen:
            left_out.append(LeftOut(id, DUPLICATE, f"row {number}: the first row is kept"))
            continue
        seen.add(id)
        if mended:
            repaired.append(id)
        value = id if columns.image is None else row[columns.image].strip()
        product = Product(
            id=id,
            name=(_cell(row[columns.name]) or "") if columns.name is not None else "",
            labels={label: _cell(row[index]) for label, index in columns.labels.items()},
            photo=photos.find(value) if value else None,
            repaired=mended,
        )
        if product.photo is None:
            without_photo.append(product)
            detail = f"{photos.where(value)} is not there" if value else "the cell is empty"
            left_out.append(LeftOut(id, NO_PHOTO, detail))
        else:
            products.append(product)
    return Catalog(
        source="",
        layout="",
        label_columns=tuple(columns.labels),
        products=tuple(products),
        without_photo=tuple(without_photo),
        rows=len(table.rows),
        repaired=tuple(repaired),
        left_out=tuple(left_out),
        notes=(table.note,) if table.note else (),
    )


def _ids(rows: list[list[str]], columns: _Columns) -> list[str]:
    """Return each row's id: its cell, or the photo's stem (with folders if stems repeat)."""
    index = columns.id if columns.id is not None else columns.image
    cells = [row[index].strip() if index < len(row) else "" for row in rows]
    if columns.id is not None:
        return cells
    paths = [without_extension(cell.replace("\\", "/")) for cell in cells]
    stems = [posixpath.basename(path) for path in paths]
    # shirts/1.jpg and shoes/1.jpg are two products.
    return stems if len(set(stems)) == len(set(paths)) else paths


def _cell(text: str) -> str | None:
    text = text.strip()
    return None if text in MISSING_TEXT else text


def _some(ids: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(ids[:limit])
    return f" ({shown}{', …' if len(ids) > limit else ''})"
