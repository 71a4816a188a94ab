"""Cells of a CSV in; what they say, products and their catalogue, and its labels' figures, out.

What a person must know of the labels before training is the same on the terminal and in
`report.json`.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from fashion_keras.data.schema import NAME_COLUMN
from fashion_keras.text import counted, some

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
            rows = counted(len(self.repaired), "malformed row")
            lines.append(f"  repaired: {rows} ({some(self.repaired)})")
        counts = Counter(row.reason for row in self.left_out)
        for reason in REASONS:
            if counts[reason]:
                ids = [row.id for row in self.left_out if row.reason == reason]
                lines.append(f"  left out: {counts[reason]:,} × {reason} ({some(ids)})")
        return "\n".join(lines + [f"  {note}" for note in self.notes])


FEW = 3  # photos of a class: with fewer it is not in every split
_FEW_ROWS = 0.5  # of the photos: a label on fewer is likely to be another column than meant
_MANY_CLASSES = 50
_SHOWN = 5


def describe_labels(
    labels: Sequence[str], photos: Iterable[Mapping[str, str | None]]
) -> dict[str, dict]:
    """Return each label's figures, ready for JSON.

    `photos` holds the class name of each photo by label, None where it has none. A label has
    `photos` with it, `without`, `classes`, `under_three` (the photos of each class that has fewer
    than three), `look_alike` (groups of names, with their photos), `several_values` and
    `like_no_value` (names, with their photos).
    """
    photos = list(photos)
    return {label: _describe(Counter(photo[label] for photo in photos)) for label in labels}


def label_lines(described: Mapping[str, dict]) -> list[str]:
    """Return a line for each label, and one for each thing about it that is likely wrong."""
    lines = []
    for label, found in described.items():
        lines.append(f"{label}: {', '.join(_facts(found))}")
        lines += [f"  warning: {line}" for line in _warnings(label, found)]
    return lines


def _describe(counts: Counter) -> dict:
    without = counts.pop(None, 0)
    return {
        "photos": counts.total(),
        "without": without,
        "classes": len(counts),
        "under_three": _of(counts, sorted(n for n, count in counts.items() if count < FEW)),
        "look_alike": [_of(counts, names) for names in look_alikes(counts)],
        "several_values": _of(counts, several_values(counts)),
        "like_no_value": _of(counts, doubtful_names(counts)),
    }


def _of(counts: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    return {name: counts[name] for name in names}


def _facts(found: dict) -> list[str]:
    facts = [counted(found["classes"], "class")]
    if found["without"]:
        facts.append(f"{counted(found['without'], 'photo')} without it")
    if found["under_three"]:
        few = len(found["under_three"])
        facts.append(
            f"{counted(few, 'class')} under {FEW} photos ({_examples(found['under_three'])})"
        )
    return facts


def _warnings(label: str, found: dict) -> list[str]:
    lines = []
    total = found["photos"] + found["without"]
    if found["photos"] < _FEW_ROWS * total:
        lines.append(
            f"only {found['photos']:,} of {total:,} photos have a {label}: is it the right column?"
        )
    if found["classes"] > _MANY_CLASSES and len(found["under_three"]) > found["classes"] / 2:
        lines.append(
            f"most classes of {label} have fewer than {FEW} photos: is it a name, not a class?"
        )
    if found["look_alike"]:
        groups = found["look_alike"]
        shown = "; ".join(_spelled(names) for names in groups[:_SHOWN])
        lines.append(
            f"{counted(sum(map(len, groups)), 'class')} of {label} look alike "
            f"({shown}{_more(groups)}): --merge-names makes one of them"
        )
    if found["several_values"]:
        cells = sum(found["several_values"].values())
        lines.append(
            f"{counted(cells, 'photo')} seem to have several values of {label} in one "
            f"cell ({_examples(found['several_values'])}): each such text is a class of its own"
        )
    if found["like_no_value"]:
        lines.append(
            f"{_spelled(found['like_no_value'])} of {label} is read as a class: leave the cell "
            "empty where it means no value"
        )
    return lines


def _spelled(counts: Mapping[str, int]) -> str:
    shown = zip(spelled_out(counts), counts.values(), strict=True)
    return ", ".join(f"{name} {count:,}" for name, count in shown)


def _examples(counts: Mapping[str, int]) -> str:
    return _spelled(dict(list(counts.items())[:_SHOWN])) + _more(counts)


def _more(items) -> str:
    return ", …" if len(items) > _SHOWN else ""
