"""An archive in; its products (id, labels, photo) and a report of what was left out, out.

Reads the Kaggle dataset in its small or large layout, or any CSV that names photos.
"""

from __future__ import annotations

import codecs
import contextlib
import csv as csv_module
import dataclasses
import posixpath
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from fashion_keras.data.archive import Archive
from fashion_keras.data.schema import LABEL_COLUMNS, did_you_mean
from fashion_keras.errors import UserError

STYLES = "styles.csv"
LARGE = "fashion-dataset/"
IMAGES = "images/"
ID_COLUMN = "id"
NAME_COLUMN = "productDisplayName"
EXTENSIONS = ("", ".jpg", ".jpeg", ".png")

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

MAX_PIXELS = 64_000_000
# Pillow knows many more formats, some of which start other programs.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
_ORIENTATION = 0x0112  # EXIF 2.32, table 4: 1 is upright, 5 to 8 swap height and width
_CHUNK = 64  # photos a task: fewer cost more in handing over than in decoding


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


@dataclasses.dataclass(frozen=True, slots=True)
class PhotoInfo:
    """A decoded photo: height and width in pixels as displayed, Pillow's format and mode.

    `rotated` says that the stored pixels are turned or mirrored and that an EXIF tag turns
    them back: TensorFlow's decoders ignore the tag.
    """

    height: int
    width: int
    format: str
    mode: str
    rotated: bool


@dataclasses.dataclass(frozen=True)
class Catalog:
    """Products with a photo, and an account of every other row.

    `products` have a photo, readable as far as `check_photos` has looked; `without_photo` are
    well-formed rows with no photo or an unreadable one (the published split needs them).
    Every row is in `products` or in `left_out`, so `rows` is the sum of the two. `repaired`
    lists the ids of malformed rows that were mended. `layout` is `small`, `large` or `own`.
    """

    source: str
    layout: str
    label_columns: tuple[str, ...]
    products: tuple[Product, ...]
    without_photo: tuple[Product, ...]
    rows: int
    repaired: tuple[str, ...]
    left_out: tuple[LeftOut, ...]

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
        return "\n".join(lines)


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
            it, with or without `.jpg`, `.jpeg` or `.png`. Defaults to `images/<id>`.
        label_columns: columns to learn from. Defaults to those of the Kaggle dataset.

    Raises `UserError` where the CSV or a column is missing, the text is not UTF-8, or no row
    has a photo.
    """
    names = archive.names()
    kaggle = _find_styles(names)
    own = any(option is not None for option in (csv, id_column, image_column, label_columns))
    if csv is None:
        csv = kaggle or _find_own_csv(archive, names, own)
    elif (csv := posixpath.normpath(csv)) not in names:
        raise UserError(f"{archive.source} holds no {csv!r}" + did_you_mean(csv, _csvs(names)))
    layout = "small"
    if csv != kaggle or image_column or id_column not in (None, ID_COLUMN):
        layout = "own"
    elif LARGE in csv:
        layout = "large"

    where = f"{csv} in {archive.source}"
    header, rows = _read_table(archive.read(csv), where)
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
        id=_index(header, id_column, where, "--id-column"),
        image=_index(header, image_column, where, "--image-column"),
        name=header.index(NAME_COLUMN) if NAME_COLUMN in header else None,
        labels={label: _index(header, label, where, "--label-column") for label in label_columns},
    )
    catalog = _collect(
        rows, header, columns, _PhotoFinder(names, posixpath.dirname(csv), layout == "own")
    )
    catalog = dataclasses.replace(catalog, source=str(archive.source), layout=layout)
    if not catalog.products:
        raise UserError(
            f"{where}: none of its {catalog.rows:,} rows has a photo"
            + (f" ({catalog.left_out[0].detail})" if catalog.left_out else "")
            + ".\nPhotos are expected in images/<id>.jpg beside it, or where --image-column says"
        )
    return catalog


def check_photos(
    catalog: Catalog,
    archive: Archive,
    *,
    workers: int = 2,
    progress: Callable[[int], object] | None = None,
) -> tuple[Catalog, dict[str, PhotoInfo]]:
    """Decode every product's photo and leave out those that cannot be read.

    Streams: no more than one photo a worker is in memory. JPEGs are decoded at an eighth of
    their size, which still reads every byte, so that a truncated one is noticed.

    Args:
        catalog: what `read_catalog` returned for `archive`.
        archive: where the photos are.
        workers: threads; Pillow decodes outside the interpreter's lock.
        progress: called with the number of photos done so far, from the calling thread.

    Returns:
        The catalogue less the unreadable photos, which are in `left_out` and
        `without_photo`, and a `PhotoInfo` for each remaining product's id.
    """
    from PIL import TiffImagePlugin, WebPImagePlugin  # noqa: F401 (registers formats)

    def check(products: Sequence[Product]) -> list[PhotoInfo | str]:
        return [_check_photo(archive, product.photo) for product in products]

    products = catalog.products
    chunks = [products[i : i + _CHUNK] for i in range(0, len(products), _CHUNK)]
    infos: dict[str, PhotoInfo] = {}
    unreadable: dict[str, str] = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(max(1, workers)) as pool:
        # Of damaged metadata, and of more pixels than `MAX_PIXELS`, which are refused anyway.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        # Closing cancels what has not begun, so that Ctrl-C need not wait for all photos.
        with contextlib.closing(pool.map(check, chunks)) as results:
            for chunk, found in zip(chunks, results, strict=True):
                for product, info in zip(chunk, found, strict=True):
                    if isinstance(info, PhotoInfo):
                        infos[product.id] = info
                    else:
                        unreadable[product.id] = f"{product.photo}: {info}"
                if progress is not None:
                    progress(len(infos) + len(unreadable))
    if not infos:
        raise UserError(
            f"{catalog.source}: none of its {len(products):,} photos can be read "
            f"({next(iter(unreadable.values()), 'there are none')})"
        )
    checked = dataclasses.replace(
        catalog,
        products=tuple(p for p in products if p.id in infos),
        without_photo=catalog.without_photo
        + tuple(dataclasses.replace(p, photo=None) for p in products if p.id in unreadable),
        left_out=catalog.left_out
        + tuple(LeftOut(id, UNREADABLE, detail) for id, detail in unreadable.items()),
    )
    return checked, infos


# ---- finding the CSV ----


def _csvs(names: Iterable[str]) -> list[str]:
    return [
        name
        for name in names
        if name.lower().endswith(".csv")
        and not name.startswith("__MACOSX/")
        and not posixpath.basename(name).startswith(".")
    ]


def _find_styles(names: list[str]) -> str | None:
    """Return the outermost `styles.csv` that has photos beside it, else the outermost."""
    found = [name for name in _csvs(names) if posixpath.basename(name) == STYLES]
    found.sort(key=lambda name: (name.count("/"), name))
    for name in found:
        images = name[: -len(STYLES)] + IMAGES
        if any(other.startswith(images) for other in names):
            return name
    return found[0] if found else None


def _find_own_csv(archive: Archive, names: list[str], own: bool) -> str:
    found = _csvs(names)
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


# ---- reading the CSV ----


def _read_table(data: bytes, where: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows (lists of text of any length) of a CSV; no blank lines."""
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{where} is not UTF-8 (byte 0x{data[error.start]:02x} in line {line}): "
            "save it as UTF-8"
        ) from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    delimiter = max(",;\t", key=lines[0].count)  # the first of equals: a comma
    if NAME_COLUMN in lines[0]:
        # Kaggle's file has one product a line and does not escape quotes, so a stray one
        # must not join its line to the next.
        table = _parse_lines(lines, delimiter)
    else:
        try:
            table = list(
                csv_module.reader((f"{line}\n" for line in lines), delimiter=delimiter, strict=True)
            )
        except csv_module.Error:
            table = _parse_lines(lines, delimiter)
    table = [row for row in table if any(row)]
    if len(table) < 2:
        raise UserError(f"{where} is empty: expected a header and at least one row")
    return [cell.strip() for cell in table[0]], table[1:]


def _parse_lines(lines: list[str], delimiter: str) -> list[list[str]]:
    """Parse each line by itself; where its quotes do not add up, they are plain characters."""
    table = []
    for line in lines:
        try:
            table += csv_module.reader([line], delimiter=delimiter, strict=True)
        except csv_module.Error:
            table.append(line.split(delimiter))
    return table


@dataclasses.dataclass(frozen=True)
class _Columns:
    id: int | None
    image: int | None
    name: int | None
    labels: dict[str, int]


def _index(header: list[str], column: str | None, where: str, option: str) -> int | None:
    if column is None:
        return None
    if column not in header:
        raise UserError(
            f"{where} has no column {column!r}{did_you_mean(column, header)}: it has "
            f"{', '.join(header)}.\nName another with {option}"
        )
    return header.index(column)


class _PhotoFinder:
    """Finds a photo in the archive by what the CSV says of it, in exact case first."""

    def __init__(self, names: Iterable[str], folder: str, own: bool):
        self._exact = {name: name for name in names}
        self._lower = {name.lower(): name for name in self._exact}
        images = posixpath.join(folder, IMAGES)
        self._folders = (folder, images) if own else (images,)

    def find(self, value: str) -> str | None:
        value = value.replace("\\", "/")
        paths = [posixpath.normpath(posixpath.join(folder, value)) for folder in self._folders]
        return self._first(self._exact, paths) or self._first(
            self._lower, [path.lower() for path in paths]
        )

    @staticmethod
    def _first(names: dict[str, str], paths: list[str]) -> str | None:
        candidates = (path + extension for path in paths for extension in EXTENSIONS)
        return next((names[path] for path in candidates if path in names), None)

    def where(self, value: str) -> str:
        """Say where the photo was expected."""
        return posixpath.join(self._folders[-1], value)


def _collect(
    rows: list[list[str]], header: list[str], columns: _Columns, photos: _PhotoFinder
) -> Catalog:
    """Sort the rows into products and rows left out, mending those that can be mended."""
    products, without_photo, repaired, left_out = [], [], [], []
    seen: set[str] = set()
    width = len(header)
    ids = _ids(rows, columns)
    for number, (row, id) in enumerate(zip(rows, ids, strict=True), start=2):
        mended = False
        if len(row) > width and header[-1] == NAME_COLUMN:
            # An unquoted comma in the product name, the last column.
            row = [*row[: width - 1], ",".join(row[width - 1 :])]
            mended = True
        elif len(row) > width and not any(row[width:]):
            row = row[:width]
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
        rows=len(rows),
        repaired=tuple(repaired),
        left_out=tuple(left_out),
    )


def _ids(rows: list[list[str]], columns: _Columns) -> list[str]:
    """Return each row's id: its cell, or the photo's stem (with folders if stems repeat)."""
    index = columns.id if columns.id is not None else columns.image
    cells = [row[index].strip() if index < len(row) else "" for row in rows]
    if columns.id is not None:
        return cells
    paths = [_without_extension(cell.replace("\\", "/")) for cell in cells]
    stems = [posixpath.basename(path) for path in paths]
    # shirts/1.jpg and shoes/1.jpg are two products.
    return stems if len(set(stems)) == len(set(paths)) else paths


def _without_extension(path: str) -> str:
    stem, extension = posixpath.splitext(path)
    return stem if extension.lower() in EXTENSIONS else path


def _cell(text: str) -> str | None:
    text = text.strip()
    return None if text in MISSING_TEXT else text


# ---- looking at photos ----


def _check_photo(archive: Archive, name: str) -> PhotoInfo | str:
    """Return a photo's `PhotoInfo`, or in a few words why it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        data = archive.read(name)
    except UserError as error:
        return str(error)
    if not data:
        return "empty file"
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                return f"too many pixels ({width}×{height})"
            mode = image.mode
            image.draft(None, (1, 1))
            image.load()
            orientation = _orientation(image)
            if orientation >= 5:
                height, width = width, height
            # A JPEG with a second picture for 3D screens; decoders read the first.
            format = "JPEG" if image.format == "MPO" else image.format
            return PhotoInfo(height, width, format, mode, orientation != 1)
    except Image.DecompressionBombError:
        return "too many pixels"
    except UnidentifiedImageError:
        return "not an image"
    except MemoryError:
        raise
    except Exception as error:  # decoders fed with junk raise nearly anything
        if "truncated" in str(error).lower():
            return "truncated"
        return f"damaged ({error})"


def _orientation(image) -> int:
    """Return the EXIF orientation, 1 (upright) to 8; 1 where there is none or it is damaged."""
    if not image.info.keys() & {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}:
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # metadata fed with junk raise nearly anything, and the photo is fine
        return 1
    return orientation if orientation in range(1, 9) else 1


# ---- words ----


def _some(ids: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(ids[:limit])
    return f" ({shown}{', …' if len(ids) > limit else ''})"


def _list(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" * (len(names) > limit))
