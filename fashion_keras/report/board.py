"""Predictions, features and photos of a split in; TensorBoard's PR curves and projector out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.plugins import projector
from tensorboard.plugins.pr_curve import summary as pr_curve

from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.report.examples import load_photos
from fashion_keras.run import Run

THRESHOLDS = 201
PROJECTED = 1000  # photos: more, and the projector crawls
TENSOR_FILE, METADATA_FILE, SPRITE_FILE = "features.tsv", "products.tsv", "photos.png"
_LARGEST_SPRITE = 8192  # pixels a side: TensorBoard draws no larger one


def write_board(
    run: Run,
    records: str | os.PathLike,
    predictions: Predictions,
    folder: str | os.PathLike,
) -> None:
    """Write the headline's PR curves, and the projector of at most `PROJECTED` photos.

    Of large photos fewer: their thumbnails have to fit in one picture that TensorBoard draws.
    `predictions` are of a split of `records`; `folder` becomes a run in TensorBoard and is
    replaced. The projector shows id, label, prediction and whether it is right.
    """
    label, classes = run.label, run.labels[run.label]
    write_pr_curves(folder, predictions, label, classes)
    most = min(PROJECTED, (_LARGEST_SPRITE // max(run.image_size)) ** 2)
    shown = predictions.table(label, classes).iloc[sample_rows(predictions, label, most)]
    by_id = load_photos(run, records, predictions.split, shown["id"])
    photos = np.stack([by_id[identifier] for identifier in shown["id"]])
    features = run.features.predict(photos, batch_size=256, verbose=0)
    products = [
        {
            label: row["truth"],
            "prediction": row["prediction"],
            "right": "yes" if row["prediction"] == row["truth"] else "no",
            "id": row["id"],
        }
        for row in shown.to_dict("records")
    ]
    write_projector(folder, features, photos, products)


def write_pr_curves(
    folder: str | os.PathLike,
    predictions: Predictions,
    label: str,
    classes: Sequence[str],
) -> None:
    """Write precision and recall over thresholds of each class that the split has, one against all.

    `folder` becomes a run of TensorBoard's PR Curves tab; curves of an earlier writing are
    replaced. Photos without the label are left out.
    """
    shutil.rmtree(folder, ignore_errors=True)
    truth = predictions.truth[label]
    known = truth >= 0
    probabilities = predictions.probabilities(label)[known]
    writer = tf.summary.create_file_writer(os.fspath(folder))
    with writer.as_default():
        for index, name in enumerate(classes):
            of_class = truth[known] == index
            if of_class.any():
                summary = pr_curve.pb(
                    f"{label}/{name}",
                    labels=of_class,
                    predictions=probabilities[:, index],
                    num_thresholds=THRESHOLDS,
                )
                tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=0)
    writer.close()


def sample_rows(predictions: Predictions, label: str, most: int) -> np.ndarray:
    """Choose rows for the projector, int64 sorted: every class's share, but at least one photo."""
    truth = predictions.truth[label]
    rows = np.random.default_rng(0).permutation(np.flatnonzero(truth >= 0))
    _, first = np.unique(truth[rows], return_index=True)
    others = np.setdiff1d(np.arange(len(rows)), first)
    return np.sort(rows[np.concatenate([first, others])[:most]])


def write_projector(
    folder: str | os.PathLike,
    features: np.ndarray,
    photos: np.ndarray,
    products: Sequence[dict[str, str]],
) -> None:
    """Write the files of TensorBoard's embedding projector, with a thumbnail a point.

    Args:
        folder: of the run; other files in it stay.
        features: float `[N, D]`.
        photos: uint8 `[N, H, W, 3]`.
        products: what the projector shows of each point, the same keys in each.

    Raises:
        ValueError: lengths differ, or the thumbnails do not fit in one picture.
    """
    if not len(features) == len(photos) == len(products) > 0:
        raise ValueError(
            f"Expected as many features, photos and products. Received: {len(features)}, "
            f"{len(photos)}, {len(products)}"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sprite = _sprite(photos)
    np.savetxt(folder / TENSOR_FILE, features, fmt="%.5g", delimiter="\t")
    lines = ["\t".join(map(_cell, row)) for row in (products[0], *(p.values() for p in products))]
    (folder / METADATA_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    sprite.save(folder / SPRITE_FILE)
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "features"
    embedding.tensor_path = TENSOR_FILE
    embedding.metadata_path = METADATA_FILE
    embedding.sprite.image_path = SPRITE_FILE
    height, width = photos.shape[1:3]
    embedding.sprite.single_image_dim.extend([width, height])
    projector.visualize_embeddings(os.fspath(folder), config)


def _cell(text: str) -> str:
    return " ".join(str(text).split())  # a tab or a line break would shift the columns


def _sprite(photos: np.ndarray) -> Image.Image:
    """Lay the photos out in rows, as many to a row as there are rows, as the projector reads."""
    count, height, width, _ = photos.shape
    side = int(np.ceil(np.sqrt(count)))
    if side * max(height, width) > _LARGEST_SPRITE:
        raise ValueError(
            f"{count} photos of {height}×{width} need a picture above {_LARGEST_SPRITE} pixels. "
            "Expected fewer or smaller ones"
        )
    padded = np.full((side * side, height, width, 3), 255, np.uint8)
    padded[:count] = photos
    grid = padded.reshape(side, side, height, width, 3).transpose(0, 2, 1, 3, 4)
    return Image.fromarray(grid.reshape(side * height, side * width, 3))
