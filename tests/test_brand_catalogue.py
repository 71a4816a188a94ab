"""scripts/brand_catalogue.py: a split in which the brands of test and validation are new."""

import csv

from drawn_catalogue import encode, pixels
from test_results_table import load_script

from fashion_keras.convert import convert
from fashion_keras.data.schema import LABEL_COLUMNS, NAME_COLUMN

SCRIPT = load_script("brand_catalogue")


def test_no_brand_is_in_two_splits(tmp_path, capsys):
    shop = tmp_path / "kaggle"
    (shop / "images").mkdir(parents=True)
    with open(shop / "styles.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", *LABEL_COLUMNS, "year", NAME_COLUMN])
        for number in range(90):
            labels = ["Apparel" if number % 2 else "Footwear"] * len(LABEL_COLUMNS)
            rows.writerow([number, *labels, 2012, f"Brand{number % 30} Thing {number}"])
            (shop / "images" / f"{number}.jpg").write_bytes(encode(pixels(number, 24, 16)))
    assert SCRIPT.main([str(shop)]) == 0
    assert "train" in capsys.readouterr().out
    with open(shop / "brands.csv", newline="") as file:
        products = list(csv.DictReader(file))
    assert len(products) == 90
    placed = {}
    for product in products:
        assert product["brand"] == product[NAME_COLUMN].split()[0].lower()
        assert placed.setdefault(product["brand"], product["split"]) == product["split"]
    records = convert(
        shop,
        tmp_path / "records",
        csv="brands.csv",
        id_column="id",
        image_column="photo",
        label_column=list(LABEL_COLUMNS),
        text_column=NAME_COLUMN,
        split_column="split",
        progress=False,
    )
    sizes = {name: split.num_examples for name, split in records.info.splits.items()}
    assert sizes == {name: sum(p["split"] == name for p in products) for name in sizes}
    assert all(sizes.values())
