"""An archive in; its products, each row of its CSV read or accounted for, out.

Reads the Kaggle dataset in its small or large layout, or any CSV that names photos.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterable, Sequence
from operator import itemgetter

from fashion_keras.data.archive import Archive
from fashion_keras.data.catalog import (
    DUPLICATE,
    NO_PHOTO,
    Catalog,
    LeftOut,
)
from fashion_keras.data.catalog_rows import (
    Columns,
    Findings,
    Row,
    first_of_each_id,
    group_rows,
    merge_look_alikes,
    read_rows,
)
from fashion_keras.data.csv_reader import Table, parse_csv
from fashion_keras.data.photo_finder import IMAGES, PhotoFinder
from fashion_keras.data.schema import LABEL_COLUMNS, NAME_COLUMN, did_you_mean
from fashion_keras.errors import UserError

ID_COLUMN = "id"
STYLES = "styles.csv"
LARGE = "fashion-dataset/"


def read_catalog(
    archive: Archive,
    *,
    csv: str | None = None,
    id_column: str | None = None,
    image_column: str | None = None,
    label_columns: Sequence[str] | None = None,
    text_columns: Sequence[str] | None = None,
    group_column: str | None = None,
    split_column: str | None = None,
    time_column: str | None = None,
    merge_names: bool = False,
) -> Catalog:
    """Read the products of an archive in the Kaggle layout, or of one's own CSV.

    Args:
        archive: where the CSV and the photos are.
        csv: the CSV in the archive. Defaults to Kaggle's, else to the topmost folder's only one.
        id_column: column of ids. Defaults to the stem of `image_column`, else to `id`.
        image_column: column of the photos' paths, relative to the CSV or to `images/` beside
            it, with or without `.jpg`, `.jpeg` or `.png`. Defaults to `images/<id>`.
        label_columns: columns to learn from. Defaults to those of the Kaggle dataset.
        text_columns: columns of text to keep. Defaults to Kaggle's name, as `Product.name`.
        group_column: column of what must stay together in a split. With it, rows of one id that
            name different photos are all read, with ids such as `id/photo`, and a label that a
            row lacks is filled from its group.
        split_column: column of which split a product goes to.
        time_column: column of when it was new; of the two only one.
        merge_names: make class names that look alike one, the most frequent.

    Raises `UserError` where the CSV or a column is missing or a column stands twice, the text
    has no known encoding, or no row has a photo.
    """
    placed_by = split_column or time_column
    asked = (id_column, image_column, label_columns, text_columns, group_column, placed_by)
    csv, layout = _csv_and_layout(archive, csv, asked)
    table = parse_csv(archive.read(csv), f"{csv} in {archive.source}")
    columns = _columns(
        table,
        layout == "own",
        id_column,
        image_column,
        label_columns,
        text_columns or (),
        group_column,
    )
    if placed_by is not None:
        option = "--split-column" if split_column else "--time-column"
        columns = dataclasses.replace(columns, placed_by=table.index(placed_by, option))
    photos = PhotoFinder(archive.names(), posixpath.dirname(csv), layout == "own", archive.start)
    catalog = _collect(archive.source, layout, table, columns, photos, merge_names)
    if not catalog.products:
        raise UserError(
            f"{table.where}: none of its {catalog.rows:,} rows has a photo"
            + (f" ({catalog.left_out[0].detail})" if catalog.left_out else "")
            + ".\nPhotos are expected in images/<id>.jpg beside it, or where --image-column says"
        )
    return catalog


def _csv_and_layout(archive: Archive, csv: str | None, asked: Sequence) -> tuple[str, str]:
    """Return which CSV to read, and whether it is Kaggle's `small`, `large` or one's `own`."""
    names = archive.names()
    kaggle = _find_styles(names)
    if csv is None:
        is_own = any(option is not None for option in asked)
        csv = kaggle or _find_own_csv(archive, names, is_own)
    elif (csv := posixpath.normpath(csv)) not in names:
        raise UserError(f"{archive.source} holds no {csv!r}" + did_you_mean(csv, _csv_names(names)))
    id_column, image_column, *_ = asked
    if csv != kaggle or image_column or id_column not in (None, ID_COLUMN):
        return csv, "own"
    return csv, "large" if LARGE in csv else "small"


def _csv_names(names: Iterable[str]) -> list[str]:
    """Return the CSVs among an archive's files, less what macOS and editors leave there."""
    return [
        name
        for name in names
        if name.lower().endswith(".csv")
        and not name.startswith("__MACOSX/")
        and not posixpath.basename(name).startswith(".")
    ]


def _find_styles(names: list[str]) -> str | None:
    """Return the outermost `styles.csv` that has photos beside it, else the outermost."""
    found = [name for name in _csv_names(names) if posixpath.basename(name) == STYLES]
    found.sort(key=lambda name: (name.count("/"), name))
    for name in found:
        images = name[: -len(STYLES)] + IMAGES
        if any(other.startswith(images) for other in names):
            return name
    return found[0] if found else None


def _find_own_csv(archive: Archive, names: list[str], own: bool) -> str:
    """Return the only CSV of the topmost folder that has one; `UserError` where it is not clear.

    `own` says that the user has named columns, so that a CSV other than Kaggle's is meant.
    """
    found = _csv_names(names)
    top = min((name.count("/") for name in found), default=0)
    found = [name for name in found if name.count("/") == top]
    if own and len(found) == 1:
        return found[0]
    if own and found:
        raise UserError(f"{archive.source} holds several CSVs, choose with --csv: {_list(found)}")
    message = (
        f"{archive.source} holds no {STYLES}: expected {STYLES} and {IMAGES}<id>.jpg, "
        f"or {LARGE}{STYLES} and {LARGE}{IMAGES}<id>.jpg"
    )
    if found:
        message += (
            f".\nFor your own data ({_list(found)}) name its columns with --label-column, "
            "and --image-column or --id-column"
        )
    raise UserError(message)


def _list(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" * (len(names) > limit))


def _columns(table: Table, own: bool, id, image, labels, texts, group) -> Columns:
    """Find columns by their names; `UserError` where one is not there, or there twice."""
    if labels is None:
        labels = LABEL_COLUMNS
        if own:
            labels = [label for label in LABEL_COLUMNS if label in table.header]
            if not labels:
                raise UserError(
                    f"{table.where} has none of the Kaggle dataset's labels: name the columns to "
                    f"learn from with --label-column (it has {', '.join(table.header)})"
                )
    if id is None and image is None:
        id = ID_COLUMN
    return Columns(
        id=None if id is None else table.index(id, "--id-column"),
        image=None if image is None else table.index(image, "--image-column"),
        name=table.index(NAME_COLUMN) if NAME_COLUMN in table.header else None,
        group=None if group is None else table.index(group, "--group-column"),
        labels={label: table.index(label, "--label-column") for label in dict.fromkeys(labels)},
        texts={text: table.index(text, "--text-column") for text in dict.fromkeys(texts)},
    )


def _collect(
    source: str,
    layout: str,
    table: Table,
    columns: Columns,
    photos: PhotoFinder,
    merge_names: bool,
) -> Catalog:
    """Sort the rows into products and rows left out, mending those that can be mended."""
    rows, left_out = read_rows(table, columns, photos)
    findings = Findings([table.note] if table.note else [])
    if merge_names:
        findings.merged(merge_look_alikes(rows, columns.labels))
    if columns.group is not None:
        filled = group_rows(rows, columns.group)
        findings.grouped(table.header[columns.group], rows, filled)
    rows, repeated = first_of_each_id(rows)
    if columns.group is None:
        findings.repeated(None if columns.id is None else table.header[columns.id], repeated)
        if not repeated:
            findings.several_photos(table, columns, rows)
    findings.shared_photos(rows)
    without_photo = [row for row in rows if row.photo is None]
    left_out += [(row.line, _repeated(row)) for row in repeated]
    left_out += [(row.line, _without_photo(row, photos)) for row in without_photo]
    return Catalog(
        source=source,
        layout=layout,
        label_columns=tuple(columns.labels),
        products=tuple(row.as_product(columns) for row in rows if row.photo is not None),
        without_photo=tuple(row.as_product(columns) for row in without_photo),
        rows=len(table.rows),
        repaired=tuple(row.id for row in rows if row.mended),
        left_out=tuple(left_out for _, left_out in sorted(left_out, key=itemgetter(0))),
        notes=(*findings.notes, *filter(None, [photos.note()])),
        details=findings.details,
    )


def _repeated(row: Row) -> LeftOut:
    assert row.kept is not None  # `first_of_each_id` has set it
    another = f", not {row.photo}" if row.has_another_photo else ""
    return LeftOut(row.id, DUPLICATE, f"row {row.line}: row {row.kept.line} is kept{another}")


def _without_photo(row: Row, photos: PhotoFinder) -> LeftOut:
    detail = f"{photos.where(row.text)} is not there" if row.text else "the cell is empty"
    return LeftOut(row.id, NO_PHOTO, detail)
