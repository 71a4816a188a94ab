"""What reading a catalogue's rows found in; lines for the terminal and figures for a report out."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from fashion_keras.data.catalog_rows import Columns, Row
from fashion_keras.data.csv_reader import Table
from fashion_keras.data.label_names import spelled_out
from fashion_keras.data.product_groups import Filled
from fashion_keras.data.several_photos import numbered_photos, product_column

_SHOWN = 5


@dataclasses.dataclass
class Findings:
    """Collects `notes`, a line each, and `details`, the same for JSON."""

    notes: list[str] = dataclasses.field(default_factory=list)
    details: dict[str, object] = dataclasses.field(default_factory=dict)

    def encoding(self, note: str) -> None:
        """Tell that the CSV is not UTF-8; nothing where `note` is empty."""
        if note:
            self.notes.append(note)

    def merged(self, merged: Mapping[str, Mapping[str, str]]) -> None:
        """Tell which class names became which others."""
        for label, names in merged.items():
            shown = _some(["{} → {}".format(*spelled_out(pair)) for pair in names.items()])
            self.notes.append(f"{label}: names that look alike made one: {shown}")
        self.details["merged_names"] = {label: dict(names) for label, names in merged.items()}

    def grouped(self, column: str, rows: Sequence[Row], filled: Filled) -> None:
        """Tell what the groups of a column were good for, and where they contradict themselves."""
        alone = sum(not row.group for row in rows)
        products = Counter(row.product for row in rows if row.id != row.product)
        if products:
            example = next(row.id for row in rows if row.id != row.product)
            self.notes.append(
                f"{_counted(len(products), 'id')} with several photos: these have ids of their "
                f"own, such as {example}"
            )
        if alone:
            self.notes.append(
                f"warning: {_counted(alone, 'row')} without a {column}: each stands alone"
            )
        if filled.cells:
            cells = ", ".join(f"{label} {count:,}" for label, count in filled.cells.items())
            self.notes.append(f"labels filled from other rows of the same {column}: {cells}")
        for label, groups in filled.contradictions.items():
            shown = _some([f"{name}: {', '.join(spelled_out(v))}" for name, v in groups.items()])
            self.notes.append(
                f"warning: {_counted(len(groups), 'group')} of {column} with several values of "
                f"{label} ({shown}): each row keeps its own, none is filled"
            )
        self.details["groups"] = {
            "column": column,
            "rows_alone": alone,
            "filled": dict(filled.cells),
            "contradictions": filled.contradictions,
        }

    def repeated(self, column: str | None, rows: Sequence[Row]) -> None:
        """Tell that ids repeat, what was done, and what to do; nothing where none does."""
        if not rows:
            return
        others = [row for row in rows if row.has_another_photo]
        what = "ids repeat" if column is None else f"the id column {column!r} repeats"
        note = f"{what}: of each id one row is kept, {_counted(len(rows), 'row')} left out"
        if others:
            products = len({row.id for row in others})
            note = (
                f"warning: {note}. {len(others):,} of them show other photos of "
                f"{_counted(products, 'product')}: --group-column {column or 'NAME'} takes these "
                "too, and keeps a product's photos in one split"
            )
        self.notes.append(note)
        self.details["repeated_ids"] = {
            "column": column,
            "rows": len(rows),
            "with_other_photos": len(others),
        }

    def several_photos(self, table: Table, columns: Columns, rows: Sequence[Row]) -> None:
        """Tell where it looks as if products had several photos, which might be parted."""
        used = {columns.id, columns.image, *columns.labels.values()}
        column = product_column(table, used, {row.line: row.photo for row in rows if row.photo})
        numbered = numbered_photos([row.id for row in rows if row.photo])
        if column is not None:
            why = f"{column!r} repeats"
        elif numbered:
            why = f"{_some(numbered)}"
        else:
            return
        self.notes.append(
            f"warning: products seem to have several photos ({why}), which may be in train and in "
            f"test: keep them together with --group-column {column or 'NAME'}"
        )
        self.details["several_photos"] = {"column": column, "numbered": len(numbered)}

    def shared_photos(self, rows: Sequence[Row]) -> None:
        """Tell that several products have the same photo, which might be in several splits."""
        times = Counter(row.photo for row in rows if row.photo is not None)
        shown = defaultdict(list)
        for row in rows:
            if times[row.photo] > 1:
                shown[row.photo].append(row)
        apart = [
            row
            for sharing in shown.values()
            if not sharing[0].group or len({row.group for row in sharing}) > 1
            for row in sharing
        ]
        if apart:
            self.notes.append(
                f"warning: {_counted(len(apart), 'product')} share a photo with another "
                f"({_some([row.id for row in apart])}), which may be in train and in test: "
                "--split grouped keeps them together"
            )
            self.details["shared_photos"] = len(apart)


def _some(shown: Sequence[str]) -> str:
    return ", ".join(shown[:_SHOWN]) + ", …" * (len(shown) > _SHOWN)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
