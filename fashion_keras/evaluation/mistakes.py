"""Predictions in, the photos that a model got wrong with the most confidence out."""

from __future__ import annotations

import os

import numpy as np

from fashion_keras.evaluation.examples import sure_mistakes
from fashion_keras.evaluation.photos import load_photos
from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.run import Run


def surest_mistakes(
    run: Run, records: str | os.PathLike, predictions: Predictions, *, most: int = 32
) -> tuple[np.ndarray, list[list[str]]]:
    """Return the surest mistakes of the headline label, the surest first.

    Returns the photos as the model saw them, uint8 `[M, H, W, 3]` with M at most `most`, and
    for each its id, its label and what the model said with its probability.
    """
    label, names = run.label, run.labels[run.label]
    truth, said = predictions.truth[label], predictions.prediction(label)
    probability = predictions.probabilities(label).max(axis=1)
    chosen = sure_mistakes(predictions, label, most)
    photos = load_photos(run, records, predictions.split, [predictions.ids[i] for i in chosen])
    captions = [
        [
            predictions.ids[i],
            f"label {names[truth[i]]}",
            f"model {names[said[i]]} {probability[i]:.2f}",
        ]
        for i in chosen
    ]
    height, width = run.image_size
    pixels = [photos[predictions.ids[i]] for i in chosen]
    return np.array(pixels, np.uint8).reshape(len(pixels), height, width, 3), captions
