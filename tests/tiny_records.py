"""Draws a few dozen photos of coloured shapes and stores them as records, for tests that train."""

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from fashion_keras.data import schema
from fashion_keras.data.schema import DatasetInfo, SplitInfo
from fashion_keras.data.tfrecord import Record, shard_name, to_example, write_shard

SHAPES = ("Bags", "Belts", "Shoes")
COLOURS = {"Blue": "#2040c0", "Red": "#c02020"}
LABELS = {"subCategory": SHAPES, "baseColour": tuple(COLOURS)}


def draw(shape: str, colour: str, rng, height: int, width: int) -> bytes:
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    x, y = rng.integers(2, 8, 2).tolist()
    box = (x, y, width - x, height - y)
    fill = COLOURS.get(colour, "#888888")
    if shape == "Bags":
        pen.rectangle(box, fill=fill)
    elif shape == "Belts":
        pen.line(box, fill=fill, width=4)
    else:
        pen.ellipse(box, outline=fill, width=3)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def write_tiny_records(
    folder: Path,
    *,
    train: int = 48,
    validation: int = 20,
    test: int = 12,
    size=(40, 32),
    seed=0,
    called=tuple(LABELS),
    title=None,
) -> DatasetInfo:
    """Write records of three shapes in two colours; every seventh product has no colour.

    `called` are the names of the two labels. `title` makes a text of number, shape and colour.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    words = dict(zip(called, LABELS.values(), strict=True))
    indices = {label: {n: i for i, n in enumerate(names)} for label, names in words.items()}
    splits, number = {}, 0
    for split, count in zip(schema.SPLITS, (train, validation, test), strict=True):
        records = []
        for i in range(count):
            number += 1
            shape = SHAPES[i % 3]
            colour = None if i % 7 == 6 else tuple(COLOURS)[i % 2]
            labels = dict(zip(called, (shape, colour), strict=True))
            photo = draw(shape, colour or "Blue", rng, *size)
            texts = {"title": title(number, shape, colour)} if title else {}
            name = f"{shape} {number}"
            records.append(Record(f"{number}", name, photo, *size, labels, texts=texts))
        half = count // 2
        shards = tuple(
            write_shard(folder / shard_name(split, part, 2), [to_example(r, indices) for r in some])
            for part, some in enumerate((records[:half], records[half:]))
        )
        counts = {
            label: tuple(Counter(r.labels[label] for r in records)[name] for name in names)
            for label, names in words.items()
        }
        splits[split] = SplitInfo(count, shards, counts)
    info = DatasetInfo(
        schema_version=schema.SCHEMA_VERSION,
        labels=words,
        splits=splits,
        image_sizes={
            "min_height": size[0],
            "max_height": size[0],
            "min_width": size[1],
            "max_width": size[1],
        },
        source={"path": "drawn"},
        split={"strategy": "stratified"},
        settings={},
        left_out={},
        texts={"title": "text/title"} if title else {},
    )
    info.save(folder)
    return info


def read_history(workdir):
    """Return the rows of a run's history.csv."""
    with open(workdir / "history.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
