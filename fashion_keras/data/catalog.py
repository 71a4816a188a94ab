"""What a catalogue is: products (id, labels, photo), and an account of every other row."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

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
    nobody has asked for groups.
    """

    id: str
    name: str
    labels: dict[str, str | None]
    photo: str | None
    repaired: bool
    group: str | None = None


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
