"""From archive to products: every row is a product or is accounted for."""

import dataclasses
import io
import json
import struct
import subprocess
import sys
import zipfile

import pandas as pd
import pytest
from PIL import Image

from fashion_keras.data import photo_check, shard_writer
from fashion_keras.data.archive import open_archive
from fashion_keras.data.catalog_reader import read_catalog
from fashion_keras.data.photo_check import check_photos
from fashion_keras.data.schema import LABEL_COLUMNS
from fashion_keras.errors import UserError

HEADER = (
    "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,"
    "productDisplayName"
)


def row(id, name="A shirt", usage="Casual"):
    return f"{id},Men,Apparel,Topwear,Shirts,Blue,Fall,2011,{usage},{name}"


def photo(format="JPEG", size=(6, 8), mode="RGB", **options):
    file = io.BytesIO()
    Image.effect_noise(size, 80).convert(mode).save(file, format, **options)
    return file.getvalue()


JPEG = photo()


def write(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def kaggle(rows, photos, prefix="", header=HEADER):
    """The files of an archive in Kaggle's layout."""
    text = "\n".join([header, *rows]) + "\n"
    return {f"{prefix}styles.csv": text} | {f"{prefix}images/{id}.jpg": JPEG for id in photos}


def read(folder, files, **options):
    return read_catalog(open_archive(write(folder, files)), **options)


def ids(products):
    return [product.id for product in products]


def left_out(catalog):
    return [(row.id, row.reason) for row in catalog.left_out]


# ---- layouts ----


def test_a_product_has_its_labels_name_and_photo(tmp_path):
    catalog = read(tmp_path, kaggle([row(1, name="Blue shirt")], [1]))
    (product,) = catalog.products
    assert product.labels == {
        "masterCategory": "Apparel",
        "subCategory": "Topwear",
        "articleType": "Shirts",
        "gender": "Men",
        "baseColour": "Blue",
        "season": "Fall",
        "usage": "Casual",
    }
    assert (product.id, product.name, product.photo) == ("1", "Blue shirt", "images/1.jpg")
    assert not product.repaired


@pytest.mark.parametrize(
    ("prefix", "layout"),
    [
        ("", "small"),
        ("fashion-dataset/", "large"),
        ("fashion-dataset/fashion-dataset/", "large"),
        ("some-folder/", "small"),
    ],
)
def test_layouts_are_found(tmp_path, prefix, layout):
    catalog = read(tmp_path, kaggle([row(1)], [1], prefix))
    assert catalog.layout == layout
    assert catalog.products[0].photo == f"{prefix}images/1.jpg"


@pytest.mark.parametrize(
    ("outer", "inner"),
    [("fashion-dataset/", "fashion-dataset/fashion-dataset/"), ("", "copy/"), ("a/", "a/z/")],
)
def test_of_two_levels_the_outer_one_is_read(tmp_path, outer, inner):
    files = kaggle([row(2)], [2], inner) | kaggle([row(1)], [1], outer)
    assert ids(read(tmp_path, files).products) == ["1"]


def test_an_outer_csv_without_photos_does_not_hide_the_inner_one(tmp_path):
    files = kaggle([row(1)], [], "") | kaggle([row(2)], [2], "fashion-dataset/")
    assert ids(read(tmp_path, files).products) == ["2"]


def test_a_zip_reads_like_the_folder(tmp_path):
    files = kaggle([row(1), row(2)], [1])
    folder = read(tmp_path / "folder", files)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    with open_archive(tmp_path / "a.zip") as archive:
        zipped = read_catalog(archive)
    assert dataclasses.replace(zipped, source=folder.source) == folder


# ---- rows ----


def test_an_unquoted_comma_in_the_name_is_repaired(tmp_path):
    catalog = read(tmp_path, kaggle([row(1, name="Tie, Cufflinks, Square"), row(2)], [1, 2]))
    first, second = catalog.products
    assert first.name == "Tie, Cufflinks, Square"
    assert first.repaired and not second.repaired
    assert catalog.repaired == ("1",)


def test_a_quoted_comma_needs_no_repair(tmp_path):
    (product,) = read(tmp_path, kaggle([row(1, name='"Tie, Cufflinks"')], [1])).products
    assert (product.name, product.repaired) == ("Tie, Cufflinks", False)


@pytest.mark.parametrize("name", ['Tempo 3.5" Short', '"Tempo" Short', '"Tempo Short', 'Tempo"'])
def test_a_stray_quote_swallows_no_row(tmp_path, name):
    rows = [row(1), row(2, name=name), row(3), row(4, name='Another 5" one'), row(5)]
    catalog = read(tmp_path, kaggle(rows, range(1, 6)))
    assert ids(catalog.products) == ["1", "2", "3", "4", "5"]
    assert catalog.products[1].name == name


def test_two_stray_quotes_do_not_swallow_the_rows_between(tmp_path):
    rows = [row(1, name='"Tempo'), row(2), row(3, name='Short"'), row(4)]
    assert ids(read(tmp_path, kaggle(rows, range(1, 5))).products) == ["1", "2", "3", "4"]


def test_too_few_fields_are_a_bad_row(tmp_path):
    catalog = read(tmp_path, kaggle([row(1), "2,Men,Apparel"], [1, 2]))
    assert left_out(catalog) == [("2", "bad row")]
    assert catalog.left_out[0].detail == "row 3 has 3 fields, expected 10"


def test_a_row_without_id_is_a_bad_row(tmp_path):
    assert left_out(read(tmp_path, kaggle([row(1), row("")], [1]))) == [("", "bad row")]


def test_of_a_duplicate_id_the_first_row_stays(tmp_path):
    rows = [row(1, name="first"), row(2), row(1, name="second"), row(1, name="third")]
    catalog = read(tmp_path, kaggle(rows, [1, 2]))
    assert [product.name for product in catalog.products] == ["first", "A shirt"]
    assert left_out(catalog) == [("1", "duplicate id")] * 2


def test_a_row_without_photo_is_kept_apart(tmp_path):
    catalog = read(tmp_path, kaggle([row(1), row(2)], [1]))
    assert ids(catalog.without_photo) == ["2"]
    assert catalog.without_photo[0].photo is None
    assert left_out(catalog) == [("2", "no photo")]
    assert catalog.left_out[0].detail == "images/2 is not there"


def test_every_row_is_accounted_for(tmp_path):
    rows = [row(1), row(1), row(2), row(3, name="a, b"), "4,Men", ""]
    catalog = read(tmp_path, kaggle(rows, [1, 3]))
    assert catalog.rows == 5 == len(catalog.products) + len(catalog.left_out)


def test_empty_cells_are_those_that_pandas_reads_as_missing(tmp_path):
    values = ["", "NA", "nan", "None", "null", "N/A", "Na", "Nan", "Casual", "Not Applicable"]
    files = kaggle([row(i, usage=value) for i, value in enumerate(values)], range(len(values)))
    catalog = read(tmp_path, files)
    expected = pd.read_csv(tmp_path / "styles.csv")["usage"].isna().tolist()
    assert [product.labels["usage"] is None for product in catalog.products] == expected


def test_windows_line_ends_and_a_byte_order_mark_are_welcome(tmp_path):
    files = kaggle([row(1), row(2)], [1, 2])
    plain = read(tmp_path / "a", files)
    files["styles.csv"] = b"\xef\xbb\xbf" + files["styles.csv"].replace("\n", "\r\n").encode()
    windows = read(tmp_path / "b", files)
    assert windows.products == plain.products


def test_text_of_no_known_encoding_names_its_line(tmp_path):
    files = kaggle([row(1), row(2, name="caf@")], [1])
    files["styles.csv"] = files["styles.csv"].encode().replace(b"@", b"\x8e")  # of a Macintosh
    with pytest.raises(UserError, match=r"styles\.csv in .* not UTF-8 \(byte 0x8e in line 3\)"):
        read(tmp_path, files)


def test_windows_text_is_read_and_the_summary_says_so(tmp_path):
    files = kaggle([row(1, name="caf@")], [1])
    files["styles.csv"] = files["styles.csv"].encode().replace(b"@", b"\xe9")
    catalog = read(tmp_path, files)
    assert catalog.products[0].name == "café"
    assert "is not UTF-8: read as Windows-1252, such as 'café'" in catalog.summary()


@pytest.mark.parametrize("data", [b"", b"\n\n", HEADER.encode(), b"\x00\x00\x00", JPEG])
def test_a_csv_without_rows_is_an_error_of_the_user(tmp_path, data):
    with pytest.raises(UserError, match=r"styles\.csv"):
        read(tmp_path, kaggle([], [1]) | {"styles.csv": data})


def test_no_photo_at_all_is_an_error(tmp_path):
    with pytest.raises(UserError, match="none of its 1 rows has a photo"):
        read(tmp_path, kaggle([row(1)], [2]))


# ---- columns ----


def test_some_labels_may_be_chosen(tmp_path):
    catalog = read(tmp_path, kaggle([row(1)], [1]), label_columns=["gender", "year"])
    assert catalog.products[0].labels == {"gender": "Men", "year": "2011"}
    assert catalog.layout == "small"


def test_an_unknown_label_gets_the_nearest_name(tmp_path):
    with pytest.raises(UserError, match=r"no column 'subcategory' \(did you mean 'subCategory'"):
        read(tmp_path, kaggle([row(1)], [1]), label_columns=["subcategory"])


def test_a_missing_kaggle_column_gets_the_nearest_name(tmp_path):
    header = HEADER.replace("baseColour", "baseColor")
    with pytest.raises(UserError, match=r"no column 'baseColour' \(did you mean 'baseColor'"):
        read(tmp_path, kaggle([row(1)], [1], header=header))


# ---- one's own data ----


def own(tmp_path, text, photos, csv="shop.csv", **options):
    return read(tmp_path, {csv: text} | dict.fromkeys(photos, JPEG), **options)


@pytest.mark.parametrize("cell", ["a/1.jpg", "a/1", "./a/1.jpg", "a\\1.jpg", "A/1.JPG"])
@pytest.mark.parametrize("folder", ["", "images/"])
def test_a_photo_is_found_by_its_path(tmp_path, cell, folder):
    text = f"file,kind\n{cell},Hat\n"
    catalog = own(tmp_path, text, [f"{folder}a/1.jpg"], image_column="file", label_columns=["kind"])
    (product,) = catalog.products
    assert product.photo == f"{folder}a/1.jpg"
    assert product.labels == {"kind": "Hat"}
    assert product.id == "1"
    assert catalog.layout == "own"


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "png", "JPG"])
def test_a_photo_is_found_without_its_extension(tmp_path, extension):
    catalog = own(tmp_path, "id,kind\n7,Hat\n", [f"images/7.{extension}"], label_columns=["kind"])
    assert catalog.products[0].photo == f"images/7.{extension}"


def test_paths_are_relative_to_the_csv(tmp_path):
    catalog = own(
        tmp_path,
        "file,kind\n1.jpg,Hat\n",
        ["shop/1.jpg", "1.jpg"],
        csv="shop/list.csv",
        image_column="file",
        label_columns=["kind"],
    )
    assert catalog.products[0].photo == "shop/1.jpg"


@pytest.mark.parametrize("cell", ["../secret.jpg", "/etc/passwd", "http://host/1.jpg", "a/../.."])
def test_a_path_outside_the_archive_finds_nothing(tmp_path, cell):
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    catalog = own(
        tmp_path / "shop",
        f"file,kind\n1.jpg,Hat\n{cell},Hat\n",
        ["1.jpg"],
        image_column="file",
        label_columns=["kind"],
    )
    assert len(catalog.products) == 1
    assert [reason for _, reason in left_out(catalog)] == ["no photo"]


def test_an_id_column_names_the_products(tmp_path):
    catalog = own(
        tmp_path,
        "sku,file,kind\nA-1,1.jpg,Hat\n",
        ["1.jpg"],
        id_column="sku",
        image_column="file",
        label_columns=["kind"],
    )
    assert ids(catalog.products) == ["A-1"]


def test_photos_of_one_name_in_two_folders_are_two_products(tmp_path):
    catalog = own(
        tmp_path,
        "file,kind\nhats/1.jpg,Hat\nshoes/1.jpg,Shoe\n",
        ["hats/1.jpg", "shoes/1.jpg"],
        image_column="file",
        label_columns=["kind"],
    )
    assert ids(catalog.products) == ["hats/1", "shoes/1"]


def test_a_quoted_cell_may_span_lines(tmp_path):
    text = 'id,kind,note\n1,Hat,"two\nlines"\n2,Hat,one\n'
    assert ids(own(tmp_path, text, ["1.jpg", "2.jpg"], label_columns=["kind"]).products) == [
        "1",
        "2",
    ]


def test_a_stray_quote_in_ones_own_csv_swallows_no_row(tmp_path):
    text = 'id,note,kind\n1,"5 inch,Hat\n2,x,Hat\n3,"y" z,Hat\n'
    photos = ["1.jpg", "2.jpg", "3.jpg"]
    assert ids(own(tmp_path, text, photos, label_columns=["kind"]).products) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "data",
    [
        "sep=;\r\nid;Größe\r\n1;Läufer\r\n".encode("cp1252"),
        "id;Größe\r\n1;Läufer\r\n".encode("utf-8-sig"),
        "id\tGröße\r\n1\tLäufer\r\n".encode("utf-16"),
    ],
)
def test_a_catalogue_is_read_as_excel_saves_it(tmp_path, data):
    catalog = own(tmp_path, data, ["1.jpg"], label_columns=["Größe"])
    assert catalog.products[0].labels == {"Größe": "Läufer"}
    assert catalog.rows == 1


def test_a_header_that_stands_twice_is_an_error_that_names_the_column(tmp_path):
    text = "sku,category,price,category\n1,Apparel,9,Hat\n"
    with pytest.raises(UserError, match=r"shop\.csv .*'category' 2 times \(columns 2 and 4\)"):
        own(tmp_path, text, ["1.jpg"], id_column="sku", label_columns=["category"])
    assert own(tmp_path, text, ["1.jpg"], id_column="sku", label_columns=["price"]).products


@pytest.mark.parametrize("column", ["id", "photo", "handle"])
def test_every_column_that_is_read_must_stand_once(tmp_path, column):
    text = f"id,photo,kind,handle,{column}\n1,1.jpg,Hat,a,x\n"
    names = {"id_column": "id", "image_column": "photo", "group_column": "handle"}
    with pytest.raises(UserError, match=f"'{column}' 2 times"):
        own(tmp_path, text, ["1.jpg"], label_columns=["kind"], **names)


def test_cells_that_say_nothing_are_alike_whatever_the_case(tmp_path):
    cells = ["None", "none", "NULL", "null", "n/a", "N/A", "", "Nan"]
    text = "id,kind\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))
    photos = [f"{i}.jpg" for i in range(len(cells))]
    catalog = own(tmp_path, text, photos, label_columns=["kind"])
    assert [p.labels["kind"] for p in catalog.products] == [None] * 7 + ["Nan"]


def test_names_that_look_alike_are_merged_where_that_is_asked_for(tmp_path):
    cells = ["Hats", "Hats", "hats", "Ha\u200bts ", "Caps", "none"]
    text = "id,kind\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))
    photos = [f"{i}.jpg" for i in range(len(cells))]
    plain = own(tmp_path / "a", text, photos, label_columns=["kind"])
    assert len({p.labels["kind"] for p in plain.products}) == 5 and plain.notes == ()
    merged = own(tmp_path / "b", text, photos, label_columns=["kind"], merge_names=True)
    assert [p.labels["kind"] for p in merged.products] == ["Hats"] * 4 + ["Caps", None]
    assert "'hats' → 'Hats'" in merged.summary() and "'Ha\\u200bts' → 'Hats'" in merged.summary()


def test_photos_that_differ_in_their_ending_alone_are_two_products(tmp_path):
    text = "file,kind\n1.jpg,Hat\n1.png,Hat\n"
    catalog = own(tmp_path, text, ["1.jpg", "1.png"], image_column="file", label_columns=["kind"])
    assert ids(catalog.products) == ["1.jpg", "1.png"]


def test_semicolons_separate_as_well(tmp_path):
    catalog = own(tmp_path, "id;kind\n1;Hat, straw\n", ["1.jpg"], label_columns=["kind"])
    assert catalog.products[0].labels == {"kind": "Hat, straw"}


def test_too_many_fields_in_ones_own_csv_are_a_bad_row(tmp_path):
    text = "id,kind\n1,Hat\n2,Hat,straw\n3,Hat,\n"
    photos = ["1.jpg", "2.jpg", "3.jpg"]
    catalog = own(tmp_path, text, photos, label_columns=["kind"])
    assert ids(catalog.products) == ["1", "3"]
    assert left_out(catalog) == [("2", "bad row")]


def test_without_styles_csv_the_message_shows_both_ways(tmp_path):
    with pytest.raises(UserError, match=r"no styles\.csv") as error:
        own(tmp_path, "id,kind\n1,Hat\n", ["1.jpg"])
    assert "fashion-dataset/images/<id>.jpg" in str(error.value)
    assert "shop.csv" in str(error.value) and "--label-column" in str(error.value)


def test_of_several_csvs_one_must_be_named(tmp_path):
    files = {"a.csv": "id,kind\n1,Hat\n", "b.csv": "id,kind\n1,Cap\n", "1.jpg": JPEG}
    with pytest.raises(UserError, match=r"--csv: a\.csv, b\.csv"):
        read(tmp_path, files, label_columns=["kind"])
    catalog = read(tmp_path, files, csv="b.csv", label_columns=["kind"])
    assert catalog.products[0].labels == {"kind": "Cap"}


def test_a_csv_that_is_not_there_gets_the_nearest_name(tmp_path):
    with pytest.raises(UserError, match=r"no 'shops\.csv' \(did you mean 'shop\.csv'"):
        read(tmp_path, {"shop.csv": "id,kind\n1,Hat\n"}, csv="shops.csv")


def test_no_label_at_all_asks_for_one(tmp_path):
    with pytest.raises(UserError, match=r"--label-column \(it has id, kind\)"):
        own(tmp_path, "id,kind\n1,Hat\n", ["1.jpg"], id_column="id")


@pytest.mark.parametrize(
    ("option", "flag"), [("id_column", "--id-column"), ("image_column", "--image-column")]
)
def test_an_unknown_column_names_its_option(tmp_path, option, flag):
    with pytest.raises(UserError, match=rf"no column 'fil'.*\n.*{flag}"):
        own(tmp_path, "file,kind\n1,Hat\n", ["1.jpg"], label_columns=["kind"], **{option: "fil"})


# ---- report ----


def test_the_report_survives_json_and_names_every_id(tmp_path):
    rows = [row(1), row(1), row(2), row(3, name="a, b", usage="NA"), "4,Men"]
    report = read(tmp_path, kaggle(rows, [1, 3])).report()
    assert json.loads(json.dumps(report)) == report
    assert report["rows"] == 5 and report["products"] == 2
    assert report["counts"] == {
        "repaired": 1,
        "no photo": 1,
        "unreadable photo": 0,
        "duplicate id": 1,
        "bad row": 1,
        "excluded": 0,
    }
    assert report["repaired"] == ["3"]
    assert {k: [r["id"] for r in v] for k, v in report["left_out"].items()} == {
        "no photo": ["2"],
        "unreadable photo": [],
        "duplicate id": ["1"],
        "bad row": ["4"],
        "excluded": [],
    }
    assert report["empty_cells"] == dict.fromkeys(LABEL_COLUMNS, 0) | {"usage": 1}


def test_the_summary_counts_and_shows_a_few_ids(tmp_path):
    rows = [row(i) for i in range(1, 9)]
    summary = read(tmp_path, kaggle(rows, [1])).summary()
    assert "8 rows, 1 products" in summary
    assert "7 × no photo (2, 3, 4, 5, 6, …)" in summary


# ---- photos ----


def check(folder, photos, **options):
    """Check photos given as {id: bytes}, beside one good one with the id `ok`."""
    photos = {"ok": JPEG} | photos
    files = kaggle([row(id) for id in photos], [])
    files |= {f"images/{id}.jpg": data for id, data in photos.items()}
    archive = open_archive(write(folder, files))
    return check_photos(read_catalog(archive), archive, **options)


def test_photo_info_says_what_is_in_the_file(tmp_path):
    _, infos = check(
        tmp_path,
        {
            "grey": photo(mode="L", size=(60, 80)),
            "png": photo("PNG", mode="RGBA", size=(30, 20)),
            "cmyk": photo(mode="CMYK"),
            "webp": photo("WEBP"),
        },
    )
    found = {id: (i.height, i.width, i.format, i.mode, i.orientation) for id, i in infos.items()}
    assert found == {
        "ok": (8, 6, "JPEG", "RGB", 1),
        "grey": (80, 60, "JPEG", "L", 1),
        "png": (20, 30, "PNG", "RGBA", 1),
        "cmyk": (8, 6, "JPEG", "CMYK", 1),
        "webp": (8, 6, "WEBP", "RGB", 1),
    }


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_height_and_width_are_as_displayed(tmp_path, format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    _, infos = check(tmp_path, {"turned": photo(format, size=(30, 20), exif=exif)})
    info = infos["turned"]
    expected = (30, 20) if orientation >= 5 else (20, 30)
    assert (info.height, info.width) == expected
    assert info.orientation == orientation


@pytest.mark.filterwarnings("error")
def test_damaged_metadata_does_not_condemn_a_photo(tmp_path):
    _, infos = check(tmp_path, {"1": photo(exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff junk")})
    assert infos["1"].orientation == 1


NOISE = photo(size=(600, 800), quality=90)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "not a photo"),
        (NOISE[: len(NOISE) // 2], "truncated"),
        (NOISE[:-500], "truncated"),
        (NOISE[:100], "truncated"),
        (photo(size=(600, 800), progressive=True)[:-5000], "truncated"),
        (photo("PNG", size=(60, 80))[:-1000], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a photo"),
    ],
)
def test_an_unreadable_photo_is_left_out_with_its_reason(tmp_path, data, detail):
    catalog, infos = check(tmp_path, {"bad": data})
    assert ids(catalog.products) == ["ok"] == list(infos)
    (bad,) = catalog.left_out
    assert (bad.id, bad.reason) == ("bad", "unreadable photo")
    assert bad.detail.startswith("images/bad.jpg: ") and detail in bad.detail
    assert ids(catalog.without_photo) == ["bad"]
    assert catalog.rows == 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("height", "width"), [(8000, 8001), (11000, 11000), (65000, 65000)])
def test_a_photo_of_too_many_pixels_is_left_out_undecoded(tmp_path, height, width):
    size = struct.Struct(">HH").pack  # height, width in a JPEG's frame header
    bomb = photo(size=(60, 80)).replace(size(80, 60), size(height, width), 1)
    catalog, _ = check(tmp_path, {"bomb": bomb})
    assert catalog.left_out[0].detail.startswith("images/bomb.jpg: too many pixels")


def test_a_photo_damaged_within_the_zip_is_left_out(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, data in kaggle([row(1), row(2)], [1]).items():
            file.writestr(name, data)
        file.writestr("images/2.jpg", NOISE)
    path.write_bytes(path.read_bytes().replace(NOISE[1000:1010], b"0123456789", 1))
    with open_archive(path) as archive:
        catalog, _ = check_photos(read_catalog(archive), archive)
    assert left_out(catalog) == [("2", "unreadable photo")]


def test_a_photo_that_does_not_fit_in_memory_is_left_out(tmp_path, monkeypatch):
    decode = photo_check.check

    def short_of_memory(data):
        if data == NOISE:
            raise MemoryError
        return decode(data)

    monkeypatch.setattr(photo_check, "check", short_of_memory)
    catalog, _ = check(tmp_path, {"huge": NOISE})
    assert [(row.id, row.detail) for row in catalog.left_out] == [
        ("huge", "images/huge.jpg: it does not fit in memory")
    ]


def test_nothing_but_unreadable_photos_is_an_error(tmp_path):
    with pytest.raises(UserError, match="none of its 1 photos can be read"):
        check(tmp_path, {"ok": b"junk"})


def test_workers_do_not_change_the_result_and_progress_counts_up(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer, "_CHUNK", 4)
    photos = {str(i): photo(size=(10, 10 + i)) for i in range(20)} | {"bad": b"junk"}
    done = []
    one = check(tmp_path, photos, workers=1)
    four = check(tmp_path, photos, workers=4, progress=done.append)
    assert one == four
    assert list(four[1]) == ids(four[0].products)
    assert done == sorted(done) and done[-1] == 22 and len(done) == 6


def test_an_error_in_progress_stops_the_check(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer, "_CHUNK", 1)
    looked = []
    original = photo_check._checked
    monkeypatch.setattr(photo_check, "_checked", lambda a, n: looked.append(n) or original(a, n))

    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(tmp_path, {str(i): NOISE for i in range(200)}, progress=interrupt)
    assert len(looked) < 200


def test_no_tensorflow_is_imported():
    code = (
        "import sys, fashion_keras.data.catalog, fashion_keras.data.splits;"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ---- the real archives: counts from the dataset's description ----


@pytest.mark.archive
def test_the_real_archive_has_its_known_rows(real_catalog):
    assert real_catalog.layout == "small"
    assert real_catalog.rows == 44_446
    assert len(real_catalog.products) == 44_441
    assert len(real_catalog.repaired) == 22
    assert sorted(left_out(real_catalog)) == [
        (id, "no photo") for id in ("12347", "39401", "39403", "39410", "39425")
    ]


@pytest.mark.archive
def test_the_real_archive_reads_as_pandas_reads_it(archive_path, real_catalog):
    with zipfile.ZipFile(archive_path) as file:
        table = pd.read_csv(file.open("styles.csv"), on_bad_lines="skip", dtype={"id": str})
    products = real_catalog.products + real_catalog.without_photo
    ours = {p.id: p.labels for p in products if not p.repaired}
    labels = table.set_index("id")[list(LABEL_COLUMNS)].astype(object)
    theirs = labels.where(labels.notna(), None).to_dict("index")
    assert ours == theirs
    assert sum(labels["usage"] is None for labels in ours.values()) == 317


@pytest.mark.archive
def test_the_real_archive_keeps_its_stray_quotes(real_catalog):
    names = {p.id: p.name for p in real_catalog.products}
    assert names["7491"] == "Nike Women's EM Tempo 3.5\" Pink Short"
    assert names["23101"].endswith("Tie, Cufflinks & Pocket Square")


@pytest.mark.archive
def test_the_224_archive_has_its_known_rows(real_catalog_224):
    assert real_catalog_224.layout == "large"
    assert len(real_catalog_224.products) == 8_133
    assert len(real_catalog_224.without_photo) == 36_313
    assert real_catalog_224.report()["counts"]["no photo"] == 36_313


@pytest.mark.archive
@pytest.mark.slow
def test_every_real_photo_can_be_read(archive_path, real_catalog):
    with open_archive(archive_path) as archive:
        catalog, infos = check_photos(real_catalog, archive)
    assert catalog.products == real_catalog.products
    sizes = [(info.height, info.width) for info in infos.values()]
    assert sizes.count((80, 60)) == 44_418
    assert sum(info.mode == "L" for info in infos.values()) == 431


@pytest.mark.parametrize(("cell", "file"), [("grün", "gru\u0308n"), ("Gru\u0308n", "grün")])
def test_a_photo_is_found_however_its_umlaut_is_written(tmp_path, cell, file):
    text = f"file,kind\n{cell}.jpg,Hat\n"
    found = own(tmp_path, text, [f"images/{file}.jpg"], image_column="file", label_columns=["kind"])
    assert [product.photo for product in found.products] == [f"images/{file}.jpg"]
