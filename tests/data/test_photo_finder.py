"""A photo is found by its name without an ending, whatever its ending: its content decides."""

import io
import zipfile

import pytest
from PIL import Image

from fashion_keras.data.archive import open_archive
from fashion_keras.data.catalog import NO_PHOTO, UNREADABLE
from fashion_keras.data.catalog_reader import read_catalog
from fashion_keras.data.photo_check import check_photos
from fashion_keras.data.photo_finder import PhotoFinder


def draw(format):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, format)
    return buffer.getvalue()


JPEG, PNG, GIF, WEBP, TIFF = map(draw, ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
HEIC = b"\0\0\0\x18ftypheic" + bytes(200)
TEXT = b'{"id": 1}'


def finder(files, start=None):
    return PhotoFinder(files, "", False, start or (lambda name: files[name][:64]))


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        (".jfif", JPEG),
        (".JFIF", JPEG),
        (".pjpeg", JPEG),
        (".pjp", JPEG),
        (".Webp", WEBP),
        (".gif", GIF),
        (".TIF", TIFF),
        (".heic", HEIC),
        (".photo", JPEG),
        (".", PNG),
        ("", JPEG),
    ],
)
def test_a_photo_is_found_by_its_id_whatever_its_ending(ending, content):
    assert finder({f"images/1{ending}": content}).find("1") == f"images/1{ending}"


@pytest.mark.parametrize("pack", ["folder", "zip"])
def test_an_archive_of_many_endings_is_read(tmp_path, pack):
    files = {
        "styles.csv": b"id,subCategory\n1,Shirts\n2,Shirts\n3,Shirts\n4,Shirts\n5,Shirts",
        "images/1.jfif": JPEG,
        "images/2.WEBP": WEBP,
        "images/3": PNG,
        "images/4.txt": TEXT,
        "images/5.photo": GIF,
    }
    if pack == "zip":
        with zipfile.ZipFile(tmp_path / "shop.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in files.items():
                file.writestr(name, data)
        source = tmp_path / "shop.zip"
    else:
        source = tmp_path
        (source / "images").mkdir()
        for name, data in files.items():
            (source / name).write_bytes(data)
    with open_archive(source) as archive:
        catalog, infos = check_photos(read_catalog(archive, label_columns=["subCategory"]), archive)
    assert {id: info.format for id, info in infos.items()} == {
        "1": "JPEG",
        "2": "WEBP",
        "3": "PNG",
        "5": "GIF",
    }
    assert [(row.id, row.reason) for row in catalog.left_out] == [("4", NO_PHOTO)]


@pytest.mark.parametrize("other", [".txt", ".json", ".csv", ".psd"])
def test_a_file_of_the_same_name_that_is_no_photo_is_passed_over(other):
    assert finder({f"images/1{other}": TEXT}).find("1") is None
    found = finder({f"images/1{other}": TEXT, "images/1.jfif": JPEG})
    assert found.find("1") == "images/1.jfif" and not found.several


def test_of_several_photos_of_one_name_the_first_ending_is_taken_and_it_is_said():
    names = ["images/1.webp", "images/1.jpg", "images/1.png", "images/1.zzz", "images/2.png"]
    files = dict(zip(names, [WEBP, JPEG, PNG, GIF, PNG], strict=True))
    for order in (files, dict(reversed(files.items()))):
        found = finder(order)
        assert found.find("2") == "images/2.png" and found.note() == ""
        assert found.find("1") == "images/1.jpg"
        assert found.several == {"images/1.jpg": ("images/1.png", "images/1.webp", "images/1.zzz")}
        assert "images/1.jpg is taken, and not 1.png, 1.webp, 1.zzz" in found.note()


def test_the_choice_is_said_in_the_summary_and_the_report(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "styles.csv").write_text("id,subCategory\n1,Shirts")
    (tmp_path / "images/1.jpg").write_bytes(JPEG)
    (tmp_path / "images/1.png").write_bytes(PNG)
    with open_archive(tmp_path) as archive:
        catalog = read_catalog(archive, label_columns=["subCategory"])
    line = "images/1.jpg is taken, and not 1.png"
    assert line in catalog.summary() and line in catalog.report()["notes"][0]


def test_a_name_that_is_there_is_meant_and_no_other():
    found = finder({"images/1.png": PNG, "images/1.jpg": JPEG, "images/1.png.jpg": JPEG})
    assert found.find("1.png") == "images/1.png" and not found.several


def test_a_damaged_photo_is_not_preferred_to_a_sound_one(tmp_path):
    assert finder({"images/1.jpg": b"", "images/1.png": PNG}).find("1") == "images/1.png"
    assert finder({"images/1": TEXT, "images/1.png": PNG}).find("1") == "images/1.png"


def test_a_damaged_photo_is_an_unreadable_one_and_not_one_that_is_not_there(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "styles.csv").write_text("id,subCategory\n1,Shirts\n2,Shirts\n3,Shirts")
    (tmp_path / "images/1.jpg").write_bytes(b"")
    (tmp_path / "images/1.txt").write_bytes(TEXT)
    (tmp_path / "images/2").write_bytes(TEXT)
    (tmp_path / "images/3.jpg").write_bytes(JPEG)
    with open_archive(tmp_path) as archive:
        catalog, _ = check_photos(read_catalog(archive, label_columns=["subCategory"]), archive)
    assert [(row.id, row.reason) for row in catalog.left_out] == [
        ("1", UNREADABLE),
        ("2", UNREADABLE),
    ]


def test_names_that_differ_in_case_alone_are_told_apart_and_a_third_case_is_said():
    found = finder({"images/a.jpg": JPEG, "images/A.jpg": JPEG})
    assert found.find("a") == "images/a.jpg" and found.find("A.jpg") == "images/A.jpg"
    assert not found.several
    assert found.find("a.JPG") == "images/A.jpg"
    assert found.several == {"images/A.jpg": ("images/a.jpg",)}


def test_photos_that_are_called_so_are_not_read():
    def fail(name):
        raise AssertionError(f"{name} was read")

    files = {f"images/{number}.jpg": JPEG for number in range(100)} | {"images/x": JPEG}
    found = finder(files, fail)
    assert [found.find(str(n)) for n in range(100)] == list(files)[:100]
    assert found.find("7.JPG") == "images/7.jpg" and found.find("x") == "images/x"


def test_an_id_may_hold_dots_and_folders():
    found = finder({"images/a/shirt.v1.jfif": JPEG, "images/a/shirt.v2.jpg": JPEG})
    assert found.find("a/shirt.v1") == "images/a/shirt.v1.jfif"
    assert found.find("a/shirt") is None
