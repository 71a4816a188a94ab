"""Text beside the photo: what convert keeps of it, and how it is read and verified."""

import csv
import dataclasses
import json
import shutil

import pytest
import tensorflow as tf
import wire
from drawn_catalogue import draw_catalogue

from fashion_keras.data import schema
from fashion_keras.data.conversion import Request, convert
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.tfrecord import Record, read_records, to_example
from fashion_keras.data.verification import verify
from fashion_keras.errors import UserError

HOSTILE = [
    "x" * 10_000,
    "Röd skjorta 👗🏽",
    "<b>Shirt</b> &amp; <script>alert('x')</script>",
    "zero\0byte",
    "قميص أحمر",
    "赤いシャツ ｓｈｉｒｔ",
    'quoted "twice", with; commas',
    "two\nlines",
    "=1+1",
]
COLUMNS = ("title", "description")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop of 20 photos with two columns of text; every fifth title is empty."""
    folder = draw_catalogue(tmp_path_factory.mktemp("texts") / "shop", count=20)
    with open(folder / "own.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sku", "photo", "kind", *COLUMNS])
        for number in range(20):
            suffix = "png" if number == 20 else "jpg"
            title = "" if number % 5 == 4 else HOSTILE[number % len(HOSTILE)]
            photo = f"images/{1000 + number}.{suffix}"
            writer.writerow([number, photo, "ab"[number % 2], title, f"Text {number}"])
    return folder


def request(shop, **options):
    named = {"csv": "own.csv", "id_column": "sku", "image_column": "photo"}
    return Request(str(shop), **named, label_columns=("kind",), **options)


@pytest.fixture(scope="module")
def texts(shop, tmp_path_factory):
    """Records with both columns, and what was said."""
    said, output = [], tmp_path_factory.mktemp("records") / "texts"
    convert(request(shop, text_columns=COLUMNS), output, say=said.append)
    return output, "\n".join(said)


def test_text_is_kept_as_it_is_whatever_it_holds(texts, shop):
    records, _ = texts
    info = DatasetInfo.load(records)
    with open(shop / "own.csv", newline="", encoding="utf-8") as file:
        rows = {row["sku"]: row for row in csv.DictReader(file)}
    stored = [e for split in schema.SPLITS for e in wire.examples(records, info, split)]
    assert len(stored) == 20
    for example in stored:
        row = rows[example["id"].decode()]
        assert example["text/title"].decode() == row["title"]
        assert example["text/description"].decode() == row["description"]


def test_products_without_text_are_counted_on_screen_and_in_the_report(texts):
    records, said = texts
    assert "text of title: 4 of 20 products have none" in said
    assert "text of description: 0 of 20 products have none" in said
    report = json.loads((records / "report.json").read_text(encoding="utf-8"))
    assert report["without_text"] == {"title": 4, "description": 0}


def test_the_info_names_the_feature_of_each_column(texts):
    raw = json.loads((texts[0] / schema.INFO_FILE).read_text(encoding="utf-8"))
    assert raw["schema_version"] == 2
    assert raw["texts"] == {"title": "text/title", "description": "text/description"}


def test_reading_gives_every_column_of_a_product(texts):
    records, _ = texts
    info = DatasetInfo.load(records)
    for split in schema.SPLITS:
        read = list(read_records(records, info, split, ["kind"], titles=True).as_numpy_iterator())
        stored = {e["id"]: e for e in wire.examples(records, info, split)}
        assert len(read) == len(stored)
        for product in read:
            example = stored[product["id"]]
            assert product["title"].tolist() == [example[f"text/{name}"] for name in COLUMNS]


def test_an_example_with_text_is_to_the_byte_what_tensorflow_writes():
    text = {"description": "Röd\0", "title": ""}
    record = Record("7", "", b"photo", 80, 60, {"colour": "Red"}, texts=text)
    written = to_example(record, {"colour": {"Red": 0}})
    example = tf.train.Example.FromString(written)
    assert example.features.feature["text/title"].bytes_list.value == [b""]
    assert example.features.feature["text/description"].bytes_list.value == ["Röd\0".encode()]
    assert example.SerializeToString(deterministic=True) == written


def test_verify_knows_text(texts, tmp_path):
    folder = shutil.copytree(texts[0], tmp_path / "copy")
    assert verify(folder) == 20
    info = DatasetInfo.load(folder)
    dataclasses.replace(info, texts={"subtitle": "text/subtitle"}).save(folder)
    with pytest.raises(UserError, match=r"is no tf\.Example of this schema"):
        verify(folder)


def test_a_column_that_is_not_there_is_named(shop, tmp_path):
    with pytest.raises(UserError, match=r"'titel'.*did you mean 'title'") as error:
        convert(request(shop, text_columns=("titel",)), tmp_path / "out")
    assert "--text-column" in str(error.value)


def test_rows_of_a_product_share_its_text(shop, tmp_path):
    rows = ["handle,photo,kind,title,brand"]
    rows += ["1,images/1000.jpg,a,Red Shirt,X", "1,images/1001.jpg,,,", "2,images/1002.jpg,b,,X"]
    folder = shutil.copytree(shop, tmp_path / "shop")
    (folder / "own.csv").write_text("\n".join(rows))
    asked = Request(
        str(folder),
        csv="own.csv",
        id_column="handle",
        image_column="photo",
        label_columns=("kind",),
        text_columns=("title",),
        group_column="brand",
    )
    info = convert(asked, tmp_path / "out", say=lambda line: None)
    stored = [e for split in schema.SPLITS for e in wire.examples(tmp_path / "out", info, split)]
    found = {example["id"].decode(): example["text/title"].decode() for example in stored}
    assert found == {"1/1000": "Red Shirt", "1/1001": "Red Shirt", "2": ""}


# ---- records of schema version 1 ----


def test_records_without_text_are_still_of_version_1(records):
    raw = json.loads((records / schema.INFO_FILE).read_text(encoding="utf-8"))
    assert raw["schema_version"] == 1 and "texts" not in raw
    assert raw["source"]["schema_version"] == 1 and "text_columns" not in raw["source"]["request"]
    assert raw.keys() == {field.name for field in dataclasses.fields(DatasetInfo)} - {"texts"} | {
        "sha256"
    }


def test_records_of_the_kaggle_layouts_have_always_held_the_name(records, catalogue):
    info = DatasetInfo.load(records)
    assert info.texts == {"productDisplayName": "name"}
    with open(catalogue / "styles.csv") as file:
        names = {row["id"]: row["productDisplayName"] for row in csv.DictReader(file)}
    read = read_records(records, info, "test", ["subCategory"], titles=True)
    for product in read.as_numpy_iterator():
        assert product["title"].tolist() == [names[product["id"].decode()].encode()]


def test_other_records_of_version_1_hold_no_text(shop, tmp_path):
    said = []
    info = convert(request(shop), tmp_path / "out", say=said.append)
    assert DatasetInfo.load(tmp_path / "out").texts == info.texts == {}
    assert not any(line.startswith("text of") for line in said)
    assert verify(tmp_path / "out") == 20
    with pytest.raises(UserError, match="--text-column"):
        read_records(tmp_path / "out", info, "test", ["kind"], titles=True)


def test_kaggles_name_is_not_stored_twice(catalogue, tmp_path):
    asked = Request(str(catalogue), text_columns=("productDisplayName",))
    info = convert(asked, tmp_path / "out", say=lambda line: None)
    assert info.texts == {"productDisplayName": "name"}
    example = wire.examples(tmp_path / "out", info, "test")[0]
    assert [key for key in example if key.startswith("text/")] == []
    # The same again is nothing to do.
    said = []
    convert(asked, tmp_path / "out", say=said.append)
    assert "nothing to do" in said[-1]
