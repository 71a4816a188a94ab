"""Rows that belong together in; a name for each group, ids for their photos, labels filled, out.

A group is what must not be in two splits: the photos of a product, a brand, a shoot. A catalogue
that names no groups is looked at for signs that its products have several photos.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

from fashion_keras.data.catalog import folded_name, label_value
from fashion_keras.data.csv_reader import Table
from fashion_keras.data.photo_finder import without_extension

# What shops call the column that is alike in all rows of a product, less case and separators.
_PRODUCT_COLUMNS = ("handle", "productid", "parentid", "parentsku", "itemgroupid", "groupid",
                    "styleid", "stylecode", "articleid", "articlenumber", "productcode",
                    "productnumber", "sku", "product")  # fmt: skip
# A number at the end of a photo's name: shirt_1, shirt-02, shirt (3).
_NUMBERED = re.compile(r"(?P<product>.+?)[ _.-]+\(?(?P<number>\d{1,2})\)?")
_MOST_PHOTOS = 12  # of a product; more that are numbered are a class: shoe_1 … shoe_400
_MANY = 0.1  # of the photos: fewer are chance


def product_column(
    table: Table, used: Collection[int | None], photos: Mapping[int, str]
) -> str | None:
    """Return the column that seems to name the product of which rows show several photos.

    `used` are the places of columns that are read for something else; `photos` holds the photo of
    each line that has one.
    """
    for name in _PRODUCT_COLUMNS:
        for place, column in enumerate(table.header):
            if place in used or re.sub(r"[\W_]", "", column).lower() != name:
                continue
            shown = defaultdict(set)
            for line, row in zip(table.lines, table.rows, strict=True):
                if line in photos and place < len(row) and row[place].strip():
                    shown[row[place].strip()].add(photos[line])
            if any(len(found) > 1 for found in shown.values()):
                return column
    return None


def numbered_photos(names: Iterable[str]) -> list[str]:
    """Return the photos whose names look as if products had several: shirt_1, shirt_2, hat-1 ….

    None where they are few: then it is chance.
    """
    names = list(names)
    products: dict[str, dict[int, str]] = defaultdict(dict)
    for name in names:
        if match := _NUMBERED.fullmatch(name):
            products[match["product"]][int(match["number"])] = name
    found = [
        name
        for numbers in products.values()
        if 1 < len(numbers) <= _MOST_PHOTOS and max(numbers) - min(numbers) < 2 * len(numbers)
        for name in numbers.values()
    ]
    return found if len(found) > _MANY * len(names) else []


@dataclasses.dataclass
class Filled:
    """What filling labels found: cells filled by label, and groups with several values by label."""

    cells: Counter = dataclasses.field(default_factory=Counter)
    contradictions: dict[str, dict[str, list[str]]] = dataclasses.field(default_factory=dict)


def photo_names(texts: Sequence[str], photos: Sequence[Hashable]) -> list[str]:
    """Return the shortest names that tell photos apart, by what a CSV says of each.

    File names without their endings, else these with their folders, else `photos`, which are alike
    where two texts mean one photo. Example:

        >>> photo_names(["a/1.jpg", "a/2.jpg"], "ab"), photo_names(["a/1.jpg", "b/1.jpg"], "ab")
        (['1', '2'], ['a/1', 'b/1'])
    """
    paths = [without_extension(text.replace("\\", "/")) for text in texts]
    for names in ([posixpath.basename(path) for path in paths], paths):
        if len(set(names)) == len(set(photos)):
            return names
    return [str(photo) for photo in photos]


def photo_ids(
    products: Sequence[str], texts: Sequence[str], photos: Sequence[Hashable]
) -> list[str]:
    """Return an id for each row: its product's, and `product/photo` where that has several photos.

    A function of the product's photos alone: the order of rows plays no part. A row without text
    has no photo.
    """
    places = defaultdict(list)
    for place, (product, text) in enumerate(zip(products, texts, strict=True)):
        if text:
            places[product].append(place)
    result = list(products)
    for product, found in places.items():
        shown = [photos[place] for place in found]
        if len(set(shown)) > 1:
            names = photo_names([texts[place] for place in found], shown)
            for place, name in zip(found, names, strict=True):
                result[place] = f"{product}/{name}"
    return result


def group_names(cells: Sequence[str], ids: Sequence[str]) -> list[str]:
    """Return the name of each row's group, "" for a row that stands alone.

    Rows are one group whose cells look alike, or whose ids are the same: a shop may write the
    group in a product's first row alone. An empty cell joins nothing; a group without any cell
    is called by its id.
    """
    from scipy.cluster.hierarchy import DisjointSet

    keys = [folded_name(label_value(cell) or "") for cell in cells]
    sets = DisjointSet(("id", id) for id in ids)
    for key, id in zip(keys, ids, strict=True):
        if key:
            _join(sets, ("id", id), ("group", key))
    names: dict[Hashable, list[str]] = defaultdict(list)
    for key, cell, id in zip(keys, cells, ids, strict=True):
        if key:
            names[sets["id", id]].append(cell.strip())
    times = Counter(ids)
    return [min(names.get(sets["id", id], [id if times[id] > 1 else ""])) for id in ids]


def joined_groups(*groupings: Mapping[str, Hashable]) -> dict[str, Hashable]:
    """Return groups of ids that are together in any of the groupings, however many steps apart."""
    from scipy.cluster.hierarchy import DisjointSet

    sets = DisjointSet()
    for number, grouping in enumerate(groupings):
        for id, group in grouping.items():
            _join(sets, ("id", id), (number, group))
    return {id: sets["id", id] for grouping in groupings for id in grouping}


def fill_labels(
    rows: Sequence[Mapping[str, str | None]], groups: Sequence[str]
) -> tuple[list[dict[str, str | None]], Filled]:
    """Return the rows' labels, those that a row lacks filled from its group where that has one.

    Where a group has several values of a label, its rows stay as they are, and it is among the
    `contradictions`. A row without group ("") stays as it is.
    """
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row, group in zip(rows, groups, strict=True):
        for label, value in row.items():
            if group and value is not None:
                values[group, label].add(value)
    filled = Filled()
    for (group, label), found in sorted(values.items(), key=lambda item: item[0][0]):
        if len(found) > 1:
            filled.contradictions.setdefault(label, {})[group] = sorted(found)
    result = []
    for row, group in zip(rows, groups, strict=True):
        new = dict(row)
        for label, value in row.items():
            known = values.get((group, label), ())
            if value is None and len(known) == 1:
                (new[label],) = known
                filled.cells[label] += 1
        result.append(new)
    return result, filled


def _join(sets, first: Hashable, second: Hashable) -> None:
    sets.add(first)
    sets.add(second)
    sets.merge(first, second)
