"""Write the Kaggle catalogue with each product's brand, and a split in which brands are new.

python scripts/brand_catalogue.py kaggle/          # the unpacked archive
fashion-keras convert --source kaggle --csv brands.csv --id-column id --image-column photo \
    --label-column subCategory --label-column articleType --label-column masterCategory \
    --label-column gender --label-column baseColour --label-column season --label-column usage \
    --text-column productDisplayName --split-column split --output tfrecords/brands

A brand is the first word of the title. 15% of the brands are drawn for test and 15% for validation,
by the hash that scripts/title_baseline.py --unseen brands uses.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scripting import script_parser
from title_baseline import brand, brand_split

from fashion_keras.commands import run_command
from fashion_keras.data.archive import open_archive
from fashion_keras.data.catalog_reader import read_catalog
from fashion_keras.data.schema import LABEL_COLUMNS, NAME_COLUMN
from fashion_keras.io import write_text

FILE = "brands.csv"


def write_brands(folder: Path) -> Counter[str]:
    """Write `brands.csv` into the folder; return the products of each split."""
    with open_archive(folder) as archive:
        catalog = read_catalog(archive)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["id", "photo", *LABEL_COLUMNS, NAME_COLUMN, "brand", "split"])
    splits = Counter[str]()
    for product in catalog.products:
        split = brand_split(product.name)
        splits[split] += 1
        labels = [product.labels[label] or "" for label in LABEL_COLUMNS]
        rows.writerow(
            [product.id, product.photo, *labels, product.name, brand(product.name), split]
        )
    write_text(folder / FILE, text.getvalue())
    return splits


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""

    def command(argv):
        parser = script_parser(__doc__, epilog_from=2)
        parser.add_argument("folder", type=Path, help="the unpacked archive")
        folder = parser.parse_args(argv).folder
        splits = write_brands(folder)
        shown = ", ".join(f"{name} {count:,}" for name, count in sorted(splits.items()))
        print(f"{folder / FILE}: {shown}")

    return run_command(command, argv)


if __name__ == "__main__":
    sys.exit(main())
