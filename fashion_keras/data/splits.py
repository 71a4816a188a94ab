"""A catalogue in; each product's id in train, validation or test, out.

A split is a function of the products and the seed, never of the order of files or rows.
Within a split the ids are in a fixed random order, so that a shard holds a mixture.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from fashion_keras.data.catalog import Catalog
from fashion_keras.data.product_groups import joined_groups
from fashion_keras.data.schema import SPLITS, check_known
from fashion_keras.errors import UserError

Splits = dict[str, list[str]]

STRATEGIES = ("published", "stratified", "grouped")
FRACTIONS = (0.7, 0.15, 0.15)

# The published split of the Kaggle dataset: 70/15/15 of the rows that parse and have a photo.
PUBLISHED_SEED = 42
PUBLISHED_COUNT = 44_419
PUBLISHED_LABEL = "subCategory"
# Rows to which Kaggle ships no photo. By name, because other archives of the same catalogue
# hold fewer photos and are still to be split alike.
PUBLISHED_WITHOUT_PHOTO = frozenset({"12347", "39401", "39403", "39410", "39425"})
# sha256 of a split's ids, sorted as numbers and joined by newlines.
PUBLISHED_SHA256 = {
    "train": "030057ac27a94f78343889b91346ce6ada0189ee3462ad60f4707838720523be",
    "validation": "843b92201de1afcba5209d399710ce481f2793facbf33a392a423d54c8351ae7",
    "test": "d89507e0bf883ba28cf25ed5c7a824b7efa97531afc70378c559a7c9d6b58b25",
}


def make_splits(
    catalog: Catalog,
    strategy: str,
    *,
    label: str = "subCategory",
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    groups: Mapping[str, Hashable] | None = None,
) -> Splits:
    """Split a catalogue's products by a strategy's name, one of `STRATEGIES`.

    `label`, `fractions` and `seed` are those of `stratified_split`, and of `grouped` `groups` (of
    near-duplicates) too; the published split has its own. Products with a `group` of their own stay
    together as well. Raises `UserError` where the strategy is unknown or does not fit the
    catalogue.
    """
    check_known(strategy, STRATEGIES, f"unknown split {strategy!r}: expected one of")
    if strategy == "published":
        return published_split(catalog)
    own = {product.id: product.group for product in catalog.products if product.group}
    groups = groups or {} if strategy == "grouped" else {}
    if own:
        groups = joined_groups(own, groups)
    return stratified_split(
        catalog, label, groups, fractions=fractions, seed=seed, fill_splits=bool(own)
    )


def published_split(catalog: Catalog) -> Splits:
    """Return the split behind the published results, less the products with no photo here.

    Sorts the rows that parse without repair by (`subCategory`, `<id>.jpg`), permutes them as
    PyTorch's `randperm` seeded with 42 does, and cuts at 70% and 85%. Whether these are the
    published products is verified by hash before those without a photo are dropped.

    Raises `UserError` where they are not.
    """
    if any(product.group is not None for product in catalog.products):
        raise UserError(
            "the published split knows no groups and may part them: leave out --group-column, or "
            "use --split stratified"
        )
    if PUBLISHED_LABEL not in catalog.label_columns:
        raise UserError(
            f"the published split needs the label {PUBLISHED_LABEL!r}, the catalogue has "
            f"{', '.join(catalog.label_columns)}: use --split stratified"
        )
    rows = sorted(
        (product.labels[PUBLISHED_LABEL] or "", f"{product.id}.jpg", product.id)
        for product in (*catalog.products, *catalog.without_photo)
        if not product.repaired and product.id not in PUBLISHED_WITHOUT_PHOTO
    )
    ids = [rows[i][-1] for i in randperm(len(rows), PUBLISHED_SEED)]
    train, validation = int(0.7 * len(ids)), int(0.15 * len(ids))
    splits = {
        "train": ids[:train],
        "validation": ids[train : train + validation],
        "test": ids[train + validation :],
    }
    if any(ids_sha256(splits[name]) != PUBLISHED_SHA256[name] for name in SPLITS):
        raise UserError(
            f"{catalog.source} is not the published catalogue: found {len(ids):,} well-formed "
            f"products, expected {PUBLISHED_COUNT:,}"
            + (" with other ids or subcategories" if len(ids) == PUBLISHED_COUNT else "")
            + ".\nUse --split stratified"
        )
    with_photo = {product.id for product in catalog.products}
    return {name: [id for id in ids if id in with_photo] for name, ids in splits.items()}


def stratified_split(
    catalog: Catalog,
    label: str,
    groups: Mapping[str, Hashable] | None = None,
    *,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    fill_splits: bool = False,
) -> Splits:
    """Split every class of a label by the same fractions.

    Within a class the products are ordered by a hash of seed and id. A class of 3 or more is
    in all three splits, a class of 2 in train and test, a single product in train; a split
    with fraction 0 gets none. Products without the label are split as a class of their own,
    so that other labels can be learnt from the same records.

    Every group of products is in one split. Groups are placed one by one, the largest first,
    where they leave their classes' splits least full for their share; the products that stand
    alone then fill each class up to its share. (Of scikit-learn, StratifiedGroupKFold knows folds
    of one size alone, and may leave a class of few products out of a split that has room for it.)
    A class may miss its share, or a split, where a single group holds much of it.

    Args:
        catalog: whose products to split.
        label: column whose classes are kept in proportion.
        groups: maps ids to a group; a product that it does not name stands alone.
        fractions: of train, validation and test; they sum to 1, and train's is positive.
        seed: another seed gives another split.
        fill_splits: a class of three groups or more is in every split, where these are mostly of
            that class, though its shares may suffer: for catalogues whose every product is in a
            group of several photos.
    """
    check_known(label, catalog.label_columns, f"unknown label {label!r}: the catalogue has")
    fractions = _checked(fractions)
    hashes = {product.id: _hash(seed, product.id) for product in catalog.products}
    classes: dict[str | None, list[str]] = defaultdict(list)
    for product in catalog.products:
        classes[product.labels[label]].append(product.id)
    shares = {name: _allot(len(ids), fractions) for name, ids in classes.items()}
    placed, filled = _place_groups(catalog, label, groups or {}, shares, hashes, fill_splits)

    splits: Splits = {name: [] for name in SPLITS}
    for name, ids in classes.items():
        alone = sorted((id for id in ids if id not in placed), key=hashes.__getitem__)
        start = 0
        counts = _fill(shares[name], filled[name], len(alone))
        for split, count in zip(SPLITS, counts, strict=True):
            splits[split] += alone[start : start + count]
            start += count
    for id, place in placed.items():
        splits[SPLITS[place]].append(id)
    # Mixes the classes; by a hash again, so that the order of rows plays no part.
    return {name: sorted(ids, key=hashes.__getitem__) for name, ids in splits.items()}


_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_SPLIT_OF = {name: split for split, names in _NAMES.items() for name in names}


def named_split(catalog: Catalog, column: str, seed: int = 0) -> Splits:
    """Split products as `Product.placed_by` says: train, validation or test.

    Raises `UserError` for another word, and where no product is to train on.
    """
    unknown = Counter(p.placed_by for p in catalog.products if p.placed_by.lower() not in _SPLIT_OF)
    if unknown:
        ((word, count),) = unknown.most_common(1)
        raise UserError(
            f"--split-column {column}: {count:,} products have {word!r} there: expected "
            f"{', '.join(SPLITS)}"
        )
    places = {p.id: _SPLIT_OF[p.placed_by.lower()] for p in catalog.products}
    if "train" not in places.values():
        raise UserError(f"--split-column {column}: no product is in train, nothing to learn from")
    return _placed(catalog, places, column, seed)


def split_by_time(
    catalog: Catalog, column: str, fractions: Sequence[float], seed: int = 0
) -> tuple[Splits, list[str]]:
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
    places = {
        id: SPLITS[0 if time is None else (time > order[first]) + (time > order[second])]
        for id, time in times.items()
    }
    shown = {times[product.id]: product.placed_by for product in catalog.products}
    starts = [shown[order[first + 1]], shown[order[second + 1]]]
    return _placed(catalog, places, column, seed), starts


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


def _placed(catalog: Catalog, places: Mapping[str, str], column: str, seed: int) -> Splits:
    """Return the ids of each split; `UserError` where a group would be in two."""
    splits: Splits = {name: [] for name in SPLITS}
    place_of: dict[str, str] = {}  # of groups
    for product in sorted(catalog.products, key=lambda product: SPLITS.index(places[product.id])):
        split = places[product.id]
        splits[split].append(product.id)
        if product.group and place_of.setdefault(product.group, split) != split:
            raise UserError(
                f"the group {product.group!r} would be in {place_of[product.group]} and in "
                f"{split}: give its rows one value of {column}, or leave out --group-column"
            )
    # Mixed by a hash, so that a shard holds all classes.
    return {name: sorted(ids, key=lambda id: _hash(seed, id)) for name, ids in splits.items()}


def randperm(n: int, seed: int) -> list[int]:
    """Return the permutation of 0 … n−1 that PyTorch's `randperm` gives on a CPU, in NumPy.

    Both draw 32-bit words from MT19937; PyTorch swaps item i with item `i + r % (n − i)`
    (aten/src/ATen/native/TensorFactories.cpp, `randperm_cpu`).
    """
    words = np.random.RandomState(seed).randint(0, 2**32, size=n, dtype=np.uint32)
    position = np.arange(n)
    partners = (position + words % (n - position)).tolist()
    order = list(range(n))
    for i, partner in enumerate(partners[:-1]):
        order[i], order[partner] = order[partner], order[i]
    return order


def ids_sha256(ids: Sequence[str]) -> str:
    """Return the sha256 (hex) of ids, sorted as numbers where they are, joined by newlines."""
    ordered = sorted(ids, key=lambda id: (0, int(id), id) if id.isdecimal() else (1, 0, id))
    return hashlib.sha256("\n".join(ordered).encode()).hexdigest()


def _checked(fractions: Sequence[float]) -> tuple[float, ...]:
    given = ", ".join(str(fraction) for fraction in fractions)
    if len(fractions) != len(SPLITS):
        raise UserError(f"invalid fractions {given}: expected three, for {', '.join(SPLITS)}")
    # Written so that NaN fails as well.
    if not all(0 <= fraction <= 1 for fraction in fractions):
        raise UserError(f"invalid fractions {given}: expected numbers from 0 to 1")
    if not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        raise UserError(f"invalid fractions {given}: they sum to {sum(fractions):g}, expected 1")
    if not fractions[0]:
        raise UserError(f"invalid fractions {given}: train needs more than 0")
    return tuple(fractions)


def _hash(seed: int, id: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{id}".encode("utf-8", "surrogateescape")).digest()


def _place_groups(
    catalog: Catalog,
    label: str,
    groups: Mapping[str, Hashable],
    shares: Mapping[str | None, Sequence[int]],
    hashes: Mapping[str, bytes],
    fill_splits: bool,
) -> tuple[dict[str, int], dict[str | None, list[int]]]:
    """Return the split (0, 1, 2) of each product in a group of several, and counts by class."""
    members: dict[Hashable, list[str]] = defaultdict(list)
    class_of = {product.id: product.labels[label] for product in catalog.products}
    for id in class_of:
        if id in groups:
            members[groups[id]].append(id)
    several = [sorted(ids, key=hashes.__getitem__) for ids in members.values() if len(ids) > 1]
    # By what is in a group and not by its name or place, so that only data and seed matter.
    several.sort(key=lambda ids: (-len(ids), hashes[ids[0]]))
    in_several = {id for ids in several for id in ids}
    # How many groups or products of each class are still to be placed.
    units = Counter(class_of[id] for id in class_of if id not in in_several)
    units.update(name for ids in several for name in {class_of[id] for id in ids})
    placed: dict[str, int] = {}
    filled = {name: [0, 0, 0] for name in shares}
    for ids in several:
        counts = Counter(class_of[id] for id in ids)
        places: Sequence[int] = range(len(SPLITS))
        if fill_splits:
            ((name, count),) = counts.most_common(1)
            # Test before validation, as in `_allot`.
            empty = [i for i in (0, 2, 1) if shares[name][i] and not filled[name][i]]
            if count > len(ids) / 2 and units[name] <= len(empty):
                places = empty or places

        def fullness(split: int, counts=counts) -> float:
            return sum(
                count * (filled[name][split] + count) / (shares[name][split] or 1e-9)
                for name, count in counts.items()
            )

        best = min(places, key=fullness)
        for name, count in counts.items():
            filled[name][best] += count
        units.subtract(counts.keys())
        placed |= dict.fromkeys(ids, best)
    return placed, filled


def _fill(share: Sequence[int], filled: Sequence[int], alone: int) -> list[int]:
    """Return how many of the `alone` products of a class each split gets on top of `filled`."""
    wanted = [max(0, a - b) for a, b in zip(share, filled, strict=True)]
    while sum(wanted) > alone:  # groups have overfilled another split
        wanted[wanted.index(max(wanted))] -= 1
    return wanted


def _allot(n: int, fractions: Sequence[float]) -> list[int]:
    """Return how many of a class's n products go to train, validation and test."""
    wanted = [i for i in (0, 2, 1) if fractions[i] > 0]  # train first, then test
    counts = [0, 0, 0]
    if n <= len(wanted):
        for i in wanted[:n]:
            counts[i] = 1
        return counts
    shares = [n * fraction for fraction in fractions]
    counts = [math.floor(share) for share in shares]
    remainders = sorted(wanted, key=lambda i: counts[i] - shares[i])
    for i in remainders[: n - sum(counts)]:
        counts[i] += 1
    for i in wanted:
        if not counts[i]:
            counts[counts.index(max(counts))] -= 1
            counts[i] = 1
    return counts
