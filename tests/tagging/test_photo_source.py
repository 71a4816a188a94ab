"""Inputs become photos in order, in batches that fit in memory."""

import io
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from serving.tiny import photo

from fashion_keras.errors import UserError
from fashion_keras.tagging import sources
from fashion_keras.tagging.sources import MAX_BATCH_BYTES, PathColumns, Photo, PhotoSource, batches


def png_header(width, height):
    """Encode the start of a PNG that says it is `width` by `height` pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(b"")
    rest = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n" + chunk + rest + b"\0\0\0\0IEND\xae\x42\x60\x82"


def sizes(photos, size):
    return [len(batch) for batch in batches(photos, size)]


def test_batches_keep_the_order_and_the_rest():
    photos = [Photo(str(number)) for number in range(10)]
    grouped = list(batches(photos, 4))
    assert [len(batch) for batch in grouped] == [4, 4, 2]
    assert [photo for batch in grouped for photo in batch] == photos


def test_huge_photos_make_smaller_batches():
    third = MAX_BATCH_BYTES // 3
    assert sizes([Photo("huge", cost=third)] * 7, 64) == [3, 3, 1]
    assert sizes([Photo("huger", cost=2 * MAX_BATCH_BYTES)] * 2, 64) == [1, 1]


def test_no_more_than_one_batch_is_read_ahead():
    read = []

    def photos():
        for number in range(100):
            read.append(number)
            yield Photo(str(number))

    stream = batches(photos(), 4)
    next(stream)
    stream.close()
    assert len(read) <= 9  # two batches, and the photo that shows that the second is full


def test_an_error_while_reading_reaches_the_reader():
    def photos():
        yield Photo("good")
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        list(batches(photos(), 1))


@pytest.mark.parametrize(("width", "height"), [(9_000, 9_000), (60_000, 60_000)])
def test_a_photo_of_too_many_pixels_is_refused_by_its_header(tmp_path, width, height):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(width, height))
    with PhotoSource([str(path)]) as source:
        (photo,) = source.photos()
    assert "too many pixels" in photo.error
    assert photo.encoded == b""


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_what_a_served_model_decodes_keeps_its_bytes(tmp_path, format):
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo(format=format))
    with PhotoSource([str(path)]) as source:
        (found,) = source.photos()
    assert found.encoded == photo(format=format)


@pytest.mark.parametrize("format", ["WEBP", "GIF", "BMP"])
def test_other_formats_become_jpegs_as_in_conversion(tmp_path, format):
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo(format=format))
    with PhotoSource([str(path)]) as source:
        (found,) = source.photos()
    image = Image.open(io.BytesIO(found.encoded))
    assert (image.format, image.size) == ("JPEG", (60, 80))
    before = Image.open(io.BytesIO(photo(format=format))).convert("RGB")
    assert np.abs(np.asarray(image).astype(int) - np.asarray(before)).mean() < 6


def test_a_png_too_large_for_a_served_model_is_shrunk(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (4100, 4000), "red").save(path)
    with PhotoSource([str(path)]) as source:
        (found,) = source.photos()
    assert Image.open(io.BytesIO(found.encoded)).size == (1024, 999)


def test_inputs_that_are_gone_are_photos_with_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(png_header(4, 4))
    gone = str(tmp_path / "gone")
    with PhotoSource([gone, str(tmp_path)]) as source:
        assert len(source) == 2
        first, second = source.photos()
    assert (first.path, first.error) == (gone, "does not exist")
    assert (second.path, second.error) == (f"{tmp_path}/a.png", "")


def test_nothing_but_missing_inputs_is_an_error(tmp_path):
    with pytest.raises(UserError, match="gone does not exist"):
        PhotoSource([str(tmp_path / "gone"), str(tmp_path / "too")])


def names(*inputs, **columns):
    with PhotoSource(map(str, inputs), PathColumns(**columns)) as source:
        return list(source.names())


def test_the_id_is_the_files_name_without_its_ending(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("1163.jpg", "b/1164.v2.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "1.csv").write_text("path\n1163.jpg\n")
    found = names(tmp_path, tmp_path / "1163.jpg", tmp_path / "1.csv")
    assert [id for id, _ in found] == ["1163", "1164.v2", "1163", "1163"]
    assert [path for _, path in found] == [
        f"{tmp_path}/1163.jpg",
        f"{tmp_path}/b/1164.v2.png",
        f"{tmp_path}/1163.jpg",
        "1163.jpg",
    ]


def test_a_csv_names_photos_beside_it(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.jpg").write_bytes(photo())
    path = tmp_path / "shop" / "list.csv"
    path.write_text(f"id,path\n7,a.jpg\n8,{tmp_path}/shop/a.jpg\n9,gone.jpg\n")
    with PhotoSource([str(path)]) as source:
        first, second, third = source.photos()
    assert (first.id, first.path, first.encoded) == ("7", "a.jpg", photo())
    assert (second.id, second.encoded) == ("8", photo())
    assert (third.id, third.path) == ("9", "gone.jpg")
    assert "No such file" in third.error


@pytest.mark.parametrize(
    "cell", ["shoes\\a.jfif", "Shoes/A.JFIF", "shoes/a", "images/shoes/a.jfif", "shoes/a.jfif"]
)
def test_a_csv_names_photos_as_it_does_for_conversion(tmp_path, cell):
    (tmp_path / "images" / "shoes").mkdir(parents=True)
    (tmp_path / "images" / "shoes" / "a.jfif").write_bytes(photo())
    (tmp_path / "list.csv").write_text(f"path\n{cell}\nshoes/b\n")
    with PhotoSource([str(tmp_path / "list.csv")]) as source:
        found, gone = source.photos()
    assert (found.path, found.encoded) == (cell, photo())
    assert "No such file" in gone.error


def test_relative_paths_of_a_csv_start_from_the_root_that_is_given(tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo())
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "1.csv").write_text("path\na.jpg\n")
    with PhotoSource([str(tmp_path / "lists" / "1.csv")], PathColumns(root=tmp_path)) as source:
        assert [found.error for found in source.photos()] == [""]


def test_what_is_done_is_not_read_again(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(photo())
    with PhotoSource([str(tmp_path)]) as source:
        (tmp_path / "a.jpg").unlink()  # it would be an error
        found = list(source.photos(lambda id, path: id != "c"))
    assert [(each.id, each.error) for each in found] == [("c", "")]


def test_photos_are_read_when_they_are_asked_for_and_not_before(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(photo())
    with PhotoSource([str(tmp_path)]) as source:
        stream = source.photos()
        assert next(stream).error == ""
        (tmp_path / "b.jpg").write_bytes(b"")
        assert next(stream).error == "empty file"


def errors(*inputs):
    with PhotoSource(map(str, inputs)) as source:
        return {found.path: found.error for found in source.photos()}


def test_a_row_of_a_csv_that_names_no_photo_is_a_row_with_an_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo())
    (tmp_path / "1.csv").write_bytes(b"id,path\n1,a.jpg\n2,\n3,a\x00.jpg\n")
    with PhotoSource([str(tmp_path / "1.csv")]) as source:
        first, second, third = source.photos()
    assert (first.id, first.error) == ("1", "")
    assert (second.id, second.path) == ("2", "") and "row 2 of" in second.error
    assert third.id == "3" and "cannot be read" in third.error


def test_links_that_are_not_followed_are_rows_with_an_error(tmp_path):
    (tmp_path / "all" / "shoes").mkdir(parents=True)
    (tmp_path / "all" / "a.jpg").write_bytes(photo())
    folder = tmp_path / "chosen"
    folder.mkdir()
    (folder / "b.jpg").write_bytes(photo())
    (folder / "a.jpg").symlink_to(tmp_path / "all" / "a.jpg")
    (folder / "notes.txt").symlink_to(tmp_path / "all" / "a.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nothing.jpg")
    (folder / "shoes").symlink_to(tmp_path / "all" / "shoes")
    found = errors(folder)
    assert found.pop(f"{folder}/b.jpg") == ""
    assert set(found) == {f"{folder}/{name}" for name in ("a.jpg", "gone.jpg", "shoes/")}
    assert (
        "not followed" in found[f"{folder}/a.jpg"] and "not followed" in found[f"{folder}/shoes/"]
    )


def test_a_folder_that_cannot_be_read_spares_the_others(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(photo())
    (tmp_path / "lost+found").mkdir()
    scandir = os.scandir

    def denied(path):
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    found = errors(tmp_path)
    assert found[f"{tmp_path}/a.jpg"] == ""
    assert found[f"{tmp_path}/lost+found/"] == "cannot be read: Permission denied"


@pytest.mark.parametrize(
    "name", ["a.jfif", "a.JFIF", "a.pjpeg", "a.pjp", "a.heif", "a", "a.jpg.download", "a.txt"]
)
def test_the_content_makes_a_photo_and_not_the_name(tmp_path, name):
    (tmp_path / name).write_bytes(photo())
    assert errors(tmp_path) == {f"{tmp_path}/{name}": ""}


def test_a_photo_in_a_zip_needs_no_ending(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", photo())
        file.writestr("b.dat", b"no photo")
    with PhotoSource([str(path)]) as source:
        assert [found.path for found in source.photos()] == [f"{path}/a"]
        assert source.account() == "passed over: 1 × .dat"


def test_what_is_no_photo_is_counted_by_its_ending(tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo())
    for name in ("1.txt", "2.TXT", "Thumbs.db", "list.csv", "README", ".DS_Store", ".b.jpg"):
        (tmp_path / name).write_bytes(b"no photo")
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    (tmp_path / "._a.jpg").write_bytes(b"macOS's")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._a.jpg").write_bytes(b"macOS's")
    with PhotoSource([str(tmp_path)]) as source:
        assert [found.path for found in source.photos()] == [f"{tmp_path}/a.jpg"]
    assert source.passed_over == {".txt": 3, "hidden": 2, ".db": 1, ".csv": 1, "no ending": 1}
    assert source.account().startswith("passed over: 3 × .txt, 2 × hidden, ")


def test_many_endings_are_counted_together_and_move_no_cursor(tmp_path):
    for number in range(12):
        (tmp_path / f"a.{number}\x1b[2J").write_bytes(b"no photo")
    (tmp_path / "a.jpg").write_bytes(photo())
    with PhotoSource([str(tmp_path)]) as source:
        line = source.account()
    assert line.endswith(", 3 × others") and line.count(" × ") == 10
    assert "\x1b" not in line and r".0\x1b[2j" in line


def test_where_nothing_is_a_photo_the_error_says_what_is_there(tmp_path):
    for name in ("1.txt", "2.txt"):
        (tmp_path / name).write_bytes(b"no photo")
    with pytest.raises(UserError, match=r"no photos in .*: passed over: 2 × \.txt"):
        PhotoSource([str(tmp_path)])


def test_a_photo_with_a_zip_behind_it_is_a_photo(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("b.jpg", photo(seed=2))
    (tmp_path / "a.jfif").write_bytes(photo() + file.getvalue())
    assert errors(tmp_path / "a.jfif") == {f"{tmp_path}/a.jfif": ""}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_a_reason_and_nothing_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "list.csv").write_text("path\npipe.jpg\n")
    found = errors(tmp_path / "list.csv", tmp_path / "pipe.jpg")
    assert len(found) == 2 and all("a pipe" in error for error in found.values())


def test_a_photo_that_does_not_fit_in_memory_spares_the_others(tmp_path, monkeypatch):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(photo())
    serve = sources.served_photo
    answers = iter([MemoryError, None])

    def short_of_memory(data):
        if error := next(answers):
            raise error
        return serve(data)

    monkeypatch.setattr(sources, "served_photo", short_of_memory)
    assert list(errors(tmp_path).values()) == ["it does not fit in memory", ""]
