"""Files of ids and labels that a person has corrected in; a corrected catalogue out."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from fashion_keras.data.catalog import EXCLUDED, MISSING_TEXT, Catalog, LeftOut
from fashion_keras.data.schema import did_you_mean
from fashion_keras.errors import UserError
from fashion_keras.text import from_cell

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
) -> Corrections:
    """Read a file of ids to leave out and a CSV of new labels; `UserError` where one is unfit.

    `exclude` holds an id a line, or is a CSV with a column `id`. `relabel` is a CSV with a column
    `id` and columns named as some of `labels`; an empty cell leaves a label as it is, `NA`
    removes it; other columns are not looked at.
    """
    return Corrections(
        frozenset(_read_ids(Path(exclude))) if exclude else frozenset(),
        _read_labels(Path(relabel), labels) if relabel else {},
    )


def apply_corrections(
    catalog: Catalog, corrections: Corrections, say: Callable[[str], None]
) -> tuple[Catalog, dict]:
    """Return the corrected catalogue, and what was done, id by id, for `report.json`.

    Ids that are not among the products are told by `say` and reported. Raises `UserError` where
    none of a file's ids is, or where no product is left.
    """
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


def _unknown(option, ids, known, catalog, say) -> list[str]:
    unknown = sorted(set(ids) - known)
    if not unknown:
        return []
    some = ", ".join(unknown[:5]) + (", …" if len(unknown) > 5 else "")
    if len(unknown) == len(ids):
        raise UserError(
            f"{option}: none of its {len(ids):,} ids is a product of {catalog.source} ({some}): "
            "expected ids as in the catalogue's id column"
        )
    say(f"{option}: {len(unknown):,} of its {len(ids):,} ids are not among the products ({some})")
    return unknown


def _read_ids(path: Path) -> list[str]:
    lines = _lines(path)
    header = next(csv.reader(lines[:1]), [])
    names = [cell.strip() for cell in header]
    if len(names) > 1 or names == [ID_COLUMN]:
        return [row[ID_COLUMN] for row in _rows(path, lines)]
    return _not_empty(path, [from_cell(line.strip()) for line in lines if line.strip()])


def _read_labels(path: Path, labels: Collection[str]) -> dict[str, dict[str, str | None]]:
    rows = _rows(path, _lines(path))
    columns = [name for name in rows[0] if name in labels]
    if not columns:
        raise UserError(
            f"{path} has no column of new labels: expected some of {', '.join(labels)} beside "
            f"{ID_COLUMN!r}, found {', '.join(rows[0])}"
        )
    found: dict[str, dict[str, str | None]] = {}
    for row in rows:
        new = {
            name: None if row[name] in MISSING_TEXT else row[name] for name in columns if row[name]
        }
        before = found.setdefault(row[ID_COLUMN], {})
        for name, value in new.items():
            if before.get(name, value) != value:
                raise UserError(
                    f"{path} gives {row[ID_COLUMN]} two values of {name}: {before[name]!r} and "
                    f"{value!r}. Keep one"
                )
        before |= new
    return {id: new for id, new in found.items() if new}


def _rows(path: Path, lines: list[str]) -> list[dict[str, str]]:
    reader = csv.reader(line + "\n" for line in lines)
    names = [from_cell(name.strip()) for name in next(reader, [])]
    if ID_COLUMN not in names:
        raise UserError(
            f"{path} has no column {ID_COLUMN!r}: found {', '.join(names) or 'nothing'}"
        )
    rows = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            raise UserError(
                f"{path}, line {reader.line_num}: {len(cells)} fields, expected {len(names)}"
            )
        row = dict(zip(names, (from_cell(cell.strip()) for cell in cells), strict=True))
        if not row[ID_COLUMN]:
            raise UserError(f"{path}, line {reader.line_num}: no id")
        rows.append(row)
    return _not_empty(path, rows)


def _not_empty(path: Path, rows: list) -> list:
    if not rows:
        raise UserError(f"{path} names no product: expected at least one id")
    return rows


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"cannot read {path}: {reason}") from None
