"""Predictions in; which photos are worth a look out: confusions, sure mistakes, unsure hits."""

from __future__ import annotations

import dataclasses

import numpy as np

from fashion_keras.evaluation.predictions import Predictions


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Photos of one class that were taken for another.

    `truth` and `prediction` are class indices, `count` the photos, `share` their share of the
    true class's photos, `rows` int64 the surest of them, as positions in the predictions.
    """

    truth: int
    prediction: int
    count: int
    share: float
    rows: np.ndarray


def sure_mistakes(predictions: Predictions, label: str, most: int) -> np.ndarray:
    """Return the rows that were predicted wrongly, the most confident first, int64 `[≤ most]`."""
    wrong = np.flatnonzero(_known(predictions, label) & ~_right(predictions, label))
    return wrong[np.argsort(-_confidence(predictions, label)[wrong], kind="stable")][:most]


def unsure_hits(predictions: Predictions, label: str, most: int) -> np.ndarray:
    """Return the rows that were predicted rightly, the least confident first, int64 `[≤ most]`."""
    right = np.flatnonzero(_right(predictions, label))
    return right[np.argsort(_confidence(predictions, label)[right], kind="stable")][:most]


def largest_confusions(
    predictions: Predictions, label: str, *, most: int = 20, examples: int = 6
) -> list[Confusion]:
    """Return the pairs of classes that were confused most often, by count, then by share."""
    truth, said = predictions.truth[label], predictions.prediction(label)
    wrong = sure_mistakes(predictions, label, len(truth))
    pairs, counts = np.unique(
        np.stack([truth[wrong], said[wrong]], axis=1), axis=0, return_counts=True
    )
    found = []
    for (true, predicted), count in zip(pairs, counts, strict=True):
        rows = wrong[(truth[wrong] == true) & (said[wrong] == predicted)]
        share = count / (truth == true).sum()
        found.append(
            Confusion(int(true), int(predicted), int(count), float(share), rows[:examples])
        )
    found.sort(key=lambda pair: (-pair.count, -pair.share, pair.truth, pair.prediction))
    return found[:most]


def _known(predictions, label):
    return predictions.truth[label] >= 0


def _right(predictions, label):
    return predictions.prediction(label) == predictions.truth[label]


def _confidence(predictions, label):
    return predictions.probabilities(label).max(axis=1)
