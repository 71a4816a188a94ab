"""Draws a catalogue of smooth photos in Kaggle's layout, for tests that convert."""

import csv
import io
import struct

import numpy as np
from PIL import Image, PngImagePlugin

from fashion_keras.data.schema import LABEL_COLUMNS

COUNT = 60
CLASSES = ("Bags", "Shoes", "Topwear")
HEADER = ["id", *LABEL_COLUMNS, "productDisplayName"]


def pixels(seed, height=80, width=60):
    """A smooth photo that no other seed has, uint8 [height, width, 3]."""
    corners = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    small = Image.fromarray(corners)
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def encode(array, format="JPEG", mode="RGB", **options):
    file = io.BytesIO()
    options = {"quality": 92, **options} if format == "JPEG" else options
    Image.fromarray(array).convert(mode).save(file, format, **options)
    return file.getvalue()


def segment(marker, data):
    """A part of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(data)) + data


def with_long_comment(format):
    """A JPEG, PNG or GIF that has to be encoded anew, with as long a comment as Pillow minds."""
    photo = pixels(1, 400, 300)
    if format == "JPEG":  # Pillow cannot write it
        comment = segment(0xFE, b"x" * 65_533)
        return encode(photo).replace(b"\xff\xdb", comment + b"\xff\xdb", 1)
    texts = PngImagePlugin.PngInfo()
    texts.add_text("comment", "x" * 66_000)
    options = {"pnginfo": texts} if format == "PNG" else {"comment": b"x" * 66_000}
    return encode(photo, format, **options)


def labels_of(number):
    """The labels of a product; every seventh has no colour."""
    labels = dict.fromkeys(LABEL_COLUMNS, "Any")
    labels["subCategory"] = CLASSES[number % 3]
    labels["baseColour"] = "NA" if number % 7 == 0 else ("Blue", "Red")[number % 2]
    return labels


def draw_catalogue(folder, count=COUNT):
    """Write styles.csv and images/: mostly 60×80 JPEG, some grey, odd, PNG, transparent."""
    (folder / "images").mkdir(parents=True)
    with open(folder / "styles.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number in range(count):
            id = 1000 + number
            writer.writerow([id, *labels_of(number).values(), f"Product {id}"])
            suffix, data = "jpg", encode(pixels(number))
            if number == 5:
                data = encode(pixels(number), mode="L")
            elif number == 10:
                data = encode(pixels(number, 80, 53))
            elif number == 15:
                data = encode(pixels(number, 600, 400))
            elif number == 20:
                suffix, data = "png", encode(pixels(number), "PNG")
            (folder / f"images/{id}.{suffix}").write_bytes(data)
    return folder
