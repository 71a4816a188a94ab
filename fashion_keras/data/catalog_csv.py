"""An archive in; which CSV in it is the catalogue, and its header and rows, out."""

from __future__ import annotations

import codecs
import csv as csv_module
import posixpath
from collections.abc import Iterable, Sequence

from fashion_keras.data.archive import Archive
from fashion_keras.data.photo_finder import IMAGES
from fashion_keras.errors import UserError

STYLES = "styles.csv"
LARGE = "fashion-dataset/"
NAME_COLUMN = "productDisplayName"


def csv_names(names: Iterable[str]) -> list[str]:
    """Return the CSVs among an archive's files, less what macOS and editors leave there."""
    return [
        name
        for name in names
        if name.lower().endswith(".csv")
        and not name.startswith("__MACOSX/")
        and not posixpath.basename(name).startswith(".")
    ]


def find_styles(names: list[str]) -> str | None:
    """Return the outermost `styles.csv` that has photos beside it, else the outermost."""
    found = [name for name in csv_names(names) if posixpath.basename(name) == STYLES]
    found.sort(key=lambda name: (name.count("/"), name))
    for name in found:
        images = name[: -len(STYLES)] + IMAGES
        if any(other.startswith(images) for other in names):
            return name
    return found[0] if found else None


def find_own_csv(archive: Archive, names: list[str], own: bool) -> str:
    """Return the only CSV of the topmost folder that has one; `UserError` where it is not clear.

    `own` says that the user has named columns, so that a CSV other than Kaggle's is meant.
    """
    found = csv_names(names)
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


def read_table(data: bytes, where: str) -> tuple[list[str], list[list[str]]]:
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


def _list(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" * (len(names) > limit))
