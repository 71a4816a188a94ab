"""A photo's bytes: what is read and refused, and what is stored of it."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from drawn_catalogue import encode, pixels, segment, with_long_comment
from PIL import Image, ImageFile, features

from fashion_keras.data import photo
from fashion_keras.data.photo import (
    START_BYTES,
    check,
    decode,
    photo_format,
    read_header,
    stored_photo,
)
from fashion_keras.errors import UserError

JPEG = encode(pixels(1))


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def refusal(data, read=check):
    with pytest.raises(UserError) as caught:
        read(data)
    return str(caught.value)


def stored(data, max_size=320):
    result, height, width = stored_photo(data, check(data), max_size)
    with Image.open(io.BytesIO(result)) as image:
        image.load()
    assert (image.height, image.width) == (height, width)
    return result, image


# ---- what is stored ----


@pytest.mark.parametrize(("format", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGBA")])
def test_a_small_photo_keeps_its_bytes(format, mode):
    data = encode(pixels(1), format, mode)
    assert stored(data, 80)[0] == data


def test_a_large_photo_is_shrunk_in_its_shape():
    _, image = stored(encode(pixels(2, 1200, 900)), 320)
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (240, 320))


def test_shrinking_is_close_to_the_best_that_pillow_can_do():
    stripes = (np.indices((960, 720)).sum(axis=0) // 7 % 2 * 255).astype(np.uint8)
    data = saved(Image.fromarray(stripes).convert("RGB"), "PNG")
    _, image = stored(data, 320)
    best = Image.open(io.BytesIO(data)).resize((240, 320), Image.Resampling.LANCZOS)
    difference = np.abs(np.asarray(image, float) - np.asarray(best, float))
    assert difference.mean() < 4


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_photo_is_stored_upright(format, orientation):
    data = saved(Image.fromarray(pixels(3, 40, 60)), format, exif=turned(orientation))
    _, image = stored(data)
    # TensorFlow, in `tf.image`, has turned nothing that it was not told to.
    upright = pixels(3, 40, 60)
    if orientation in (5, 6, 7, 8):
        upright = upright.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        upright = upright[:, ::-1]
    if orientation in (3, 4, 7, 8):
        upright = upright[::-1]
    assert np.abs(np.asarray(image, float) - upright).mean() < 4
    assert image.getexif().get(0x0112) is None


def test_a_png_that_says_at_its_end_how_it_is_turned_is_stored_upright():
    data = saved(Image.fromarray(pixels(3, 40, 60)), "PNG", exif=turned(6))
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4])
    late = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    assert read_header(late) == read_header(data) == check(data)
    assert stored(late)[0] == stored(data)[0]


def test_a_transparent_webp_is_laid_on_white():
    photo = Image.new("RGBA", (20, 30), (255, 0, 0, 0))
    _, image = stored(saved(photo, "WEBP", lossless=True))
    assert image.getpixel((10, 10)) == (255, 255, 255)


def test_a_cmyk_jpeg_becomes_rgb():
    data = saved(Image.new("RGB", (20, 30), (200, 30, 40)).convert("CMYK"), "JPEG", quality=95)
    _, image = stored(data)
    assert image.mode == "RGB"
    assert np.abs(np.subtract(image.getpixel((10, 10)), (200, 30, 40))).max() < 12


def test_sixteen_bits_a_pixel_become_eight():
    data = saved(Image.fromarray(np.full((30, 20), 128 * 256, np.uint16)), "PNG")
    _, image = stored(data)
    assert np.abs(np.subtract(image.getpixel((10, 10)), 128)).max() <= 1


def test_what_pillow_cannot_convert_has_a_reason():
    data = encode(pixels(4, 400, 300))
    with pytest.raises(UserError, match=r"^truncated$"):
        stored_photo(data[:300], check(data), 320)


# ---- metadata ----


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF"])
def test_a_long_comment_is_no_hindrance_and_is_not_stored(format):
    result, image = stored(with_long_comment(format))
    assert image.size == (240, 320)
    assert len(result) < 60_000 and "comment" not in image.info


def test_no_metadata_are_stored():
    exif = turned(6)
    exif[0x010E] = "a secret place"
    options = {"exif": exif, "icc_profile": b"icc" * 99, "comment": b"hello", "xmp": b"<x/>"}
    _, image = stored(saved(Image.fromarray(pixels(1)), "JPEG", **options))
    assert not image.info.keys() & {"exif", "icc_profile", "comment", "xmp"}


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


PNG = saved(Image.fromarray(pixels(5)), "PNG")
HEADER_END = 33  # of a PNG: its signature and IHDR
MEGABYTES = bytes(3 * 2**20)


@pytest.mark.parametrize(
    "metadata",
    [
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(MEGABYTES)),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(MEGABYTES)),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(MEGABYTES)),
        chunk(b"zTXt", b"Comment\0\0no zlib at all"),
        chunk(b"tEXt", b"Comment\0checksum")[:-1] + b"?",
    ],
    ids=["profile", "XMP", "text", "damaged text", "checksum of a text"],
)
@pytest.mark.parametrize("place", [HEADER_END, len(PNG) - 12], ids=["before", "behind"])
def test_metadata_do_not_condemn_a_png(metadata, place):
    data = PNG[:place] + metadata + PNG[place:]
    assert read_header(data) == check(data) == check(PNG)
    assert np.array_equal(decode(data), tf.io.decode_png(data, channels=3))


# ---- what is refused ----


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "not a photo: expected JPEG, PNG, "),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF is not read: save it as a JPEG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL is not read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a photo"),
        (b"\xff\xd8\xff\xe0 and no more", "truncated"),
    ],
)
def test_what_is_no_photo_is_refused_with_a_reason(data, reason):
    assert refusal(data).startswith(reason) and refusal(data, read_header) == refusal(data)


@pytest.mark.parametrize("read", [check, decode, read_header])
def test_a_jpeg_without_its_last_two_bytes_is_truncated(read):
    assert refusal(JPEG[:-2], read) == "truncated"


@pytest.mark.parametrize("read", [check, decode, read_header])
def test_a_cut_jpeg_is_truncated_though_its_small_copy_is_whole(read):
    camera = saved(Image.fromarray(pixels(1, 400, 300)), "JPEG")
    camera = camera[:2] + segment(0xE1, b"Exif\0\0" + JPEG) + camera[2:]  # as cameras keep one
    assert camera.count(b"\xff\xd9") == 2
    assert refusal(camera[:-500], read) == "truncated"


@pytest.mark.parametrize("read", [check, decode, read_header])
def test_a_png_of_a_wrong_checksum_is_damaged(read):
    data = bytearray(PNG)
    data[-20] ^= 1  # Pillow reads over it
    assert "checksum" in refusal(bytes(data), read)


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF", "WEBP"])
def test_a_cut_photo_is_refused(format):
    data = saved(Image.fromarray(pixels(1)), format)
    assert refusal(data[: len(data) // 2]) == refusal(data[: len(data) // 2], decode)


def test_a_cut_photo_is_refused_where_pillow_is_told_to_forgive(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = saved(Image.fromarray(pixels(1)), "BMP")
    assert refusal(data[:-1000], decode) == "truncated"


def test_a_jpeg_whose_bytes_cannot_hold_its_pixels_is_refused():
    size = struct.Struct(">HH").pack  # height, width in a JPEG's frame header
    data = JPEG.replace(size(80, 60), size(7_000, 7_000), 1)
    assert refusal(data).startswith("damaged: it says 7,000 × 7,000 pixels")


def test_a_photo_that_does_not_fit_in_memory_is_refused(monkeypatch):
    def short_of_memory(*_, **__):
        raise MemoryError

    monkeypatch.setattr(photo.Image, "open", short_of_memory)
    assert refusal(JPEG) == refusal(JPEG, decode) == "it does not fit in memory"


def test_what_a_decoder_raises_is_a_reason_whatever_it_is(monkeypatch):
    def failing(*_, **__):
        raise RecursionError("deep\n  inside")

    monkeypatch.setattr(ImageFile.ImageFile, "load", failing)
    assert refusal(saved(Image.fromarray(pixels(1)), "GIF"), decode) == "damaged (deep inside)"


def test_a_jpeg_of_a_rare_kind_is_encoded_anew():
    # TensorFlow's decoder does not know each of them; only the kind is looked at here.
    data = JPEG.replace(b"\xff\xc0", b"\xff\xc9", 1)
    assert read_header(data).format == "rare JPEG"
    assert stored(data)[0][:3] == b"\xff\xd8\xff" != data and b"\xff\xc0" in stored(data)[0]


# ---- its format, by its first bytes ----

FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]


def start(format, mode="RGB"):
    return saved(Image.new(mode, (6, 8)), format)[:START_BYTES]


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
