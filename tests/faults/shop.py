"""A small shop, made once by the commands themselves, for whoever breaks copies of its parts."""

import dataclasses
import os
import shutil
from pathlib import Path

from drawn_catalogue import draw_catalogue
from faults.children import run_child

PRODUCTS = 60
TRAINING = (
    "data.label=subCategory",
    "data.auxiliary_labels={baseColour: 0.5}",
    "data.image_size=[40, 32]",
    "optimizer.ema=0.9",
    "training.batch_size=16",
    "training.retrain_epochs=2",
    "training.precision=float32",
    "training.deterministic=true",
)


@dataclasses.dataclass(frozen=True)
class Shop:
    """Where everything is, below `folder`."""

    folder: Path

    @property
    def catalogue(self) -> Path:
        return self.folder / "catalogue"

    @property
    def records(self) -> Path:
        return self.folder / "records"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def bundle(self) -> Path:
        return self.models / "shop"

    @property
    def index(self) -> Path:
        return self.folder / "index"

    @property
    def photos(self) -> Path:
        return self.catalogue / "images"

    @property
    def own_run(self) -> Path:
        """A copy of the run for each test process: evaluate writes into the run."""
        path = self.folder / f"run of {os.getpid()}"
        return self.copy("run", path) if self.run.is_dir() and not path.is_dir() else path

    def copy(self, part: str, to: Path) -> Path:
        """Copy a part, such as `run`, to a place where it may be broken."""
        source = getattr(self, part)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, to, symlinks=True)
        return to


def convert_argv(source, output, *more):
    return ["--source", source, "--output", output, "--shards", "3", *more]


def train_argv(records, workdir, *more, epochs=3):
    settings = [word for setting in TRAINING for word in ("--set", setting)]
    return ["--arch", "tiny", "--data", records, "--workdir", workdir, "--epochs", epochs,
            *settings, *more]  # fmt: skip


def evaluate_argv(run, records, output, *more):
    return ["--model", run, "--data", records, "--split", "test", "--resamples", "50",
            "--output", output, *more]  # fmt: skip


def export_argv(run, models, *more):
    return ["--model", run, "--output", models, "--name", "shop", *more]


def predict_argv(bundle, output, *photos):
    return ["--model", bundle, "--output", output, "--batch-size", "4", *photos]


def index_argv(bundle, records, index, *more):
    return ["--model", bundle, "--index", index, "--build-index", records, *more]


def make_shop(folder: Path) -> Shop:
    """Make the shop at `folder`, or take the one that is there."""
    shop = Shop(folder)
    if (folder / "done").exists():
        return shop
    folder.mkdir()
    draw_catalogue(shop.catalogue, PRODUCTS)
    for command, argv in (
        ("convert", convert_argv(shop.catalogue, shop.records)),
        ("train", train_argv(shop.records, shop.run)),
        ("export", export_argv(shop.run, shop.models)),
        ("demo", index_argv(shop.bundle, shop.records, shop.index)),
    ):
        ended = run_child(f"fashion_keras.{command}", argv, folder / "said")
        assert ended.code == 0, ended.err
    (folder / "done").touch()
    return shop
