"""A shop's catalogue of easy shapes, its records and a finished run, made from Python."""

import csv
from pathlib import Path

import numpy as np
import pytest
from tiny_records import COLOURS, SHAPES, draw

import fashion_keras as fk
from fashion_keras.models.registry import ARCHITECTURES

SETTINGS = {
    "data.image_size": [40, 32],
    "training.batch_size": 16,
    "training.retrain_epochs": 5,
    "training.precision": "float32",
}


def make_finished_run(folder: Path) -> None:
    """Make `shop`, `records` and `run` in a folder; nothing where they are there."""
    if (folder / "run" / "model").is_dir():
        return
    draw_shop(folder / "shop")
    records = fk.convert(
        folder / "shop", folder / "records", image_column="photo", label_column=["kind", "colour"]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "tiny", "tiny_arch")
        options = {"arch": "tiny", "label": "kind", "epochs": 2, "settings": SETTINGS}
        fk.train(records, folder / "run", **options, progress=False)


def draw_shop(folder):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(72):
        shape, colour = SHAPES[number % 3], tuple(COLOURS)[number % 2]
        (folder / f"{number}.jpg").write_bytes(draw(shape, colour, rng, 40, 32))
        rows.append((f"{number}.jpg", shape, colour))
    with open(folder / "shop.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("photo", "kind", "colour"), *rows])
