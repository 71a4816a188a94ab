"""A CSV's rows in; what each says of a product, and what a person must be told of them, out."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from fashion_keras.data.catalog import (
    BAD_ROW,
    LeftOut,
    Product,
    label_value,
    look_alikes,
    spelled_out,
)
from fashion_keras.data.csv_reader import Table
from fashion_keras.data.photo_finder import PhotoFinder
from fashion_keras.data.product_groups import (
    Filled,
    fill_labels,
    group_names,
    numbered_photos,
    photo_ids,
    photo_names,
    product_column,
)
from fashion_keras.data.schema import NAME_COLUMN
from fashion_keras.text import counted, some


@dataclasses.dataclass(frozen=True)
class Columns:
    """The places of the columns that are read; of `id` and `image` one may be None."""

    id: int | None
    image: int | None
    name: int | None
    group: int | None
    labels: Mapping[str, int]
    texts: Mapping[str, int]
    placed_by: int | None = None


@dataclasses.dataclass(slots=True)
class Row:
    """A row with as many cells as the header has, and what it says.

    `text` is what names its photo, `photo` that in the archive or None; `product` is what its id
    cell says, `id` what its photo is called, which differ where a product has several. `group`
    is None where nobody has asked for groups. `kept` is the row that stands for its id, where
    another one does. Rows of the same labels share them.
    """

    line: int
    cells: list[str]
    mended: bool
    product: str
    text: str
    photo: str | None
    labels: dict[str, str | None]
    texts: dict[str, str]
    id: str = ""
    group: str | None = None
    kept: Row | None = None

    @property
    def has_another_photo(self) -> bool:
        """Whether it is left out for another row of its id that shows another photo."""
        return self.photo is not None and self.kept is not None and self.kept.photo != self.photo

    def as_product(self, columns: Columns) -> Product:
        """Return it as a product of the catalogue."""
        name = "" if columns.name is None else label_value(self.cells[columns.name]) or ""
        at = columns.placed_by
        return Product(
            self.id,
            name,
            self.labels,
            self.photo,
            self.mended,
            self.group,
            self.texts,
            placed_by="" if at is None else label_value(self.cells[at]) or "",
        )


def read_rows(
    table: Table, columns: Columns, photos: PhotoFinder
) -> tuple[list[Row], list[tuple[int, LeftOut]]]:
    """Return the rows that can be read, and those that cannot, with their lines.

    A row of Kaggle's whose name holds commas without quotes is mended.
    """
    column = columns.id if columns.image is None else columns.image
    assert column is not None  # of the two only one may be
    texts = _cells(table, column)
    found = [photos.find(text) if text else None for text in texts]
    ids = texts
    if columns.id is None:
        shown = [photo or text for photo, text in zip(found, texts, strict=True)]
        ids = photo_names(texts, shown)
    elif columns.image is not None:
        ids = _cells(table, columns.id)
    groups = [""] * len(ids)
    if columns.group is not None:
        groups = [label_value(cell) or "" for cell in _cells(table, columns.group)]

    rows, bad = [], []
    known: dict[tuple[str | None, ...], dict[str, str | None]] = {}  # products share their labels
    width = len(table.header)
    for line, cells, id, group, text, photo in zip(
        table.lines, table.rows, ids, groups, texts, found, strict=True
    ):
        mended = len(cells) > width and table.header[-1] == NAME_COLUMN
        if mended:
            cells = [*cells[: width - 1], ",".join(cells[width - 1 :])]
        id = id or group  # a product's further rows may have their group alone
        if len(cells) != width:
            detail = f"row {line} has {len(cells)} fields, expected {width}"
            bad.append((line, LeftOut(id, BAD_ROW, detail)))
        elif not id:
            bad.append((line, LeftOut(id, BAD_ROW, f"row {line} has no id")))
        else:
            values = tuple(label_value(cells[place]) for place in columns.labels.values())
            labels = known.get(values) or known.setdefault(
                values, dict(zip(columns.labels, values, strict=True))
            )
            written = {name: label_value(cells[at]) or "" for name, at in columns.texts.items()}
            rows.append(Row(line, cells, mended, id, text, photo, labels, written, id))
    return rows, bad


def first_of_each_id(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the row that stands for each id, and the others.

    That is the first with a photo, else the first. Where there are groups, rows without a photo
    stand for nobody and are among the first list: none of them is a photo left out.
    """
    first: dict[str, Row] = {}
    for row in rows:
        known = first.setdefault(row.id, row)
        if known.photo is None and row.photo is not None:
            first[row.id] = row
    kept: list[Row] = []
    repeated: list[Row] = []
    for row in rows:
        stands = first[row.id]
        if stands is row or (row.group is not None and row.photo is None):
            kept.append(row)
        else:
            row.kept = stands
            repeated.append(row)
    return kept, repeated


def group_rows(rows: Sequence[Row], column: int) -> Filled:
    """Give each row its group, an id of its own, and the labels it lacks; return what was filled.

    A label comes from the rows of the same product, and where these have none from the group's.
    A text comes from the first of the product's rows that has it: a group may be a brand.
    """
    products = [row.product for row in rows]
    groups = group_names([row.cells[column] for row in rows], products)
    shown = [row.photo or row.text for row in rows]
    ids = photo_ids(products, [row.text for row in rows], shown)
    labels, within = fill_labels([row.labels for row in rows], products)
    labels, filled = fill_labels(labels, groups)
    first: dict[tuple[str, str], str] = {}
    for row in rows:
        for name, text in row.texts.items():
            if text:
                first.setdefault((row.product, name), text)
    for row, group, id, found in zip(rows, groups, ids, labels, strict=True):
        row.group, row.id, row.labels = group, id, found
        row.texts = {k: text or first.get((row.product, k), "") for k, text in row.texts.items()}
    return Filled(within.cells + filled.cells, filled.contradictions)


def merge_look_alikes(rows: Sequence[Row], labels: Iterable[str]) -> dict[str, dict[str, str]]:
    """Make class names that look alike the most frequent of them; return the changes by label."""
    merged = {}
    for label in labels:
        counts = Counter(name for row in rows if (name := row.labels[label]) is not None)
        new = {name: names[0] for names in look_alikes(counts) for name in names[1:]}
        if new:
            merged[label] = new
        for row in rows:
            if (name := row.labels[label]) in new:
                row.labels = row.labels | {label: new[name]}
    return merged


def _cells(table: Table, column: int) -> list[str]:
    return [row[column].strip() if column < len(row) else "" for row in table.rows]


@dataclasses.dataclass
class Findings:
    """Collects `notes`, a line each, and `details`, the same for JSON."""

    notes: list[str] = dataclasses.field(default_factory=list)
    details: dict[str, object] = dataclasses.field(default_factory=dict)

    def merged(self, merged: Mapping[str, Mapping[str, str]]) -> None:
        """Tell which class names became which others."""
        for label, names in merged.items():
            shown = some(["{} → {}".format(*spelled_out(pair)) for pair in names.items()])
            self.notes.append(f"{label}: names that look alike made one: {shown}")
        self.details["merged_names"] = {label: dict(names) for label, names in merged.items()}

    def grouped(self, column: str, rows: Sequence[Row], filled: Filled) -> None:
        """Tell what the groups of a column were good for, and where they contradict themselves."""
        alone = sum(not row.group for row in rows)
        products = Counter(row.product for row in rows if row.id != row.product)
        if products:
            example = next(row.id for row in rows if row.id != row.product)
            self.notes.append(
                f"{counted(len(products), 'id')} with several photos: these have ids of their "
                f"own, such as {example}"
            )
        if alone:
            self.notes.append(
                f"warning: {counted(alone, 'row')} without a {column}: each stands alone"
            )
        if filled.cells:
            cells = ", ".join(f"{label} {count:,}" for label, count in filled.cells.items())
            self.notes.append(f"labels filled from other rows of the same {column}: {cells}")
        for label, groups in filled.contradictions.items():
            shown = some([f"{name}: {', '.join(spelled_out(v))}" for name, v in groups.items()])
            self.notes.append(
                f"warning: {counted(len(groups), 'group')} of {column} with several values of "
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
        note = f"{what}: of each id one row is kept, {counted(len(rows), 'row')} left out"
        if others:
            products = len({row.id for row in others})
            note = (
                f"warning: {note}. {len(others):,} of them show other photos of "
                f"{counted(products, 'product')}: --group-column {column or 'NAME'} takes these "
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
            why = some(numbered)
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
            if row.photo is not None and times[row.photo] > 1:
                shown[row.photo].append(row)
        apart = [
            row
            for sharing in shown.values()
            if not sharing[0].group or len({row.group for row in sharing}) > 1
            for row in sharing
        ]
        if apart:
            self.notes.append(
                f"warning: {counted(len(apart), 'product')} share a photo with another "
                f"({some([row.id for row in apart])}), which may be in train and in test: "
                "--split grouped keeps them together"
            )
            self.details["shared_photos"] = len(apart)
