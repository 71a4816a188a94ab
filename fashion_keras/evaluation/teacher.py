"""Trained runs and records in; their probabilities of the training photos, for a student, out."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from fashion_keras.data.pipeline import SoftTargets
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.evaluation.predictions import predict
from fashion_keras.run import load_run


def ask_teachers(
    teachers: Sequence[str | os.PathLike],
    records: str | os.PathLike,
    labels: Sequence[str],
    weight: float,
    *,
    progress: bool = False,
) -> SoftTargets:
    """Run teachers, each with its decision, over every training photo, and take the mean.

    Of `labels`, those count that a teacher has a head for, and of the teachers those that have
    it. `progress` draws a bar. Raises `UserError` where one has none of the labels, or
    was trained on other classes.
    """
    info = DatasetInfo.load(records)
    # All before the first is asked, which takes minutes: one that cannot teach is refused at once.
    runs = [load_run(teacher, info) for teacher in teachers]
    for run in runs:
        if not any(label in run.labels for label in labels):
            raise UserError(
                f"the teacher {run.path} has no head for {', '.join(labels)}: "
                f"it has {', '.join(run.labels)}"
            )
    said: dict[str, list[np.ndarray]] = {}
    for run in runs:
        predictions = predict(run, records, "train", progress=progress)
        for label in labels:
            if label in run.labels:
                said.setdefault(label, []).append(predictions.probabilities(label))
    # Half precision keeps what a student can learn, and 16 MB of 31,000 photos by seven labels.
    means = {
        label: np.mean(said[label], axis=0).astype(np.float16) for label in labels if label in said
    }
    return SoftTargets(tuple(predictions.ids), means, weight)
