"""A catalogue that names no groups in; signs that products have several photos in it, out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from fashion_keras.data.csv_reader import Table

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
    products = defaultdict(dict)
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
