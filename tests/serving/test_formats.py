"""A photo is served as its bytes, or as a JPEG of them that a served model decodes."""

import io
import random
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from serving.photo_bytes import turned
from serving.tiny import photo

from fashion_keras.data.photo import decode
from fashion_keras.serving.decoding import exif_orientation
from fashion_keras.serving.served_photo import graph_orientation, served_photo

ORIENTATION = tf.function(exif_orientation, input_signature=[tf.TensorSpec([], tf.string)])


def size(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_keeps_its_bytes_and_is_turned_by_the_graph(orientation):
    data = turned(orientation)
    assert served_photo(data) == (data, 60 * 80)
    assert graph_orientation(data) == orientation


def test_a_jpeg_that_the_graph_would_leave_lying_is_turned_here():
    data = turned(6)
    comment = b"\xff\xfe" + struct.pack(">H", 6) + b"note"
    late = data[:2] + 2 * comment + data[2:]  # EXIF comes third, and Pillow finds it there
    assert graph_orientation(late) == 1
    encoded, pixels = served_photo(late)
    assert (size(encoded), pixels) == ((80, 60), 60 * 80)
    assert np.abs(np.subtract(Image.open(io.BytesIO(encoded)), decode(data), dtype=int)).mean() < 3


def test_a_png_that_is_turned_becomes_an_upright_jpeg():
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 80), "red").save(file, "PNG", exif=exif)
    encoded, _ = served_photo(file.getvalue())
    assert size(encoded) == (80, 60)


def test_a_tiff_becomes_a_jpeg():
    encoded, pixels = served_photo(photo(format="TIFF"))
    assert (size(encoded), pixels) == ((60, 80), 60 * 80)


def test_orientation_is_what_the_graph_reads_however_damaged_the_exif_is():
    draw, seen = random.Random(0), set()
    for _ in range(300):
        data = bytearray(turned(draw.randrange(1, 9)))
        for _ in range(draw.randrange(4)):
            data[draw.randrange(2, 60)] = draw.choice([0, 1, 6, 255, draw.randrange(256)])
        expected = int(ORIENTATION(bytes(data)))
        assert graph_orientation(bytes(data)) == expected
        seen.add(expected)
    assert len(seen) == 8
