"""A run and a split of the records in; the model's pooled features of every photo out."""

from __future__ import annotations

import os

import keras
import numpy as np
from tqdm import tqdm

from fashion_keras.data.pipeline import make_dataset
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.evaluation.gradcam import FEATURES
from fashion_keras.run import Run


def embed(
    run: Run,
    records: str | os.PathLike,
    split: str,
    *,
    batch_size: int = 256,
    progress: bool = False,
) -> np.ndarray:
    """Return what the run's layer `features` says of each photo, float32 `[N, D]`.

    In the records' order, as `predict` returns its photos.
    """
    model = keras.Model(run.model.inputs[0], run.model.get_layer(FEATURES).output)
    dataset = make_dataset(
        records, split, run.label, run.image_size, batch_size, resize=run.resize, cache="none"
    )
    total = DatasetInfo.load(records).splits[split].num_examples
    found = []
    with tqdm(
        total=total, desc=f"{split}, features", unit="photo", leave=False, disable=not progress
    ) as bar:
        for images, _ in dataset:
            found.append(np.asarray(model.predict_on_batch(images), np.float32))
            bar.update(len(images))
    return np.concatenate(found)
