"""The grouped split: groups stay whole, classes keep their shares, order plays no part."""

import random
from collections import Counter

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from fashion_keras.data.catalog import Catalog, Product
from fashion_keras.data.splits import make_splits, stratified_split

FRACTIONS = (0.7, 0.15, 0.15)


def catalog_of(classes):
    products = tuple(
        Product(str(1000 + i), "", {"kind": name}, f"{i}.jpg", False)
        for i, name in enumerate(classes)
    )
    return Catalog("shop", "own", ("kind",), products, (), len(products), (), ())


@pytest.fixture
def shop():
    """900 products of six classes, the smallest of 4, and 90 groups of 2 to 12."""
    rng = np.random.default_rng(5)
    names = np.repeat([f"c{i}" for i in range(6)], (600, 200, 60, 24, 12, 4))
    classes = rng.permutation(names)
    catalog = catalog_of(classes.tolist())
    by_class = {}
    for product in catalog.products:
        by_class.setdefault(product.labels["kind"], []).append(product.id)
    groups, number = {}, 0
    for ids in by_class.values():
        free = list(ids)
        while len(free) > len(ids) * 0.6:
            number += 1
            for id in free[: int(rng.integers(2, 13))]:
                groups[id] = number
                free.remove(id)
    return catalog, groups


def split_of(splits):
    return {id: name for name, ids in splits.items() for id in ids}


def test_a_group_is_in_one_split_and_every_product_in_exactly_one(shop):
    catalog, groups = shop
    splits = stratified_split(catalog, "kind", groups)
    found = split_of(splits)
    assert sorted(found) == sorted(p.id for p in catalog.products)
    assert sum(map(len, splits.values())) == len(catalog.products)
    members = {}
    for id, number in groups.items():
        members.setdefault(number, set()).add(found[id])
    assert all(len(names) == 1 for names in members.values())


def test_classes_keep_their_shares(shop):
    catalog, groups = shop
    splits = stratified_split(catalog, "kind", groups)
    kind = {p.id: p.labels["kind"] for p in catalog.products}
    for name in ("c0", "c1", "c2"):
        counts = [sum(kind[id] == name for id in ids) for ids in splits.values()]
        assert np.array(counts) / sum(counts) == pytest.approx(FRACTIONS, abs=0.02)


def test_a_rare_class_reaches_every_split_that_its_groups_allow():
    catalog = catalog_of(["a"] * 96 + ["b"] * 4)
    found = split_of(stratified_split(catalog, "kind", {"1096": 0, "1097": 0}))
    assert found["1096"] == found["1097"] == "train"
    assert {found["1098"], found["1099"]} == {"validation", "test"}


def test_it_is_as_well_stratified_as_scikit_learns(shop):
    catalog, groups = shop
    ids = [p.id for p in catalog.products]
    kind = np.array([p.labels["kind"] for p in catalog.products])
    number = [groups.get(id, -i - 1) for i, id in enumerate(ids)]

    def error(split):
        """Mean over classes of the distance of their shares from those asked for."""
        shares = [
            [np.mean(split[kind == name] == place) for place in range(3)] for name in set(kind)
        ]
        return np.abs(np.array(shares) - FRACTIONS).sum(axis=1).mean()

    folds = np.zeros(len(ids), int)
    splitter = StratifiedGroupKFold(20, shuffle=True, random_state=0)
    with pytest.warns(UserWarning):
        for fold, (_, held_out) in enumerate(splitter.split(ids, kind, number)):
            folds[held_out] = fold
    theirs = np.digitize(folds, [14, 17])
    found = split_of(stratified_split(catalog, "kind", groups))
    ours = np.array([("train", "validation", "test").index(found[id]) for id in ids])
    assert error(ours) <= error(theirs)


def test_groups_are_spread_over_the_splits_in_proportion():
    catalog = catalog_of(["a"] * 2000)
    groups = {str(1000 + i): i // 2 for i in range(1000)}
    found = split_of(stratified_split(catalog, "kind", groups))
    counts = Counter(found[id] for id in groups)
    # An honest test split is no good if all that is photographed twice is in train.
    assert counts["test"] == pytest.approx(150, abs=4)
    assert counts["validation"] == pytest.approx(150, abs=4)


def test_without_groups_it_is_the_stratified_split(shop):
    catalog, _ = shop
    assert stratified_split(catalog, "kind", {}) == stratified_split(catalog, "kind")
    alone = {p.id: i for i, p in enumerate(catalog.products)}
    assert stratified_split(catalog, "kind", alone) == stratified_split(catalog, "kind")


def test_neither_the_order_of_rows_nor_the_groups_names_play_a_part(shop):
    catalog, groups = shop
    products = list(catalog.products)
    random.Random(0).shuffle(products)
    shuffled = Catalog(**{**vars(catalog), "products": tuple(products)})
    renamed = {id: f"g{number * 7 % 101}-{number}" for id, number in reversed(groups.items())}
    expected = stratified_split(catalog, "kind", groups, seed=4)
    assert stratified_split(shuffled, "kind", renamed, seed=4) == expected
    assert stratified_split(catalog, "kind", groups, seed=5) != expected


def test_a_group_larger_than_a_split_goes_to_train():
    catalog = catalog_of(["a"] * 100)
    groups = {str(1000 + i): 0 for i in range(60)}
    found = split_of(stratified_split(catalog, "kind", groups))
    assert {found[id] for id in groups} == {"train"}
    assert Counter(found.values()) == {"train": 70, "validation": 15, "test": 15}


def test_a_group_of_several_classes_stays_whole():
    catalog = catalog_of(["a", "b"] * 50)
    groups = {"1000": 0, "1001": 0, "1002": 0}
    found = split_of(stratified_split(catalog, "kind", groups))
    assert len({found[id] for id in groups}) == 1
    assert len(found) == 100


def test_a_split_of_fraction_zero_stays_empty():
    catalog = catalog_of(["a"] * 40)
    groups = {str(1000 + i): i // 4 for i in range(40)}
    splits = stratified_split(catalog, "kind", groups, fractions=(0.8, 0, 0.2))
    assert splits["validation"] == []
    assert len(splits["test"]) == 8


def test_make_splits_knows_it_by_name(shop):
    catalog, groups = shop
    expected = stratified_split(catalog, "kind", groups, seed=2)
    assert make_splits(catalog, "grouped", label="kind", groups=groups, seed=2) == expected


# ---- several photos a product: every product is in a group ----


def products_of(sizes):
    """A catalogue of products of several photos: `sizes` gives a class's photos for each."""
    products = tuple(
        Product(f"{name}{i}-{n}", "", {"kind": name}, "x.jpg", False, f"{name}{i}")
        for name, photos in sizes.items()
        for i, count in enumerate(photos)
        for n in range(count)
    )
    return Catalog("shop", "own", ("kind",), products, (), len(products), (), ())


@pytest.mark.parametrize("strategy", ["stratified", "grouped"])
def test_products_of_several_photos_are_whole_and_classes_keep_their_shares(strategy):
    rng = np.random.default_rng(1)
    sizes = {f"c{k}": rng.integers(1, 9, 200 // (k + 1)).tolist() for k in range(6)}
    catalog = products_of(sizes)
    found = split_of(make_splits(catalog, strategy, label="kind"))
    assert sorted(found) == sorted(p.id for p in catalog.products)
    together = {}
    for product in catalog.products:
        together.setdefault(product.group, set()).add(found[product.id])
    assert all(len(names) == 1 for names in together.values())
    for name, photos in sizes.items():
        counts = Counter(found[p.id] for p in catalog.products if p.labels["kind"] == name)
        shares = [counts[split] / sum(photos) for split in ("train", "validation", "test")]
        assert shares == pytest.approx(FRACTIONS, abs=0.02), name


@pytest.mark.parametrize("photos", [[3, 3, 3], [4, 2, 1], [5, 5, 2, 2], [9, 1, 1], [1, 1, 1]])
def test_a_class_of_three_products_is_in_every_split(photos):
    catalog = products_of({"big": [3] * 40, "rare": photos})
    found = split_of(make_splits(catalog, "stratified", label="kind"))
    assert {found[p.id] for p in catalog.products if p.labels["kind"] == "rare"} == {
        "train",
        "validation",
        "test",
    }


def test_of_two_products_one_is_in_train_and_one_in_test():
    catalog = products_of({"big": [3] * 40, "rare": [3, 2]})
    found = split_of(make_splits(catalog, "stratified", label="kind"))
    assert found["rare0-0"] == "train" and found["rare1-0"] == "test"


def test_groups_of_products_and_near_duplicates_are_joined():
    catalog = products_of({"a": [2] * 30, "b": [2] * 30})
    groups = {"a0-0": 0, "b7-1": 0, "b7-0": 1, "b9-0": 1}
    found = split_of(make_splits(catalog, "grouped", label="kind", groups=groups))
    names = ("a0-0", "a0-1", "b7-0", "b7-1", "b9-0", "b9-1")
    assert len({found[name] for name in names}) == 1


def test_brands_of_many_classes_are_spread_as_well_as_scikit_learn_spreads_them():
    rng = np.random.default_rng(7)
    brands = rng.zipf(1.6, 3000) % 150
    kinds = rng.choice(5, 3000, p=(0.5, 0.25, 0.15, 0.07, 0.03))
    products = tuple(
        Product(str(i), "", {"kind": f"c{kind}"}, "x.jpg", False, f"b{brand}")
        for i, (kind, brand) in enumerate(zip(kinds, brands, strict=True))
    )
    catalog = Catalog("shop", "own", ("kind",), products, (), len(products), (), ())
    fractions = (0.8, 0, 0.2)
    found = split_of(make_splits(catalog, "stratified", label="kind", fractions=fractions))
    ours = np.array([found[p.id] == "test" for p in products])
    assert len(set(brands[ours]) & set(brands[~ours])) == 0

    def error(test):
        return max(abs(np.mean(test[kinds == kind]) - 0.2) for kind in range(5))

    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    theirs = []
    for _, held_out in splitter.split(kinds, kinds, brands):
        test = np.zeros(len(kinds), bool)
        test[held_out] = True
        theirs.append(error(test))
    assert error(ours) <= np.mean(theirs)
