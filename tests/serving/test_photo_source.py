"""Inputs become photos in order, in batches that fit in memory."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from serving.tiny import photo

from fashion_keras.errors import UserError
from fashion_keras.serving.photos import MAX_BATCH_BYTES, Photo, PhotoSource, batches


def png_header(width, height):
    """Encode the start of a PNG that says it is `width` by `height` pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(b"")
    rest = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n" + chunk + rest


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
