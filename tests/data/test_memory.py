"""Memory: how much is available, and that a large catalogue takes no more than it must."""

import gc

import pytest
from drawn_catalogue import encode, pixels

from fashion_keras.data.archive import open_archive
from fashion_keras.data.catalog_reader import read_catalog
from fashion_keras.data.catalog_rows import Row
from fashion_keras.data.photo_check import check_photos
from fashion_keras.data.shard_writer import available_memory

MEMINFO = "MemTotal:  8000000 kB\nMemFree:  100 kB\nMemAvailable:  4000000 kB\n"


@pytest.mark.parametrize(
    ("limit", "current", "expected"),
    [
        (None, None, 4_000_000 * 1024),
        ("max", "5", 4_000_000 * 1024),
        ("1000000000", "400000000", 600_000_000),
        ("1000", "2000", 0),
    ],
)
def test_the_least_counts(tmp_path, limit, current, expected):
    (tmp_path / "meminfo").write_text(MEMINFO)
    if limit:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text(current)
    assert available_memory(tmp_path, tmp_path / "meminfo") == expected


def test_it_can_be_told_on_this_machine():
    assert available_memory() > 0


def test_a_catalogue_holds_what_products_share_once_and_no_row_of_its_csv(tmp_path):
    lines = ["id,photo,label", *(f"{i},{i},{'hat' if i < 6 else 'shoe'}" for i in range(8))]
    (tmp_path / "products.csv").write_text("\n".join(lines))
    for i in range(8):
        (tmp_path / f"{i}.jpg").write_bytes(encode(pixels(i)))
    gc.disable()  # a row that waits for the collector is there while photos are read
    try:
        with open_archive(tmp_path) as archive:
            catalog = read_catalog(archive, image_column="photo", label_columns=["label"])
            assert not any(isinstance(found, Row) for found in gc.get_objects())
    finally:
        gc.enable()
    assert len({id(product.labels) for product in catalog.products}) == 2
    _, photos = check_photos(catalog, archive, workers=2)
    assert len(photos) == 8 and len({id(photo) for photo in photos.values()}) == 1
