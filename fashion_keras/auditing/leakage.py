"""Predictions, and which of their photos have a near-duplicate in training, in; scores out."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Set
from pathlib import Path

import numpy as np

from fashion_keras.errors import UserError
from fashion_keras.evaluation.intervals import bootstrap_intervals
from fashion_keras.text import from_cell
from fashion_keras.training.metrics import confusion_matrix, scores

CONFIDENCE = 0.95
COLUMNS = ("id", "truth", "prediction")


def read_predictions(path: str | os.PathLike) -> tuple[list[str], list[str], list[str]]:
    """Return ids, truths and predictions of a `predictions.csv.gz` (or `.csv`) of `evaluate`.

    Raises `UserError` where the file is missing, damaged, or has other columns.
    """
    path = Path(path)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise UserError(
                    f"{path} has columns {', '.join(reader.fieldnames or ())}: expected "
                    f"{', '.join(COLUMNS)}, as python -m fashion_keras.evaluate writes them"
                )
            rows = [tuple(row[name] for name in COLUMNS) for row in reader]
            if any(None in row for row in rows):
                raise ValueError(f"cut short in line {reader.line_num}, evaluate again")
            rows = [tuple(map(from_cell, row)) for row in rows]
    except (OSError, EOFError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read the predictions {path}: {reason}") from None
    if not rows:
        raise UserError(f"{path} holds no predictions")
    ids, truth, prediction = zip(*rows, strict=True)
    return list(ids), list(truth), list(prediction)


def scores_with_and_without(
    ids: list[str],
    truth: list[str],
    prediction: list[str],
    duplicated: Set[str],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict:
    """Score all photos, those in `duplicated` alone, and the others alone; ready for JSON.

    Each part has `num_examples` and `accuracy` and `macro_f1` with percentile bootstrap intervals
    (None for a part without photos). `inflation` is the accuracy of all photos less that without
    the duplicated ones, with an interval from resampling all photos: what the near-duplicates
    add to the published score. Photos without a truth are left out.
    """
    known = [index for index, name in enumerate(truth) if name]
    if not known:
        raise UserError("the predictions hold no photo with a label")
    classes = sorted({truth[i] for i in known} | {prediction[i] for i in known})
    index = {name: place for place, name in enumerate(classes)}
    true = np.array([index[truth[i]] for i in known])
    said = np.array([index[prediction[i]] for i in known])
    twice = np.array([ids[i] in duplicated for i in known])

    def part(chosen: np.ndarray) -> dict | None:
        if not chosen.any():
            return None
        matrix = confusion_matrix(true[chosen], said[chosen], len(classes))
        found = scores(matrix)
        bounds = bootstrap_intervals(matrix, resamples=resamples, confidence=CONFIDENCE, seed=seed)
        return {
            "num_examples": int(chosen.sum()),
            **{
                name: {
                    "value": getattr(found, name),
                    "low": bounds[name][0],
                    "high": bounds[name][1],
                }
                for name in ("accuracy", "macro_f1")
            },
        }

    return {
        "all": part(np.ones(len(known), bool)),
        "with_near_duplicate_in_train": part(twice),
        "without": part(~twice),
        "inflation": _inflation(true == said, twice, resamples, seed),
    }


def _inflation(right: np.ndarray, twice: np.ndarray, resamples: int, seed: int) -> dict | None:
    if twice.all():
        return None
    counts = np.array([(right & ~twice).sum(), (~right & ~twice).sum(),
                       (right & twice).sum(), (~right & twice).sum()])  # fmt: skip
    drawn = np.random.default_rng(seed).multinomial(len(right), counts / len(right), size=resamples)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(_difference(drawn), (tail, 1 - tail))
    value = float(_difference(counts[None])[0])
    return {"value": value, "low": float(low), "high": float(high)}


def _difference(counts: np.ndarray) -> np.ndarray:
    """Return accuracy of all less accuracy without the duplicated, for counts `[R, 4]`."""
    right, wrong, right_twice, _ = counts.T
    total = counts.sum(axis=1)
    alone = right + wrong
    without = np.divide(right, alone, out=np.full(len(counts), np.nan), where=alone > 0)
    return (right + right_twice) / total - without
