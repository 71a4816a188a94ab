"""A photo's format by its first bytes, whatever it is called."""

import io

import pytest
from PIL import Image, features

from fashion_keras.data.photo_file import START_BYTES, photo_format

FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]


def start(format, mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, (6, 8)).save(file, format)
    return file.getvalue()[:START_BYTES]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_what_pillow_writes_is_known_by_its_first_bytes(format, mode):
    assert photo_format(start(format, mode)) == format


def test_an_avif_is_known(tmp_path):
    if "avif" not in features.modules or not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    assert photo_format(start("AVIF")) == "AVIF"


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp42", None),  # a film
        (b"BM, wie besprochen: die Fotos vom Montag", None),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"id,path\n", None),
        (b"PK\x03\x04", None),
        (b"", None),
    ],
)
def test_other_files_are_what_they_begin_as(data, format):
    assert photo_format(data) == format
