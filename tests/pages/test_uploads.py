"""What becomes of a file that somebody drops on the page."""

import base64
import io

import pytest
from PIL import Image
from serving.tiny import photo

from fashion_keras.errors import UserError
from fashion_keras.pages import answers
from fashion_keras.pages.answers import read_upload


def picture(uri):
    head, data = uri.split(",")
    assert head in ("data:image/jpeg;base64", "data:image/png;base64")
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_photo_that_the_model_decodes_keeps_its_bytes(format):
    data = photo(format=format)
    assert read_upload(data)[0] == data


@pytest.mark.parametrize("format", ["WEBP", "GIF", "BMP", "TIFF"])
def test_a_photo_of_another_format_becomes_a_jpeg(format):
    encoded, _ = read_upload(photo(format=format))
    with Image.open(io.BytesIO(encoded)) as image:
        assert (image.format, image.size) == ("JPEG", (60, 80))


def test_the_shown_picture_is_small():
    _, shown = read_upload(photo(1200, 1600))
    assert picture(shown).size == (240, 320)


def test_the_shown_picture_is_upright():
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (60, 80), "red").save(file, "JPEG", exif=exif)
    encoded, shown = read_upload(file.getvalue())
    assert picture(shown).size == (80, 60)
    assert encoded == file.getvalue()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 not a photo", "not a photo"),
        (photo()[:300], "truncated"),
        (photo(format="PNG")[:-200], "truncated"),
    ],
)
def test_a_bad_file_gets_a_sentence_that_says_what_is_wrong(data, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        read_upload(data)
    assert str(caught.value).endswith(".")
    assert "/" not in str(caught.value)


def test_a_header_that_claims_too_many_pixels_is_refused_before_decoding():
    data = bytearray(photo(format="PNG"))
    data[16:24] = (12_000).to_bytes(4) * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    with pytest.raises(UserError, match="12,000 × 12,000"):
        read_upload(bytes(data))


def test_a_file_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(answers, "MAX_BYTES", 100)
    with pytest.raises(UserError, match="larger than"):
        read_upload(photo())
