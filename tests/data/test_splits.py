"""Splits: the published one to the last id, and a stratified one that neglects no class."""

import hashlib
import itertools
import random
from collections import Counter

import pytest

from fashion_keras.data.catalog import Catalog, Product
from fashion_keras.data.splits import (
    PUBLISHED_SHA256,
    ids_sha256,
    make_splits,
    published_split,
    randperm,
    stratified_split,
)
from fashion_keras.errors import UserError


def catalog_of(classes, label="subCategory"):
    """A catalogue with a product for each class name in `classes`."""
    products = tuple(
        Product(str(1000 + i), "", {label: name}, f"images/{1000 + i}.jpg", False)
        for i, name in enumerate(classes)
    )
    return Catalog("shop.zip", "small", (label,), products, (), len(products), (), ())


def classes_of(n, name):
    return [name] * n


def counts(splits, catalog, name, label="subCategory"):
    """How many products of a class are in train, validation and test."""
    of_class = {p.id for p in catalog.products if p.labels[label] == name}
    return [len(of_class.intersection(splits[s])) for s in ("train", "validation", "test")]


# ---- stratified ----


def test_every_product_is_in_exactly_one_split():
    catalog = catalog_of(classes_of(50, "Topwear") + classes_of(7, "Belts") + ["Vouchers"])
    splits = stratified_split(catalog, "subCategory")
    assert list(splits) == ["train", "validation", "test"]
    assert sorted(itertools.chain(*splits.values())) == sorted(p.id for p in catalog.products)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, [1, 0, 0]),
        (2, [1, 0, 1]),
        (3, [1, 1, 1]),
        (4, [2, 1, 1]),
        (6, [4, 1, 1]),
        (20, [14, 3, 3]),
        (100, [70, 15, 15]),
        (1000, [700, 150, 150]),
    ],
)
def test_a_class_is_split_in_proportion(n, expected):
    catalog = catalog_of(classes_of(n, "Belts") + classes_of(50, "Topwear"))
    assert counts(stratified_split(catalog, "subCategory"), catalog, "Belts") == expected


@pytest.mark.parametrize("fractions", [(0.7, 0.15, 0.15), (0.98, 0.01, 0.01), (0.01, 0.01, 0.98)])
def test_a_class_of_three_or_more_is_in_all_splits_near_its_share(fractions):
    for n in range(3, 60):
        catalog = catalog_of(classes_of(n, "Belts"))
        splits = stratified_split(catalog, "subCategory", fractions=fractions)
        found = counts(splits, catalog, "Belts")
        assert min(found) >= 1 and sum(found) == n
        # One for rounding, and up to two given to splits that would have none.
        allowed = 1 if n * min(fractions) >= 1 else 2.99
        for count, fraction in zip(found, fractions, strict=True):
            assert abs(count - n * fraction) <= allowed, n


def test_a_split_of_fraction_zero_is_empty():
    catalog = catalog_of(classes_of(10, "Topwear") + classes_of(2, "Belts") + ["Vouchers"])
    splits = stratified_split(catalog, "subCategory", fractions=(0.8, 0.2, 0))
    assert splits["test"] == []
    assert counts(splits, catalog, "Topwear") == [8, 2, 0]
    assert counts(splits, catalog, "Belts") == [1, 1, 0]
    everything = stratified_split(catalog, "subCategory", fractions=(1, 0, 0))
    assert len(everything["train"]) == 13


def test_products_without_the_label_are_split_too():
    catalog = catalog_of(classes_of(20, None) + classes_of(20, "Belts"))
    splits = stratified_split(catalog, "subCategory")
    assert counts(splits, catalog, None) == [14, 3, 3]


def test_the_order_of_rows_plays_no_part():
    catalog = catalog_of(classes_of(40, "Topwear") + classes_of(9, "Belts") + ["Vouchers"])
    products = list(catalog.products)
    random.Random(0).shuffle(products)
    shuffled = Catalog(**{**vars(catalog), "products": tuple(products)})
    assert stratified_split(shuffled, "subCategory") == stratified_split(catalog, "subCategory")


def test_the_seed_decides():
    catalog = catalog_of(classes_of(40, "Topwear"))
    first = stratified_split(catalog, "subCategory", seed=1)
    assert stratified_split(catalog, "subCategory", seed=1) == first
    assert set(stratified_split(catalog, "subCategory", seed=2)["test"]) != set(first["test"])


def test_the_split_is_the_same_on_every_machine():
    # Frozen: records made by two versions of this package are to agree.
    catalog = catalog_of(classes_of(12, "Topwear") + classes_of(4, "Belts"))
    splits = stratified_split(catalog, "subCategory", seed=0)
    assert splits["validation"] == ["1011", "1013", "1008"]
    assert splits["test"] == ["1003", "1014", "1005"]


def test_classes_are_mixed_within_a_split():
    catalog = catalog_of(classes_of(200, "Topwear") + classes_of(200, "Belts"))
    train = stratified_split(catalog, "subCategory")["train"]
    label = {p.id: p.labels["subCategory"] for p in catalog.products}
    first_half = Counter(label[id] for id in train[:140])
    assert min(first_half.values()) > 40


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ((0.7, 0.2, 0.2), "sum to 1.1, expected 1"),
        ((0.5, 0.2, 0.2), "sum to 0.9, expected 1"),
        ((1.2, -0.1, -0.1), "from 0 to 1"),
        ((0, 0.5, 0.5), "train needs more than 0"),
        ((0.8, 0.2), "expected three"),
        ((float("nan"), 0.5, 0.5), "from 0 to 1"),
    ],
)
def test_invalid_fractions_are_refused(fractions, message):
    with pytest.raises(UserError, match=message):
        stratified_split(catalog_of(["Belts"]), "subCategory", fractions=fractions)


def test_fractions_may_carry_float_error():
    splits = stratified_split(
        catalog_of(classes_of(10, "Belts")), "subCategory", fractions=(0.1 + 0.2, 0.3, 0.4)
    )
    assert [len(ids) for ids in splits.values()] == [3, 3, 4]


def test_an_unknown_label_gets_the_nearest_name():
    with pytest.raises(UserError, match=r"unknown label 'subcat.*did you mean 'subCategory'"):
        stratified_split(catalog_of(["Belts"]), "subcategory")


# ---- by name ----


def test_make_splits_hands_its_options_on():
    catalog = catalog_of(classes_of(30, "Hat"), label="kind")
    options = {"fractions": (0.5, 0.25, 0.25), "seed": 3}
    assert make_splits(catalog, "stratified", label="kind", **options) == stratified_split(
        catalog, "kind", **options
    )


def test_an_unknown_strategy_gets_the_nearest_name():
    with pytest.raises(UserError, match=r"unknown split 'publish'.*did you mean 'published'"):
        make_splits(catalog_of(["Belts"]), "publish")


# ---- published ----


def test_randperm_begins_as_pytorchs_does():
    # torch.randperm(44419, generator=torch.Generator().manual_seed(42))[:5]
    order = randperm(44_419, 42)
    assert order[:5] == [3457, 7290, 32068, 39825, 18670]
    assert sorted(order) == list(range(44_419))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_randperm_of_few(n):
    assert sorted(randperm(n, 42)) == list(range(n))


def test_ids_are_hashed_in_the_order_of_numbers():
    assert ids_sha256(["10", "9"]) == hashlib.sha256(b"9\n10").hexdigest()


@pytest.mark.parametrize("classes", [["Belts"], ["Belts", None] * 5])
def test_another_catalogue_is_not_the_published_one(classes):
    with pytest.raises(UserError, match=r"shop\.zip is not the published catalogue") as error:
        published_split(catalog_of(classes))
    assert f"found {len(classes)} " in str(error.value)
    assert "expected 44,419" in str(error.value) and "--split stratified" in str(error.value)


def test_the_published_split_needs_its_label():
    with pytest.raises(UserError, match="needs the label 'subCategory'"):
        published_split(catalog_of(["Hat"], label="kind"))


@pytest.mark.archive
def test_the_published_split_is_reproduced_to_the_last_id(real_catalog):
    splits = make_splits(real_catalog, "published")
    assert {name: len(ids) for name, ids in splits.items()} == {
        "train": 31_093,
        "validation": 6_662,
        "test": 6_664,
    }
    for name, ids in splits.items():
        text = "\n".join(sorted(ids, key=int))
        assert hashlib.sha256(text.encode()).hexdigest() == PUBLISHED_SHA256[name]


@pytest.mark.archive
def test_the_published_split_leaves_out_repaired_rows(real_catalog):
    published = set(itertools.chain(*published_split(real_catalog).values()))
    assert {p.id for p in real_catalog.products} - published == set(real_catalog.repaired)


@pytest.mark.archive
def test_the_224_archive_is_split_like_the_small_one(real_catalog, real_catalog_224):
    small, large = published_split(real_catalog), published_split(real_catalog_224)
    with_photo = {p.id for p in real_catalog_224.products}
    assert large == {name: [i for i in ids if i in with_photo] for name, ids in small.items()}
    repaired = with_photo.intersection(real_catalog_224.repaired)
    assert sum(map(len, large.values())) == 8_133 - len(repaired)


@pytest.mark.archive
def test_a_changed_label_is_noticed(real_catalog):
    first = next(p for p in real_catalog.products if not p.repaired)
    other = Product(first.id, "", first.labels | {"subCategory": "Zz"}, first.photo, False)
    products = tuple(other if p is first else p for p in real_catalog.products)
    changed = Catalog(**{**vars(real_catalog), "products": products})
    with pytest.raises(UserError, match=r"found 44,419 .* with other ids or subcategories"):
        published_split(changed)


@pytest.mark.archive
def test_all_real_products_are_split_by_every_label(real_catalog):
    for label in real_catalog.label_columns:
        splits = stratified_split(real_catalog, label)
        assert sum(map(len, splits.values())) == 44_441
        assert len(splits["test"]) == pytest.approx(0.15 * 44_441, rel=0.01)
        sizes = Counter(p.labels[label] for p in real_catalog.products)
        of = {p.id: p.labels[label] for p in real_catalog.products}
        for name, ids in splits.items():
            missing = sizes.keys() - {of[id] for id in ids}
            assert all(sizes[c] < 3 for c in missing), (label, name, missing)
