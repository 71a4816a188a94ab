"""An archive in; which CSV in it is the catalogue, what products are, and what cells say, out."""

from __future__ import annotations

import dataclasses
import functools
import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from fashion_keras.data.archive import Archive
from fashion_keras.data.photo_finder import IMAGES
from fashion_keras.data.schema import NAME_COLUMN
from fashion_keras.errors import UserError

# What programs and people write for "nothing", whatever the case.
_NOTHING = frozenset({"", "none", "null", "n/a", "#n/a", "<na>"})
# These too, but not as one writes a name: Nan and Na may be classes, and are told of.
_NOTHING_UNLESS_A_NAME = frozenset({"na", "nan"})

# A sign that always parts values, and one that may be part of a name: Hats & Caps, T-Shirts/Tops.
_PARTS = re.compile(r"\s*[|;>\n]\s*|,\s+|(?<!\d),|,(?!\d)")
_PERHAPS_PARTS = re.compile(r"\s*/\s*|\s+[&+]\s+")


@functools.lru_cache(2**16)  # products share their classes
def label_value(text: str) -> str | None:
    """Return a cell's text, None where it says that there is no value.

    That is an empty cell, and None, null, n/a, #N/A and <NA> in any case; also NA and NaN, but
    not Na and Nan, which may be names. Example:

        >>> label_value(" none "), label_value("NA"), label_value("Nan")
        (None, None, 'Nan')
    """
    text = text.strip()
    folded = text.lower()
    if folded in _NOTHING or (folded in _NOTHING_UNLESS_A_NAME and not text.istitle()):
        return None
    return text


def doubtful_names(names: Iterable[str]) -> list[str]:
    """Return the class names that may have been meant as "no value": Na, Nan."""
    return sorted(name for name in names if name.lower() in _NOTHING_UNLESS_A_NAME)


def folded_name(name: str) -> str:
    """Return what names that look alike have in common.

    They differ in case, spaces, Unicode form, or characters that take no room.
    """
    seen = (c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFC", "".join("".join(seen).lower().split()))


def look_alikes(counts: Mapping[str, int]) -> list[list[str]]:
    """Return the names that look alike, the most frequent first, in groups of two or more."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        groups[folded_name(name)].append(name)
    return [names for names in groups.values() if len(names) > 1]


def spelled_out(names: Iterable[str]) -> list[str]:
    """Return names in quotes, with what cannot be seen written out.

    Where several still look the same, as é of one character and of two, all that is not ASCII is.
    """
    names = list(names)
    shown = [repr(name) for name in names]
    same = Counter(unicodedata.normalize("NFC", text) for text in shown)
    return [
        ascii(name) if same[unicodedata.normalize("NFC", text)] > 1 else text
        for name, text in zip(names, shown, strict=True)
    ]


def several_values(names: Iterable[str]) -> list[str]:
    """Return the class names that seem to be several values: Men|Casual, Tops > Shirts, Sale.

    Parted by `/`, `&` or `+` only where each part is a class of its own.
    """
    names = set(names)

    def is_several(name: str) -> bool:
        if len([part for part in _PARTS.split(name) if part.strip()]) > 1:
            return True
        parts = _PERHAPS_PARTS.split(name)
        return len(parts) > 1 and names.issuperset(parts)

    return sorted(name for name in names if is_several(name))


NO_PHOTO = "no photo"
UNREADABLE = "unreadable photo"
DUPLICATE = "duplicate id"
BAD_ROW = "bad row"
EXCLUDED = "excluded"
REASONS = (NO_PHOTO, UNREADABLE, DUPLICATE, BAD_ROW, EXCLUDED)


@dataclasses.dataclass(frozen=True, slots=True)
class Product:
    """One row: its labels (None where the cell is empty) and its photo's name in the archive.

    `photo` is None where there is none; `repaired` says that the row was malformed. `group` is
    what it shares with those that must be in its split, "" where it stands alone, and None where
    nobody has asked for groups. `texts` maps each text column that was asked for to its text, ""
    where there is none. `placed_by` is the cell that says which split it goes to, or when it was
    new, where a column for that was asked for.
    """

    id: str
    name: str
    labels: dict[str, str | None]
    photo: str | None
    repaired: bool
    group: str | None = None
    texts: dict[str, str] = dataclasses.field(default_factory=dict)
    placed_by: str = ""

    def text(self, column: str) -> str:
        """Return the text of a column, "" where there is none; `name` is Kaggle's."""
        return self.name if column == NAME_COLUMN else self.texts[column]


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
    `notes` are lines for the terminal about how the rows were read, `details` the figures behind
    them, for the report.
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
    details: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def without_unreadable(self, reasons: Mapping[str, str]) -> Catalog:
        """Return it less the products whose photos cannot be read: `reasons` by their ids."""
        unreadable = [product for product in self.products if product.id in reasons]
        return dataclasses.replace(
            self,
            products=tuple(p for p in self.products if p.id not in reasons),
            without_photo=self.without_photo
            + tuple(dataclasses.replace(p, photo=None) for p in unreadable),
            left_out=self.left_out
            + tuple(LeftOut(p.id, UNREADABLE, f"{p.photo}: {reasons[p.id]}") for p in unreadable),
        )

    def report(self) -> dict:
        """Return counts, and every id that was repaired or left out by reason, for JSON."""
        by_reason: dict[str, list[dict[str, str]]] = {reason: [] for reason in REASONS}
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
            **self.details,
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


def _some(ids: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(ids[:limit])
    return f" ({shown}{', …' if len(ids) > limit else ''})"


STYLES = "styles.csv"
LARGE = "fashion-dataset/"


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


def _list(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" * (len(names) > limit))
