"""Files of ids and labels that a person has corrected in; a corrected catalogue out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from fashion_keras.data.catalog import EXCLUDED, Catalog, LeftOut, label_value
from fashion_keras.data.csv_reader import Table, decode_text, is_csv, parse_csv, read_csv
from fashion_keras.data.schema import did_you_mean
from fashion_keras.errors import UserError
from fashion_keras.reading import read_bytes
from fashion_keras.text import from_cell, some

ID_COLUMN = "id"


@dataclasses.dataclass(frozen=True)
class Corrections:
    """Products to leave out, and for others new values of some labels (None: no value)."""

    exclude: frozenset[str] = frozenset()
    relabel: Mapping[str, Mapping[str, str | None]] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.exclude or self.relabel)

    def describe(self) -> dict:
        """Return counts and a sha256 of the corrections, for `dataset_info.json`."""
        content = [sorted(self.exclude), sorted((k, dict(v)) for k, v in self.relabel.items())]
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return {
            "exclude": len(self.exclude),
            "relabel": len(self.relabel),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }


def read_corrections(
    exclude: str | os.PathLike | None,
    relabel: str | os.PathLike | None,
    labels: Collection[str],
    say: Callable[[str], None] = print,
) -> Corrections:
    """Read a file of ids to leave out and a CSV of new labels; `UserError` where one is unfit.

    `exclude` holds an id a line, or is a CSV with a column `id`. `relabel` is a CSV with a column
    `id` and columns named as some of `labels`; an empty cell leaves a label as it is, `NA`
    removes it; other columns are not looked at. `say` is told of a file that is not UTF-8.
    """
    return Corrections(
        frozenset(_read_ids(Path(exclude), say)) if exclude else frozenset(),
        _read_labels(Path(relabel), labels, say) if relabel else {},
    )


def apply_corrections(
    catalog: Catalog, corrections: Corrections, say: Callable[[str], None]
) -> tuple[Catalog, dict]:
    """Return the corrected catalogue, and what was done, id by id, for `report.json`.

    Where the catalogue has groups, the name of one stands for all its photos.
    Ids that are not among the products are told by `say` and reported. Raises `UserError` where
    none of a file's ids is, or where no product is left.
    """
    corrections = _of_photos(corrections, catalog)
    known = {product.id for product in catalog.products}
    unknown = {
        "exclude": _unknown("--exclude", corrections.exclude, known, catalog, say),
        "relabel": _unknown("--relabel", corrections.relabel, known, catalog, say),
    }
    words = {
        label: {product.labels[label] for product in catalog.products}
        for label in catalog.label_columns
    }
    products, excluded, changed = [], [], []
    for product in catalog.products:
        if product.id in corrections.exclude:
            excluded.append(product.id)
            continue
        new = {
            label: value
            for label, value in corrections.relabel.get(product.id, {}).items()
            if product.labels[label] != value
        }
        for label, value in new.items():
            old = product.labels[label]
            changed.append({"id": product.id, "label": label, "from": old, "to": value})
            if value is not None and value not in words[label]:
                near = did_you_mean(value, words[label] - {None})
                say(f"--relabel: {value!r} of {product.id} is a new class of {label}{near}")
                words[label].add(value)
        products.append(dataclasses.replace(product, labels=product.labels | new))
    if not products:
        raise UserError("--exclude leaves no product: expected some of them")
    if corrections.exclude:
        say(f"excluded: {len(excluded):,} products")
    if corrections.relabel:
        count = len({row["id"] for row in changed})
        say(f"relabelled: {count:,} products, {len(changed):,} labels")
    corrected = dataclasses.replace(
        catalog,
        products=tuple(products),
        left_out=catalog.left_out
        + tuple(LeftOut(id, EXCLUDED, "named by --exclude") for id in excluded),
    )
    return corrected, {"relabelled": changed, "unknown_ids": unknown}


def _of_photos(corrections: Corrections, catalog: Catalog) -> Corrections:
    """Return corrections by the ids of photos; one of a photo goes before one of its group."""
    members: dict[str, list[str]] = defaultdict(list)
    for product in catalog.products:
        if product.group:
            members[product.group].append(product.id)
    photos = {product.id for product in catalog.products}
    members |= {id: [id] for id in photos}
    relabel: dict[str, dict[str, str | None]] = {}
    for id in sorted(corrections.relabel, key=photos.__contains__):
        for photo in members.get(id, [id]):
            relabel[photo] = relabel.get(photo, {}) | dict(corrections.relabel[id])
    exclude = {photo for id in corrections.exclude for photo in members.get(id, [id])}
    return Corrections(frozenset(exclude), relabel)


def _unknown(option, ids, known, catalog, say) -> list[str]:
    unknown = sorted(set(ids) - known)
    if not unknown:
        return []
    if len(unknown) == len(ids):
        raise UserError(
            f"{option}: none of its {len(ids):,} ids is a product of {catalog.source} "
            f"({some(unknown)}): "
            "expected ids as in the catalogue's id column"
        )
    say(
        f"{option}: {len(unknown):,} of its {len(ids):,} ids are not among the products "
        f"({some(unknown)})"
    )
    return unknown


def _read_ids(path: Path, say: Callable[[str], None]) -> list[str]:
    data = read_bytes(path)
    text, note = decode_text(data, str(path))
    if is_csv(text, ID_COLUMN):
        return [id for _, id, _ in _rows(parse_csv(data, str(path)), say)]
    if note:
        say(note)
    ids = [from_cell(line.strip()) for line in text.replace("\r", "\n").split("\n") if line.strip()]
    if not ids:
        raise UserError(f"{path} names no product: expected at least one id")
    return ids


def _read_labels(
    path: Path, labels: Collection[str], say: Callable[[str], None]
) -> dict[str, dict[str, str | None]]:
    table = read_csv(path)
    # A name that begins as a formula has a quote before it in the CSVs that we write.
    table = dataclasses.replace(table, header=[from_cell(name) for name in table.header])
    rows = _rows(table, say)
    columns = {name: table.index(name) for name in labels if name in table.header}
    if not columns:
        raise UserError(
            f"{path} has no column of new labels: expected some of {', '.join(labels)} beside "
            f"{ID_COLUMN!r}, found {', '.join(table.header)}"
        )
    found: dict[str, dict[str, str | None]] = {}
    for line, id, cells in rows:
        before = found.setdefault(id, {})
        for name, place in columns.items():
            if not cells[place]:
                continue
            value = label_value(cells[place])
            if before.setdefault(name, value) != value:
                raise UserError(
                    f"{path}, line {line}, gives {id} two values of {name}: {before[name]!r} and "
                    f"{value!r}. Keep one"
                )
    return {id: new for id, new in found.items() if new}


def _rows(table: Table, say: Callable[[str], None]) -> list[tuple[int, str, list[str]]]:
    """Return line, id and cells of each row; `UserError` where one is not whole: none is passed."""
    column = table.index(ID_COLUMN)
    if table.note:
        say(table.note)
    rows = []
    for line, cells in zip(table.lines, table.rows, strict=True):
        if len(cells) != len(table.header):
            raise UserError(
                f"{table.where}, line {line}: {len(cells)} fields, expected {len(table.header)}"
            )
        cells = [from_cell(cell.strip()) for cell in cells]
        if not cells[column]:
            raise UserError(f"{table.where}, line {line}: no id")
        rows.append((line, cells[column], cells))
    return rows
