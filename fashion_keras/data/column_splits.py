"""A catalogue whose column says where its products go, or when they were new, in; splits out."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence

import numpy as np

from fashion_keras.data.catalog import Catalog, Product
from fashion_keras.data.schema import SPLITS
from fashion_keras.errors import UserError

_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_SPLIT_OF = {name: split for split, names in _NAMES.items() for name in names}


def named_split(catalog: Catalog, column: str) -> dict[str, list[Product]]:
    """Split products as `Product.placed_by` says: train, validation or test.

    Raises `UserError` for another word, and where no product is to train on.
    """
    splits: dict[str, list[Product]] = {name: [] for name in SPLITS}
    unknown = Counter[str]()
    for product in catalog.products:
        split = _SPLIT_OF.get(product.placed_by.lower())
        if split is None:
            unknown[product.placed_by] += 1
        else:
            splits[split].append(product)
    if unknown:
        ((word, count),) = unknown.most_common(1)
        raise UserError(
            f"--split-column {column}: {count:,} products have {word!r} there: expected "
            f"{', '.join(SPLITS)}"
        )
    if not splits["train"]:
        raise UserError(f"--split-column {column}: no product is in train, nothing to learn from")
    _check_groups(splits, column)
    return splits


def split_by_time(
    catalog: Catalog, column: str, fractions: Sequence[float]
) -> tuple[dict[str, list[Product]], list[str]]:
    """Split products by time: train on the oldest, test on the newest.

    Products of one time stay together, so the shares are as near to `fractions` as that allows.
    Returns the splits, and the first time of validation and of test. Products without a time are
    in train. Raises `UserError` for a cell that is no number and no ISO date, and where there are
    fewer than three times.
    """
    times = {product.id: _time(product.placed_by, column) for product in catalog.products}
    counts = Counter(time for time in times.values() if time is not None)
    if len(counts) < 3:
        raise UserError(
            f"--time-column {column}: {len(counts)} different times, expected three or more"
        )
    order = sorted(counts)
    ends = np.cumsum([counts[time] for time in order]) / counts.total()
    first = int(np.abs(ends[:-2] - fractions[0]).argmin())
    later = ends[first + 1 : -1]
    second = first + 1 + int(np.abs(later - fractions[0] - fractions[1]).argmin())
    splits: dict[str, list[Product]] = {name: [] for name in SPLITS}
    for product in catalog.products:
        time = times[product.id]
        late = 0 if time is None else (time > order[first]) + (time > order[second])
        splits[SPLITS[late]].append(product)
    _check_groups(splits, column)
    shown = {times[product.id]: product.placed_by for product in catalog.products}
    return splits, [shown[order[first + 1]], shown[order[second + 1]]]


def _time(cell: str, column: str) -> tuple[int, float] | None:
    """Return what orders a cell among others; None for an empty one."""
    if not cell:
        return None
    try:
        return 0, float(cell)
    except ValueError:
        pass
    try:
        return 1, datetime.datetime.fromisoformat(cell).replace(tzinfo=None).timestamp()
    except ValueError:
        raise UserError(
            f"--time-column {column}: {cell!r} is neither a number nor a date such as 2024-07-31"
        ) from None


def _check_groups(splits: dict[str, list[Product]], column: str) -> None:
    placed: dict[str, str] = {}
    for split, products in splits.items():
        for product in products:
            if product.group and placed.setdefault(product.group, split) != split:
                raise UserError(
                    f"the group {product.group!r} would be in {placed[product.group]} and in "
                    f"{split}: give its rows one value of {column}, or leave out --group-column"
                )
