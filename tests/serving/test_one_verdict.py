"""Convert, predict and the demo take the same photos, and see the same pixels of them."""

import io
import random
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from serving.photo_bytes import turned
from serving.tiny import photo

from fashion_keras.data.image import decode
from fashion_keras.data.photo import readable_formats
from fashion_keras.data.photo_check import check_photo
from fashion_keras.errors import UserError
from fashion_keras.pages.answers import read_upload
from fashion_keras.serving.decoding import decode_photos, exif_orientation, turn_upright
from fashion_keras.serving.served_photo import served_photo

MUTATIONS = 60  # of each photo
# How far pixels may be from Pillow's: TensorFlow rounds CMYK and half-transparent ones in its own
# way, and each version of libjpeg smoothes what a damaged progressive JPEG lacks in its own.
LEVELS = {"cmyk jpeg": 1, "transparent png": 1, "progressive jpeg": 8}
DECODE = tf.function(
    lambda encoded: decode_photos(encoded, (40, 32), "stretch"),
    input_signature=[tf.TensorSpec([None], tf.string)],
)


def saved(format, mode="RGB", **options):
    file = io.BytesIO()
    with Image.open(io.BytesIO(photo(format="PNG", seed=3))) as image:
        image.convert(mode).save(file, format, **options)
    return file.getvalue()


SOUND = {
    "jpeg": saved("JPEG"),
    "progressive jpeg": saved("JPEG", progressive=True),
    "jpeg of parts": saved("JPEG", restart_marker_blocks=2),
    "grey jpeg": saved("JPEG", "L"),
    "cmyk jpeg": saved("JPEG", "CMYK"),
    "turned jpeg": turned(6),
    "png": saved("PNG"),
    "transparent png": saved("PNG", "RGBA"),
    "palette png": saved("PNG", "P"),
    "black and white png": saved("PNG", "1"),
    "gif": saved("GIF"),
    "webp": saved("WEBP"),
    "webp without loss": saved("WEBP", "RGBA", lossless=True),
    "bmp": saved("BMP"),
    "tiff": saved("TIFF"),
    "packed tiff": saved("TIFF", compression="tiff_lzw"),
}
if "AVIF" in readable_formats():
    SOUND["avif"] = saved("AVIF")


def mutated(data, draw):
    """Overwrite, cut, remove or insert some bytes."""
    data, at = bytearray(data), draw.randrange(len(data))
    match draw.randrange(5):
        case 0:
            data[at : at + 16] = draw.randbytes(min(16, len(data) - at))
        case 1:
            data[at] ^= 1 << draw.randrange(8)
        case 2:
            del data[max(at, 1) :]
        case 3:
            del data[at : at + draw.randrange(1, 40)]
        case 4:
            data[at:at] = draw.randbytes(draw.randrange(1, 40))
    return bytes(data)


def with_right_checksums(png):
    """Return a PNG whose damage no checksum shows."""
    data, start = bytearray(png), 8
    while (end := start + 12 + int.from_bytes(data[start : start + 4])) <= len(data):
        data[end - 4 : end] = zlib.crc32(data[start + 4 : end - 4]).to_bytes(4)
        start = end
    return bytes(data)


def mutations(name):
    """The photo itself and damaged ones, the same in each run."""
    draw = random.Random(name)
    yield SOUND[name]
    for number in range(MUTATIONS):
        data = mutated(SOUND[name], draw)
        yield with_right_checksums(data) if "png" in name and number % 2 else data


def taken(read, data):
    """What a reader returns, and None where it refuses."""
    try:
        return read(data)
    except UserError:
        return None


def decoded_by_pillow(data):
    """All of a photo's pixels, upright and on white, with nothing of ours."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        image = ImageOps.exif_transpose(image) if "exif" in image.info else image
        if not image.has_transparency_data:
            return image.convert("RGB")
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def as_jpeg(image):
    image.thumbnail((1024, 1024), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, "JPEG", quality=92, subsampling=0)
    return file.getvalue()


@tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.bool)])
def decoded_by_the_graph(data, is_jpeg):
    orientation = tf.cond(is_jpeg, lambda: exif_orientation(data), lambda: tf.constant(1))
    return turn_upright(decode(data), orientation)


@pytest.mark.parametrize("name", SOUND)
def test_three_readers_agree_on_every_mutated_photo(name):
    photos = list(mutations(name))
    converted = [taken(check_photo, data) is not None for data in photos]
    predicted = [taken(served_photo, data) for data in photos]
    dropped = [taken(read_upload, data) for data in photos]
    # What the reader has refused never gets to the model, and is refused there too: it is empty.
    _, valid = DECODE([one[0] if one else b"" for one in predicted])
    _, shown = DECODE([one[0] if one else b"" for one in dropped])
    assert valid.numpy().tolist() == shown.numpy().tolist() == converted
    assert converted[0] and not all(converted)


@pytest.mark.parametrize("name", SOUND)
def test_what_is_taken_has_the_pixels_that_pillow_decodes(name):
    for data in mutations(name):
        served = taken(served_photo, data)
        if served is None or not DECODE([served[0]])[1].numpy()[0]:
            continue
        whole = decoded_by_pillow(data)
        if served[0] == data:
            pixels = decoded_by_the_graph(data, data.startswith(b"\xff\xd8")).numpy()
            difference = pixels.astype(int) - np.asarray(whole)
            assert np.abs(difference).max() <= LEVELS.get(name, 0)
        else:
            assert served[0] == as_jpeg(whole)
