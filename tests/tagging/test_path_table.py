"""CSVs that name photos."""

from pathlib import Path

import pytest

from fashion_keras.data.title_terms import BETWEEN
from fashion_keras.errors import UserError
from fashion_keras.tagging.sources import PathColumns, read_paths


def read(tmp_path: Path, content: str | bytes, **columns):
    file = tmp_path / "list.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return read_paths(file, PathColumns(**columns))


def test_rows_have_an_id_where_there_is_such_a_column(tmp_path):
    assert read(tmp_path, "name,path,id\nshirt,a.jpg,7\n") == [("7", "a.jpg", "")]
    assert read(tmp_path, "path\na.jpg\nb.jpg\n") == [(None, "a.jpg", ""), (None, "b.jpg", "")]


def test_the_columns_can_be_named(tmp_path):
    text = "id;sku;photo\n1;A-7;été/a, b.jpg\n"
    assert read(tmp_path, text, path="photo", id="sku") == [("A-7", "été/a, b.jpg", "")]


def test_quotes_and_a_byte_order_mark_are_no_part_of_a_name(tmp_path):
    found = read(tmp_path, b'\xef\xbb\xbfpath,id\r\n"a, ""b"".jpg",\r\n')
    assert found == [(None, 'a, "b".jpg', "")]


def test_a_row_may_have_a_title_beside_its_photo_or_alone(tmp_path):
    text = "id,path,title,text\n1,a.jpg,Red Bag,of cotton\n2,,Cap,\n3,c.jpg, ,\n4,d.jpg,-,!\n"
    assert read(tmp_path, text, titles=("title",)) == [
        ("1", "a.jpg", "Red Bag"),
        ("2", "", "Cap"),
        ("3", "c.jpg", ""),
        ("4", "d.jpg", ""),  # signs are no title
    ]
    assert read(tmp_path, text, titles=("title", "text"))[:2] == [
        ("1", "a.jpg", f"Red Bag{BETWEEN}of cotton"),
        ("2", "", f"Cap{BETWEEN}"),
    ]


def test_titles_need_no_column_of_photos(tmp_path):
    assert read(tmp_path, "id,title\n1,Bag\n", titles=("title",)) == [("1", "", "Bag")]
    with pytest.raises(UserError, match="--path-column"):
        read(tmp_path, "id,title\n1,Bag\n", titles=("title",), path="photo")
    with pytest.raises(UserError, match="no row has a title"):
        read(tmp_path, "id,title\n1,\n", titles=("title",))


def test_a_row_without_a_photo_spares_the_others(tmp_path):
    found = [("1", "a.jpg", ""), ("2", "", ""), (None, "c.jpg", ""), ("4", "", "")]
    assert read(tmp_path, "id,path\n1,a.jpg\n2\n,c.jpg\n4, \n") == found


@pytest.mark.parametrize(
    ("content", "columns", "reason"),
    [
        ("id,photo\n1,a.jpg\n", {}, "--path-column"),
        ("id,path\n1,a.jpg\n", {"id": "sku"}, "--id-column"),
        ("id,image_path\n1,a.jpg\n", {"path": "imagepath"}, "did you mean 'image_path'"),
        ("path,id\n ,1\n,2\n", {}, "no row names a photo in column 'path'"),
        ("path\n", {}, "is empty"),
        (b"path\ncaf\x8e.jpg\n", {}, "is not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said(tmp_path, content, columns, reason):
    with pytest.raises(UserError) as error:
        read(tmp_path, content, **columns)
    assert reason in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


def test_a_table_of_predictions_names_its_photos_as_they_were(tmp_path):
    assert read(tmp_path, "id,path\n'=7,'@a.jpg\n'8,'b.jpg\n") == [
        ("=7", "@a.jpg", ""),
        ("'8", "'b.jpg", ""),
    ]


# ---- CSVs of Excel ----


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\r\nid;path\r\n7;Läufer.jpg\r\n".encode("cp1252"),
        "id\tpath\n7\tLäufer.jpg\n".encode("utf-16"),
        'id,path,note\n7,Läufer.jpg,"two\nlines"\n'.encode(),
    ],
)
def test_a_csv_is_read_as_convert_reads_it(tmp_path, content):
    assert read(tmp_path, content) == [("7", "Läufer.jpg", "")]


def test_an_encoding_that_is_not_utf8_is_said_on_screen(tmp_path, caplog):
    read(tmp_path, "path\nLäufer.jpg\n".encode("cp1252"))
    assert "list.csv is not UTF-8: read as Windows-1252, such as 'Läufer'" in caplog.text


def test_a_column_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"'path' 2 times \(columns 1 and 2\)"):
        read(tmp_path, "path,path\na.jpg,b.jpg\n")
    with pytest.raises(UserError, match=r"'id' 2 times"):
        read(tmp_path, "path,id,id\na.jpg,1,2\n")


def test_a_row_of_too_many_cells_names_no_photo_and_is_told(tmp_path, caplog):
    found = read(tmp_path, "id,path\n1,a, b.jpg\n2,c.jpg\n3,d.jpg,\n")
    assert found == [("1", "", ""), ("2", "c.jpg", ""), ("3", "d.jpg", "")]
    assert "1 row has more cells than the header, the first in line 2" in caplog.text
