"""Zips and folders: the same names and bytes, and no file that could do harm."""

import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from fashion_keras.data import archive as archive_module
from fashion_keras.data.archive import open_archive
from fashion_keras.errors import UserError

FILES = {"styles.csv": b"id\n1\n", "images/1.jpg": b"one", "images/sub/2.jpg": b"two" * 100}


def make_folder(path, files=FILES):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def make_zip(path, files=FILES, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def raw_name_zip(path, name):
    """A zip whose only entry has exactly this name; `zipfile` tidies some names on writing."""
    make_zip(path, {"x" * len(name): b"data"})
    path.write_bytes(path.read_bytes().replace(b"x" * len(name), name.encode()))
    return path


def test_folder_and_zip_show_the_same_files(tmp_path):
    folder = open_archive(make_folder(tmp_path / "folder"))
    with open_archive(make_zip(tmp_path / "a.zip")) as zipped:
        assert folder.names() == zipped.names() == sorted(FILES)
        for name, data in FILES.items():
            assert folder.read(name) == zipped.read(name) == data


def test_directories_in_a_zip_are_not_names(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"images/": b"", "images/1.jpg": b"one"})
    assert open_archive(path).names() == ["images/1.jpg"]


def test_safe_backslashes_are_read_as_folders(tmp_path):
    archive = open_archive(raw_name_zip(tmp_path / "a.zip", "images\\1.jpg"))
    assert archive.names() == ["images/1.jpg"]
    assert archive.read("images/1.jpg") == b"data"


@pytest.mark.archive
def test_real_entries_read_as_zipfile_reads_them(archive_path):
    with open_archive(archive_path) as archive, zipfile.ZipFile(archive_path) as file:
        for name in ["styles.csv", *archive.names()[::200]]:
            assert archive.read(name) == file.read(name)


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_an_unknown_name_is_named(tmp_path, make):
    archive = open_archive(make(tmp_path / "a.zip"))
    with pytest.raises(UserError, match=r"no file '\.\./secret'"):
        archive.read("../secret")


def test_many_threads_read_what_one_reads(tmp_path):
    files = {f"{i}.bin": os.urandom(3000) for i in range(200)}
    with (
        open_archive(make_zip(tmp_path / "a.zip", files)) as archive,
        ThreadPoolExecutor(8) as pool,
    ):
        names = list(files) * 3
        assert list(pool.map(archive.read, names)) == [files[name] for name in names]


# ---- what is refused ----


@pytest.mark.parametrize(
    "name", ["/etc/x", "../x", "a/../../x", "..\\x", "a\\..\\x", "C:\\x", "c:x", "\\\\host\\x"]
)
def test_a_zip_that_points_outside_itself_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="points outside the archive"):
        open_archive(raw_name_zip(tmp_path / "a.zip", name))


def test_a_directory_entry_that_points_outside_is_refused(tmp_path):
    with pytest.raises(UserError, match="points outside the archive"):
        open_archive(raw_name_zip(tmp_path / "a.zip", "../x/"))


def test_two_dots_within_a_name_are_no_parent_folder(tmp_path):
    assert open_archive(raw_name_zip(tmp_path / "a.zip", "a..b/c..jpg")).names() == ["a..b/c..jpg"]


def patch_directory(path, offset, layout, value):
    """Overwrite a field of the first entry in the zip's central directory."""
    data = bytearray(path.read_bytes())
    struct.pack_into(layout, data, data.index(b"PK\x01\x02") + offset, value)
    path.write_bytes(data)
    return path


def test_an_encrypted_zip_is_refused(tmp_path):
    path = patch_directory(make_zip(tmp_path / "a.zip"), 8, "<H", 1)
    with pytest.raises(UserError, match="encrypted"):
        open_archive(path)


def test_an_entry_that_declares_too_many_bytes_is_refused(tmp_path):
    path = patch_directory(make_zip(tmp_path / "a.zip"), 24, "<I", 257 * 2**20)
    with pytest.raises(UserError, match=r"257 MiB, at most 256 MiB"):
        open_archive(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packing_that_cannot_be_unpacked_within_limits_is_refused(tmp_path, compression):
    path = make_zip(tmp_path / "a.zip", compression=compression)
    with pytest.raises(UserError, match=r"in an unusual way .*deflate"):
        open_archive(path)


def test_an_entry_of_absurd_ratio_is_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"a.jpg": bytes(8 * 2**20)})
    with pytest.raises(UserError, match="decompression bomb"):
        open_archive(path)


def test_a_well_packed_small_entry_is_welcome(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"a.jpg": bytes(2**20)})
    assert len(open_archive(path).read("a.jpg")) == 2**20


@pytest.mark.parametrize("declared", [0, 1000])
def test_an_entry_that_unpacks_to_more_than_it_declares_is_not_unpacked(tmp_path, declared):
    path = make_zip(tmp_path / "a.zip", {"a.jpg": bytes(50 * 2**20)})
    archive = open_archive(patch_directory(path, 24, "<I", declared))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"a\.jpg is damaged"):
            archive.read("a.jpg")
        assert tracemalloc.get_traced_memory()[1] < 5 * 2**20
    finally:
        tracemalloc.stop()


def test_a_changed_byte_is_noticed(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"a.jpg": b"the photo"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"the photo", b"tha photo"))
    with pytest.raises(UserError, match=r"a\.jpg is damaged"):
        open_archive(path).read("a.jpg")


def test_a_zip_behind_other_bytes_is_read(tmp_path):
    path = make_zip(tmp_path / "a.zip")
    path.write_bytes(b"#!/bin/sh a self-extracting archive\n" + path.read_bytes())
    assert open_archive(path).read("images/1.jpg") == b"one"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_empty_file_is_read(tmp_path, compression):
    path = make_zip(tmp_path / "a.zip", {"a.jpg": b""}, compression)
    assert open_archive(path).read("a.jpg") == b""


def test_half_a_zip_is_said_to_be_incomplete(tmp_path):
    path = make_zip(tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(UserError, match="incomplete"):
        open_archive(path)


def test_a_zip_with_a_damaged_directory_is_said_to_be_damaged(tmp_path):
    path = make_zip(tmp_path / "a.zip")
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x09\x09", 1))
    with pytest.raises(UserError, match="damaged or incomplete"):
        open_archive(path)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.zip does not exist"):
        open_archive(tmp_path / "nowhere.zip")


def test_a_file_that_is_neither_zip_nor_folder_is_refused(tmp_path):
    path = tmp_path / "photo.tar"
    path.write_bytes(b"no zip at all")
    with pytest.raises(UserError, match=r"neither a \.zip nor a folder"):
        open_archive(path)


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    outside = make_folder(tmp_path / "outside", {"secret.jpg": b"secret"})
    inside = make_folder(tmp_path / "inside", {"a.jpg": b"a"})
    (inside / "file.jpg").symlink_to(outside / "secret.jpg")
    (inside / "folder").symlink_to(outside)
    (inside / "dangling.jpg").symlink_to(tmp_path / "nothing")
    (inside / "within.jpg").symlink_to(inside / "a.jpg")
    archive = open_archive(inside)
    assert archive.names() == ["a.jpg", "within.jpg"]
    with pytest.raises(UserError):
        archive.read("file.jpg")


def test_a_file_in_a_folder_is_not_read_beyond_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "MAX_FILE_BYTES", 10)
    archive = open_archive(make_folder(tmp_path / "a", {"a.jpg": bytes(11), "b.jpg": bytes(10)}))
    assert len(archive.read("b.jpg")) == 10
    with pytest.raises(UserError, match=r"a\.jpg is larger than"):
        archive.read("a.jpg")


# ---- fingerprint ----


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_a_copy_has_the_same_fingerprint(tmp_path, make):
    first = open_archive(make(tmp_path / "a.zip")).fingerprint()
    backwards = dict(reversed(FILES.items()))
    copy = make(tmp_path / "b.zip", backwards)
    os.utime(copy, (0, 0))
    assert open_archive(copy).fingerprint() == first
    assert len(first) == 64


@pytest.mark.parametrize("make", [make_folder, make_zip])
@pytest.mark.parametrize(
    "changed",
    [
        {"images/1.jpg": b"longer"},
        {"styles.csv": b"id\n2\n"},  # of the same length
        {"images/3.jpg": b"new"},
    ],
)
def test_another_content_has_another_fingerprint(tmp_path, make, changed):
    first = open_archive(make(tmp_path / "a.zip")).fingerprint()
    assert open_archive(make(tmp_path / "b.zip", FILES | changed)).fingerprint() != first


def test_a_zip_notices_a_photo_changed_at_the_same_length(tmp_path):
    first = open_archive(make_zip(tmp_path / "a.zip")).fingerprint()
    changed = make_zip(tmp_path / "b.zip", FILES | {"images/1.jpg": b"eno"})
    assert open_archive(changed).fingerprint() != first


@pytest.mark.parametrize("name", ["hose-grün.jpg", "hose-gru\u0308n.jpg"])
def test_a_name_in_utf8_without_its_flag_is_read_as_it_is(tmp_path, name):
    """As Linux's zip writes it; Python's zipfile reads such names as DOS's."""
    path = make_zip(tmp_path / "a.zip", {name: b"green"})
    data = path.read_bytes()
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.index(signature) + flags + 1
        assert data[place] == 0x08
        data = data[:place] + b"\0" + data[place + 1 :]
    path.write_bytes(data)
    with open_archive(path) as archive:
        assert archive.names() == [name] and archive.read(name) == b"green"


def test_a_name_in_doss_letters_stays_what_zipfile_makes_of_it(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"hose-gr?n.jpg": b"green"})
    path.write_bytes(path.read_bytes().replace(b"gr?n", b"gr\x81n"))
    with open_archive(path) as archive:
        assert archive.names() == ["hose-grün.jpg"] and archive.read("hose-grün.jpg") == b"green"


def test_a_pipe_in_a_folder_is_left_out_with_its_reason(tmp_path):
    folder = make_folder(tmp_path / "a", {"b.jpg": b"b"})
    os.mkfifo(folder / "a.jpg")
    archive = open_archive(folder)
    assert archive.names() == ["b.jpg"]
    assert archive.left_out == {"a.jpg": "a pipe, a socket or a device: expected a file"}


def test_a_file_that_became_a_pipe_is_not_waited_for(tmp_path):
    folder = make_folder(tmp_path / "a", {"a.jpg": b"a", "b.jpg": b"b"})
    archive = open_archive(folder)
    (folder / "a.jpg").unlink()
    os.mkfifo(folder / "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg is a pipe, a socket or a device"):
        archive.read("a.jpg")


@pytest.mark.parametrize("name", ["a.zip", "a"])
def test_a_pipe_is_no_archive(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=r"is not a zip|neither a \.zip nor a folder"):
        open_archive(tmp_path / name)


def test_a_name_that_is_not_utf8_is_a_name(tmp_path):
    folder = tmp_path / os.fsdecode(b"gr\xfcn")
    name = os.fsdecode(b"hose-gr\xfcn.jpg")
    archive = open_archive(make_folder(folder, {name: b"green"}))
    assert archive.names() == [name] and archive.read(name) == b"green"
    assert len(archive.fingerprint()) == 64


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_a_file_that_does_not_fit_in_memory_is_an_error_of_that_file(tmp_path, make):
    path = make(tmp_path / "a.zip", {"a.jpg": bytes(100 * 2**20), "b.jpg": b"b"})
    program = (
        "import resource, sys\n"
        "from fashion_keras.data import archive\n"
        "from fashion_keras.errors import UserError\n"
        "archive.MAX_RATIO = 10_000\n"
        "opened = archive.open_archive(sys.argv[1])\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))\n"
        "try:\n"
        "    opened.read('a.jpg')\n"
        "except UserError as error:\n"
        "    print(error, opened.read('b.jpg'))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == f"{path}: a.jpg does not fit in memory b'b'\n", ended.stderr
