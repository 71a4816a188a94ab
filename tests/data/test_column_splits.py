"""Splits that a column decides, and products of one title in one split."""

import csv
import json

import pytest
from drawn_catalogue import encode, pixels

from fashion_keras.convert import convert
from fashion_keras.data.schema import SPLITS
from fashion_keras.data.tfrecord import read_records
from fashion_keras.errors import UserError


@pytest.fixture
def shop(tmp_path):
    """Write a shop of 40 products with any columns, and convert it."""

    def converted(columns, **options):
        folder = tmp_path / "shop"
        folder.mkdir(exist_ok=True)
        with open(folder / "shop.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["photo", "category", *columns])
            for number in range(40):
                cells = [cell(number) for cell in columns.values()]
                rows.writerow([f"{number}.jpg", "Hats" if number % 2 else "Caps", *cells])
                (folder / f"{number}.jpg").write_bytes(encode(pixels(number, 24, 16)))
        return convert(
            folder,
            tmp_path / "records",
            image_column="photo",
            label_column="category",
            overwrite=True,
            progress=False,
            **options,
        )

    return converted


def ids(records):
    return {
        split: sorted(
            int(product["id"])
            for product in read_records(
                records, records.info, split, ["category"]
            ).as_numpy_iterator()
        )
        for split in SPLITS
    }


def test_a_column_says_where_each_product_goes(shop):
    words = ("train", "TRAINING", "val", " Valid ", "test")
    records = shop({"part": lambda number: words[number % 5]}, split_column="part")
    assert ids(records) == {
        "train": [n for n in range(40) if n % 5 < 2],
        "validation": [n for n in range(40) if n % 5 in (2, 3)],
        "test": [n for n in range(40) if n % 5 == 4],
    }
    assert records.info.split == {"strategy": "column", "column": "part"}


def test_another_word_is_named_with_its_number(shop):
    cell = {"part": lambda number: "holdout" if number < 3 else "train"}
    with pytest.raises(UserError, match=r"--split-column part: 3 products have 'holdout' there"):
        shop(cell, split_column="part")


@pytest.mark.parametrize(
    ("time", "starts"),
    [
        (lambda number: f"{2000 + number // 4}", ["2007", "2008"]),
        (lambda number: f"{9 + number // 4}", ["16", "17"]),  # as numbers: 9 is before 10
        (lambda number: f"2024-0{1 + number // 8}-15", ["2024-04-15", "2024-05-15"]),
    ],
)
def test_the_newest_are_tested_and_no_time_is_in_two_splits(shop, time, starts):
    records = shop({"when": time}, time_column="when")
    found = ids(records)
    assert max(found["train"]) < min(found["validation"])
    assert max(found["validation"]) < min(found["test"])
    assert records.info.split["starts"] == starts
    assert [time(min(found[split])) for split in ("validation", "test")] == starts


def test_products_without_a_time_are_trained_on_and_counted(shop):
    records = shop({"year": lambda n: "" if n > 35 else str(2000 + n // 4)}, time_column="year")
    assert {36, 37, 38, 39} <= set(ids(records)["train"])
    assert records.info.split["without"] == 4


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (lambda number: "spring", "'spring' is neither a number nor a date"),
        (lambda number: str(number % 2), "2 different times, expected three"),
    ],
)
def test_times_that_order_nothing_are_refused(shop, cell, said):
    with pytest.raises(UserError, match=said):
        shop({"when": cell}, time_column="when")


def test_a_column_and_another_split_are_refused(shop):
    cell = {"part": lambda number: "train"}
    for options in ({"split": "stratified"}, {"group_titles": True}, {"time_column": "part"}):
        with pytest.raises(UserError, match="a column decides the split"):
            shop(cell, split_column="part", **options)
    with pytest.raises(UserError, match="'prat'"):
        shop(cell, split_column="prat")


def test_a_group_that_a_column_would_part_is_refused(shop):
    cells = {
        "part": lambda number: "test" if number == 1 else "train",
        "brand": lambda number: f"brand{number // 2}",
    }
    with pytest.raises(UserError, match="'brand0' would be in train and in test"):
        shop(cells, split_column="part", group_column="brand")


TITLES = ("Red Shirt", "RED  shirt!", "<b>Red</b> shirt", "Blue Hat", "Hat, blue")


def test_products_of_one_title_are_in_one_split(shop):
    cell = {"title": lambda n: "" if n > 37 else f"{TITLES[n % 3]} {n // 3}"}
    records = shop(cell, text_column="title", group_titles=True)
    found = ids(records)
    assert all(found.values()) and records.info.split["group_titles"]
    for split in SPLITS:
        for number in found[split]:
            if number <= 35:
                first = number - number % 3
                assert {first, first + 1, first + 2} <= set(found[split])


def test_titles_need_a_column(shop):
    with pytest.raises(UserError, match="--text-column NAME"):
        shop({"title": lambda number: "x"}, group_titles=True)


def test_options_that_are_not_used_change_no_records(shop, tmp_path):
    """Records of earlier versions are the same as before."""
    shop({})
    info = json.loads((tmp_path / "records" / "dataset_info.json").read_text())
    assert "id_column" in info["source"]["request"]
    for name in ("split_column", "time_column", "group_titles"):
        assert name not in info["source"]["request"]
