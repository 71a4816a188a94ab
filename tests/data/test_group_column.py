"""Several photos of one product: read, labelled, and never in two splits."""

import csv
import json
from collections import Counter

import pytest
import wire
from drawn_catalogue import encode, pixels
from sklearn.model_selection import StratifiedGroupKFold

from fashion_keras.data.archive import open_archive
from fashion_keras.data.catalog_reader import read_catalog
from fashion_keras.data.conversion import Request, convert
from fashion_keras.data.schema import SPLITS, DatasetInfo
from fashion_keras.data.verification import verify
from fashion_keras.errors import UserError

CLASSES = ("Tshirts", "Jeans", "Shoes")
PHOTOS = (1, 2, 3)


def shop(folder, rows, photos=None):
    """A folder with shop.csv of these rows, header first, and the photos that it names."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "shop.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    place = rows[0].index("photo")
    for number, name in enumerate(photos or sorted({row[place] for row in rows[1:]} - {""})):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(encode(pixels(number, 24, 16)))
    return folder


def read(folder, rows, photos=None, **options):
    options = {"image_column": "photo", "label_columns": ["category"], **options}
    with open_archive(shop(folder, rows, photos)) as archive:
        return read_catalog(archive, **options)


def labels(catalog):
    return {product.id: product.labels["category"] for product in catalog.products}


def groups(catalog):
    return {product.id: product.group for product in catalog.products}


# ---- reading ----

# As Shopify exports it: what is known of a product stands in its first row alone.
SHOPIFY = [
    ["handle", "category", "size", "photo"],
    ["blue-hat", "Hats", "S", "p/hat_a.jpg"],
    ["blue-hat", "", "", "p/hat_b.jpg"],
    ["blue-hat", "", "M", ""],
    ["red-cap", "Caps", "", "p/cap_a.jpg"],
    ["red-cap", "", "", "p/cap_b.jpg"],
    ["lone", "Hats", "", "p/lone.jpg"],
]


@pytest.mark.parametrize("id_column", [None, "handle"])
def test_an_export_with_labels_in_first_rows_is_read_whole(tmp_path, id_column):
    catalog = read(tmp_path, SHOPIFY, group_column="handle", id_column=id_column)
    prefix = (
        {"hat": "", "cap": ""} if id_column is None else {"hat": "blue-hat/", "cap": "red-cap/"}
    )
    assert labels(catalog) == {
        f"{prefix['hat']}hat_a": "Hats",
        f"{prefix['hat']}hat_b": "Hats",
        f"{prefix['cap']}cap_a": "Caps",
        f"{prefix['cap']}cap_b": "Caps",
        "lone": "Hats",
    }
    assert Counter(groups(catalog).values()) == {"blue-hat": 2, "red-cap": 2, "lone": 1}
    assert [(row.reason, row.detail) for row in catalog.left_out] == [
        ("no photo", "the cell is empty")
    ]
    assert "labels filled from other rows of the same handle: category 3" in catalog.summary()
    assert catalog.rows == len(catalog.products) + len(catalog.left_out)


def test_a_product_whose_group_stands_in_its_first_row_is_in_it_whole(tmp_path):
    rows = [
        ["handle", "brand", "category", "photo"],
        ["a", "Nike", "Hats", "a1.jpg"],
        ["a", "", "", "a2.jpg"],
        ["b", "Nike", "Caps", "b1.jpg"],
        ["b", "", "", "b2.jpg"],
    ]
    catalog = read(tmp_path, rows, group_column="brand", id_column="handle")
    assert set(groups(catalog).values()) == {"Nike"}
    # By its own product, though the brand has other classes.
    assert labels(catalog) == {"a/a1": "Hats", "a/a2": "Hats", "b/b1": "Caps", "b/b2": "Caps"}


def test_a_contradiction_is_told_counted_and_not_resolved(tmp_path):
    rows = [
        ["handle", "category", "photo"],
        ["a", "Hats", "1.jpg"],
        ["a", "Caps", "2.jpg"],
        ["a", "", "3.jpg"],
        ["b", "Hats", "4.jpg"],
    ]
    catalog = read(tmp_path, rows, group_column="handle")
    assert labels(catalog) == {"1": "Hats", "2": "Caps", "3": None, "4": "Hats"}
    told = "1 group of handle with several values of category (a: 'Caps', 'Hats')"
    assert told in catalog.summary()
    assert catalog.report()["groups"]["contradictions"] == {"category": {"a": ["Caps", "Hats"]}}


def test_names_are_merged_before_groups_are_filled(tmp_path):
    rows = [
        ["handle", "category", "photo"],
        ["a", "Hats", "1.jpg"],
        ["a", "hats", "2.jpg"],
        ["a", "", "3.jpg"],
        ["b", "Hats", "4.jpg"],
    ]
    catalog = read(tmp_path, rows, group_column="handle", merge_names=True)
    assert set(labels(catalog).values()) == {"Hats"}
    assert "category: names that look alike made one: 'hats' → 'Hats'" in catalog.summary()
    assert catalog.report()["merged_names"] == {"category": {"hats": "Hats"}}


def test_rows_without_a_group_stand_alone_and_are_counted(tmp_path):
    rows = [["handle", "category", "photo"], ["a", "Hats", "1.jpg"], ["", "Hats", "2.jpg"]]
    catalog = read(tmp_path, rows, group_column="handle")
    assert groups(catalog) == {"1": "a", "2": ""}
    assert "1 row without a handle: each stands alone" in catalog.summary()


def test_the_same_photo_twice_is_one_product(tmp_path):
    rows = [["handle", "category", "photo"], ["a", "Hats", "1.jpg"], ["a", "Hats", "1"]]
    catalog = read(tmp_path, rows, ["1.jpg"], group_column="handle", id_column="handle")
    assert labels(catalog) == {"a": "Hats"}
    assert [row.reason for row in catalog.left_out] == ["duplicate id"]


# ---- without --group-column ----

THREE_PHOTOS = [["handle", "category", "photo"]] + [
    [f"{name}{i}", name, f"{name}{i}_{n}.jpg"] for name in CLASSES for i in range(4) for n in PHOTOS
]


def test_an_id_that_repeats_with_other_photos_is_a_warning(tmp_path):
    catalog = read(tmp_path, THREE_PHOTOS, id_column="handle")
    assert len(catalog.products) == 12
    (warning,) = catalog.notes
    assert warning.startswith("warning: the id column 'handle' repeats: of each id one row is kept")
    assert "24 rows left out. 24 of them show other photos of 12 products" in warning
    assert "--group-column handle" in warning
    assert catalog.report()["repeated_ids"]["with_other_photos"] == 24
    assert catalog.left_out[0].detail == "row 3: row 2 is kept, not Tshirts0_2.jpg"


def test_an_id_that_repeats_with_the_same_photo_is_told(tmp_path):
    rows = [["sku", "category", "photo"], *[["a", "Hats", "1.jpg"]] * 2]
    (note,) = read(tmp_path, rows, id_column="sku").notes
    assert note == "the id column 'sku' repeats: of each id one row is kept, 1 row left out"


def test_the_row_that_has_a_photo_is_kept(tmp_path):
    rows = [["sku", "category", "photo"], ["a", "Hats", ""], ["a", "Hats", "1.jpg"]]
    assert labels(read(tmp_path, rows, id_column="sku")) == {"a": "Hats"}


def test_a_column_that_repeats_like_a_products_is_a_warning(tmp_path):
    (warning,) = read(tmp_path, THREE_PHOTOS).notes
    assert "products seem to have several photos ('handle' repeats)" in warning
    assert "--group-column handle" in warning


def test_numbered_photos_are_a_warning(tmp_path):
    rows = [row[1:] for row in THREE_PHOTOS]
    (warning,) = read(tmp_path, rows).notes
    assert "(Tshirts0_1, Tshirts0_2, Tshirts0_3, Tshirts1_1, Tshirts1_2, …)" in warning
    assert "--group-column NAME" in warning


def test_products_that_share_a_photo_are_a_warning(tmp_path):
    rows = [["sku", "category", "photo"], ["a", "Hats", "1.jpg"], ["b", "Hats", "1"]]
    (warning,) = read(tmp_path, rows, ["1.jpg"], id_column="sku").notes
    assert "2 products share a photo with another (a, b)" in warning


def test_a_catalogue_of_one_photo_a_product_is_told_nothing(tmp_path):
    rows = [["sku", "category", "photo"], *[[f"s{i}", "Hats", f"x{i}.jpg"] for i in range(9)]]
    catalog = read(tmp_path, rows, id_column="sku")
    assert catalog.notes == () and catalog.products[0].group is None


# ---- splitting ----


def rows_of_products(products=20):
    return [["handle", "category", "photo"]] + [
        [f"{name}{i:02d}", name if n == 1 else "", f"photos/{name}{i:02d}_{n}.jpg"]
        for name in CLASSES
        for i in range(products)
        for n in PHOTOS
    ]


def run(source, output, **options):
    said = []
    options = {"image_column": "photo", "label_columns": ("category",), **options}
    info = convert(Request(str(source), **options), output, say=said.append)
    return info, "\n".join(said)


def stored(records):
    """Split, group and class of every record, read without TensorFlow."""
    info = DatasetInfo.load(records)
    return [
        (split, example["group"].decode(), example["label/category/text"].decode())
        for split in SPLITS
        for example in wire.examples(records, info, split)
    ]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return shop(tmp_path_factory.mktemp("groups") / "shop", rows_of_products())


@pytest.mark.parametrize("split", [None, "stratified", "grouped"])
def test_no_product_is_in_two_splits_and_classes_keep_their_shares(source, tmp_path, split):
    info, said = run(source, tmp_path / "out", split=split, group_column="handle")
    found = stored(tmp_path / "out")
    assert len(found) == 180
    splits_of = {}
    for name, group, _ in found:
        splits_of.setdefault(group, set()).add(name)
    assert len(splits_of) == 60 and all(len(names) == 1 for names in splits_of.values())
    for kind in CLASSES:
        counts = Counter(name for name, _, label in found if label == kind)
        assert counts == {"train": 42, "validation": 9, "test": 9}
    assert info.split["groups"] == {
        "column": "handle",
        "groups": 60,
        "products": 180,
        "largest": 3,
    }
    assert "60 groups of handle (180 photos, the largest 3), none in two splits" in said
    assert verify(tmp_path / "out") == 180


def test_the_test_split_is_as_well_stratified_as_scikit_learns(source, tmp_path):
    run(source, tmp_path / "out", group_column="handle", fractions=(0.8, 0.0, 0.2))
    found = stored(tmp_path / "out")
    kinds = [label for _, _, label in found]
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    _, held_out = next(splitter.split(kinds, kinds, [group for _, group, _ in found]))
    theirs = Counter(kinds[i] for i in held_out)
    ours = Counter(label for split, _, label in found if split == "test")
    assert max(abs(ours[kind] - 12) for kind in CLASSES) <= max(
        abs(theirs[kind] - 12) for kind in CLASSES
    )


def test_near_duplicates_of_two_products_are_kept_together_too(tmp_path):
    folder = shop(tmp_path / "shop", rows_of_products(6))
    twins = [("Tshirts00_1", "Jeans03_2"), ("Jeans03_3", "Shoes05_1"), ("Tshirts04_2", "Shoes01_3")]
    for first, second in twins:
        photo = (folder / f"photos/{first}.jpg").read_bytes()
        (folder / f"photos/{second}.jpg").write_bytes(photo)
    run(folder, tmp_path / "out", split="grouped", group_column="handle")
    split_of = {group: split for split, group, _ in stored(tmp_path / "out")}
    assert split_of["Tshirts00"] == split_of["Jeans03"] == split_of["Shoes05"]
    assert split_of["Tshirts04"] == split_of["Shoes01"]


def test_a_class_of_three_products_is_in_every_split(tmp_path):
    rows = rows_of_products(10)
    rows += [[f"belt{i}", "Belts", f"photos/belt{i}_{n}.jpg"] for i in range(3) for n in PHOTOS]
    run(shop(tmp_path / "shop", rows), tmp_path / "out", group_column="handle")
    belts = {split for split, _, label in stored(tmp_path / "out") if label == "Belts"}
    assert belts == set(SPLITS)


def test_the_published_split_is_refused(source, tmp_path):
    with pytest.raises(UserError, match="published split knows no groups"):
        run(source, tmp_path / "out", split="published", group_column="handle")
    assert list(tmp_path.iterdir()) == []


def test_records_without_groups_store_none(source, tmp_path):
    info, _ = run(source, tmp_path / "out")
    assert "group" not in wire.examples(tmp_path / "out", info, "train")[0]
    assert "groups" not in info.split
    assert not {"group_column", "merge_names"} & info.source["request"].keys()


def test_another_group_column_makes_other_records(source, tmp_path):
    run(source, tmp_path / "out", group_column="handle")
    assert "nothing to do" in run(source, tmp_path / "out", group_column="handle")[1]
    with pytest.raises(UserError, match="holds other records"):
        run(source, tmp_path / "out")


def test_a_changed_catalogue_of_another_ending_makes_other_records(tmp_path):
    folder = shop(tmp_path / "shop", rows_of_products(2))
    text = (folder / "shop.csv").read_text()
    (folder / "shop.csv").unlink()
    (folder / "shop.txt").write_text(text)
    run(folder, tmp_path / "out", csv="shop.txt")
    assert "nothing to do" in run(folder, tmp_path / "out", csv="shop.txt")[1]
    (folder / "shop.txt").write_text(text.replace("Jeans00,Jeans", "Jeans00,Shoes"))
    with pytest.raises(UserError, match="holds other records"):
        run(folder, tmp_path / "out", csv="shop.txt")


def test_verify_finds_a_group_in_two_splits(source, tmp_path, monkeypatch):
    monkeypatch.setattr("fashion_keras.data.splits.joined_groups", lambda *groupings: {})
    run(source, tmp_path / "out", group_column="handle")
    with pytest.raises(UserError, match=r"group \w+ is in \w+ too"):
        verify(tmp_path / "out")


def test_a_group_is_excluded_and_relabelled_by_its_name(source, tmp_path):
    (tmp_path / "out.txt").write_text("Jeans00\nJeans01_2\n")
    (tmp_path / "new.csv").write_text("id;category\nShoes00;Jeans\nShoes00_3;Tshirts\n")
    info, _ = run(
        source,
        tmp_path / "out",
        group_column="handle",
        exclude=f"{tmp_path}/out.txt",
        relabel=f"{tmp_path}/new.csv",
    )
    found = stored(tmp_path / "out")
    assert info.left_out["excluded"] == 4 and len(found) == 176
    assert sorted(label for _, group, label in found if group == "Shoes00") == [
        "Jeans",
        "Jeans",
        "Tshirts",
    ]


def test_the_report_holds_the_figures_of_the_screen(source, tmp_path):
    _, said = run(source, tmp_path / "out", group_column="handle")
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["labels"]["category"]["classes"] == 3
    assert "category: 3 classes" in said
    assert report["groups"]["filled"] == {"category": 120}
    assert report["notes"] == ["labels filled from other rows of the same handle: category 120"]
