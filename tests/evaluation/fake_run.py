"""Plain-coloured photos as records, and a model that names the strongest colour, as a run.

What the model must answer follows from a photo's colour alone, so the tests need not ask it.
"""

import dataclasses
import io
import shutil
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from fashion_keras.config import load_config
from fashion_keras.data.schema import SCHEMA_VERSION, SPLITS, DatasetInfo, SplitInfo
from fashion_keras.data.tfrecord import Record, shard_name, to_example, write_shard
from fashion_keras.run import save_labels, save_records

# The strongest of red, green and blue, and a class that no photo has.
LABELS = {
    "subCategory": ("Bags", "Shoes", "Topwear", "Watches"),
    "gender": ("Men", "Women"),
}
IMAGE_SIZE = (40, 32)
COUNTS = {"train": 5, "validation": 12, "test": 60}


def product(split: str, index: int) -> tuple[str, tuple[int, int, int], dict]:
    """Return id, colour and labels of a product; every 5th is labelled wrongly."""
    generator = np.random.default_rng([index, SPLITS.index(split)])
    strongest = int(generator.integers(3))
    colour = [60, 60, 60]
    colour[strongest] = 200
    label = (strongest + 1) % 3 if index % 5 == 0 else strongest
    return (
        str(10_000 * (1 + SPLITS.index(split)) + index),
        tuple(colour),
        {
            "subCategory": LABELS["subCategory"][label],
            "gender": None if index % 7 == 0 else LABELS["gender"][strongest % 2],
        },
    )


def plain(colour: tuple[int, int, int]) -> Image.Image:
    """Draw a photo of one colour."""
    return Image.new("RGB", (IMAGE_SIZE[1], IMAGE_SIZE[0]), colour)


def on_black(colour: tuple[int, int, int]) -> Image.Image:
    """Draw a product of one colour on black, which speaks for no class."""
    drawn = plain((0, 0, 0))
    drawn.paste(colour, (4, 4, IMAGE_SIZE[1] - 4, IMAGE_SIZE[0] - 4))
    return drawn


def write_records(folder: Path, labels=LABELS, counts=COUNTS, draw=plain) -> Path:
    """Write two shards a split, and `dataset_info.json`."""
    folder.mkdir(parents=True)
    indices = {name: {c: i for i, c in enumerate(classes)} for name, classes in labels.items()}
    splits = {}
    for split, count in counts.items():
        products = [product(split, index) for index in range(count)]
        halves = [products[: count // 2], products[count // 2 :]] if count else []
        splits[split] = SplitInfo(
            count,
            tuple(
                write_shard(
                    folder / shard_name(split, number, 2),
                    [to_example(_record(*item, draw), indices) for item in half],
                )
                for number, half in enumerate(halves)
            ),
            {
                name: tuple(sum(item[2][name] == c for item in products) for c in classes)
                for name, classes in labels.items()
            },
        )
    DatasetInfo(
        SCHEMA_VERSION,
        {name: tuple(classes) for name, classes in labels.items()},
        splits,
        {},
        {"name": "plain colours"},
        {"strategy": "by hand"},
        {},
        {},
    ).save(folder)
    return folder


def write_run(folder: Path, *, bias: float = 0.0, scale: float = 1.0) -> Path:
    """Write a run's folder as training leaves it; `bias` is added to every logit, times `scale`."""
    folder.mkdir(parents=True)
    inputs = keras.Input((*IMAGE_SIZE, 3), name="image")
    colour = keras.layers.Rescaling(1 / 100, name="backbone")(inputs)
    colour = keras.layers.GlobalAveragePooling2D(name="features")(colour)
    heads = {name: keras.layers.Dense(len(c), name=name) for name, c in LABELS.items()}
    model = keras.Model(inputs, {name: head(colour) for name, head in heads.items()}, name="plain")
    # Logit of a class: its colour; the fourth is never the strongest. Green is Women.
    heads["subCategory"].set_weights([scale * np.eye(3, 4), np.array([bias] * 3 + [bias - 10])])
    heads["gender"].set_weights([np.array([[1, 0], [0, 1], [1, 0]]), np.array([bias, bias])])
    model.save(folder / "best.keras")
    save_labels(folder, LABELS)
    config = {"data.image_size": list(IMAGE_SIZE), "data.auxiliary_labels": {"gender": 0.5}}
    load_config(None, config).save(folder / "config.yaml")
    return folder


def resplit(records: Path, folder: Path, run: Path) -> Path:
    """Copy records, as those of a catalogue that `run` was trained on by another split."""
    shutil.copytree(records, folder)
    info = dataclasses.replace(DatasetInfo.load(records), source={"fingerprint": "0" * 64})
    save_records(run, info)
    dataclasses.replace(info, split={"strategy": "grouped"}).save(folder)
    return folder


def _record(identifier, colour, labels, draw):
    file = io.BytesIO()
    draw(colour).save(file, "PNG")
    return Record(identifier, "", file.getvalue(), *IMAGE_SIZE, labels)
