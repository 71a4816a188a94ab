"""Zips whose directory lies: none loses a file without a word, and none unpacks without end."""

import io
import random
import struct
import zipfile

import pytest
from PIL import Image

from fashion_keras.data import archive
from fashion_keras.data.archive import open_archive
from fashion_keras.data.catalog import UNREADABLE
from fashion_keras.data.catalog_reader import read_catalog
from fashion_keras.data.photo_check import check_photos
from fashion_keras.errors import UserError

LOCAL, DIRECTORY, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
PRODUCTS = [str(1000 + number) for number in range(30)]


def draw_photo(number):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (8 * number, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


PHOTOS = {f"images/{id}.jpg": draw_photo(number) for number, id in enumerate(PRODUCTS)}


@pytest.fixture(scope="module")
def sound():
    """A zip of 30 products with a photo each."""
    rows = [f"{id},Shirts" for id in PRODUCTS]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("styles.csv", "\n".join(["id,subCategory", *rows]))
        for name, data in PHOTOS.items():
            file.writestr(name, data)
    return buffer.getvalue()


def places(data, signature):
    """Where each header of a kind begins."""
    found, place = [], data.find(signature)
    while place >= 0:
        found.append(place)
        place = data.find(signature, place + 1)
    return found


def patched(data, place, layout, value):
    data = bytearray(data)
    struct.pack_into(layout, data, place, value)
    return bytes(data)


def name_of_65535_bytes(data, rng):
    return patched(data, rng.choice(places(data, DIRECTORY)) + 28, "<H", 65_535)


def name_that_takes_in_what_follows(data, rng):
    """An entry that swallows whole entries behind it, so that the directory still adds up."""
    first, *_, last = sorted(rng.sample(places(data, DIRECTORY), 2))
    (length,) = struct.unpack_from("<H", data, first + 28)
    return patched(data, first + 28, "<H", length + last - first)


def overwritten_directory(data, rng):
    begin = data.index(DIRECTORY)
    place = rng.randrange(begin, len(data))
    return data[:place] + rng.randbytes(rng.choice([1, 1, 2, 16])) + data[place + 1 :]


def changed_byte(data, rng):
    place = rng.choice(places(data, DIRECTORY) + places(data, END) + places(data, LOCAL))
    place += rng.randrange(46)
    return data[:place] + rng.randbytes(1) + data[place + 1 :] if place < len(data) else data


def changed_name(data, rng):
    name = rng.choice(list(PHOTOS)).encode()
    place = rng.choice(places(data, name))
    return patched(data, place + rng.randrange(len(name)), "B", rng.randrange(256))


def shorter_directory(data, rng):
    """The first entries are cut out of the directory, and the end record knows its new size."""
    begin, cut = data.index(DIRECTORY), rng.choice(places(data, DIRECTORY)[1:])
    end = data.index(END) - (cut - begin)
    return patched(data[:begin] + data[cut:], end + 12, "<I", end - begin)


def shorter_directory_that_is_counted(data, rng):
    kept = len(places(data, DIRECTORY)) - rng.randrange(1, 30)
    data = shorter_directory(data, random.Random(kept))
    left = len(places(data, DIRECTORY))
    end = data.index(END)
    return patched(patched(data, end + 8, "<H", left), end + 10, "<H", left)


def two_entries_of_one_name(data, rng):
    one, other = (name.encode() for name in rng.sample(list(PHOTOS), 2))
    return data.replace(one, other)


def moved_entry(data, rng):
    place = rng.choice(places(data, DIRECTORY)) + 42
    return patched(data, place, "<I", rng.choice([rng.randrange(len(data)), 2**32 - 1]))


def cut_short(data, rng):
    return data[: rng.randrange(len(data))]


MUTATIONS = [
    name_of_65535_bytes,
    name_that_takes_in_what_follows,
    overwritten_directory,
    changed_byte,
    changed_name,
    shorter_directory,
    shorter_directory_that_is_counted,
    two_entries_of_one_name,
    moved_entry,
    cut_short,
]


def convert_photos(path):
    """Read a zip as a conversion does: photos by product's id, and the rows left out."""
    with open_archive(path) as archive:
        catalog = read_catalog(archive, label_columns=["subCategory"])
        catalog, _ = check_photos(catalog, archive, workers=1)
        return {p.id: archive.read(p.photo) for p in catalog.products}, catalog.left_out


def test_the_sound_zip_gives_every_product_its_photo(tmp_path, sound):
    path = tmp_path / "a.zip"
    path.write_bytes(sound)
    photos, left_out = convert_photos(path)
    assert not left_out
    assert [photos[id] for id in PRODUCTS] == list(PHOTOS.values())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda function: function.__name__)
def test_a_mutated_zip_is_an_error_or_every_product_has_its_own_photo_or_a_damaged_one(
    tmp_path, sound, mutate, seed
):
    path = tmp_path / "a.zip"
    path.write_bytes(mutate(sound, random.Random(seed)))
    try:
        photos, left_out = convert_photos(path)
    except UserError:
        return
    # The photos are all in the zip, so no row may say that there is none.
    assert {row.reason for row in left_out} <= {UNREADABLE}
    assert sorted([*photos, *(row.id for row in left_out)]) == PRODUCTS
    assert all(photos[id] == PHOTOS[f"images/{id}.jpg"] for id in photos)


@pytest.mark.parametrize(
    ("mutate", "message"),
    [
        (name_of_65535_bytes, r"lists \d+ of 31 entries"),
        (name_that_takes_in_what_follows, r"lists \d+ of 31 entries"),
        (shorter_directory_that_is_counted, "is not in its directory|damaged"),
        (two_entries_of_one_name, "two files of one name"),
        (moved_entry, "not in its directory|not where its directory says"),
    ],
)
def test_the_message_says_what_is_wrong(tmp_path, sound, mutate, message):
    path = tmp_path / "a.zip"
    path.write_bytes(mutate(sound, random.Random(1)))
    with pytest.raises(UserError, match=message):
        open_archive(path)


def test_names_that_differ_only_in_how_folders_are_written_are_one_name(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("images/1.jpg", b"one")
        file.writestr("./images/1.jpg", b"another")
    with pytest.raises(UserError, match=r"two files of one name \('images/1\.jpg'\)"):
        open_archive(path)


def test_a_folder_may_be_listed_twice(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file, pytest.warns(UserWarning, match="Duplicate"):
        for name in ("images/", "images/1.jpg", "images/", "./"):
            file.writestr(name, b"")
    assert open_archive(path).names() == ["images/1.jpg"]


def overlapping_zip(path, kernel, count):
    """Many entries that all are the same packed bytes; see bamsoftware.com/hacks/zipbomb."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jpg", kernel)
    data = buffer.getvalue()
    begin, end = data.index(DIRECTORY), data.index(END)
    directory = data[begin:end] * count
    end_record = struct.pack("<4s4xHHIIH", END, count, count, len(directory), begin, 0)
    path.write_bytes(data[:begin] + directory + end_record)


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    overlapping_zip(path, bytes(2**16), 2_000)
    with pytest.raises(UserError, match="lies upon another one"):
        open_archive(path)


def test_a_zip_of_small_bombs_is_refused_by_their_sum(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "TOTAL_RATIO_APPLIES_FROM", 2**22)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(8):
            file.writestr(f"{number}.jpg", bytes(2**20))
    with pytest.raises(UserError, match=r"more than 100 times its size \(a decompression bomb\)"):
        open_archive(path)


def test_a_zip_with_descriptors_behind_its_files_is_read(tmp_path):
    """As a program writes it that cannot go back in its output."""

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def tell(self):
            raise OSError

        def seek(self, *_):
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in PHOTOS.items():
            file.writestr(name, data)
    (tmp_path / "a.zip").write_bytes(pipe.getvalue())
    archive = open_archive(tmp_path / "a.zip")
    assert {name: archive.read(name) for name in archive.names()} == PHOTOS


def test_a_zip_of_more_files_than_16_bits_count_is_read(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(2**16 + 10):
            file.writestr(zipfile.ZipInfo(f"{number}"), b"")
    assert len(open_archive(path).names()) == 2**16 + 10
    # As macOS writes it: the lower 16 bits, and no record of the large number.
    data = path.read_bytes()
    end = data.rindex(END)
    large = data.rindex(b"PK\x06\x06")
    small = struct.pack(
        "<4s4xHHIIH", END, 10, 10, large - data.index(DIRECTORY), data.index(DIRECTORY), 0
    )
    assert data[end : end + 4] == END
    path.write_bytes(data[:large] + small)
    assert len(open_archive(path).names()) == 2**16 + 10
