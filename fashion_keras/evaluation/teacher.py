"""A trained run and records in; its probabilities of the training photos, for a student, out."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.soft_targets import SoftTargets
from fashion_keras.errors import UserError
from fashion_keras.evaluation.predictions import predict
from fashion_keras.run import load_run


def ask_teacher(
    teacher: str | os.PathLike,
    records: str | os.PathLike,
    labels: Sequence[str],
    weight: float,
    *,
    progress: bool = False,
) -> SoftTargets:
    """Run a teacher, with its decision, over every training photo.

    Of `labels`, those count that the teacher has a head for. `progress` draws a bar on stderr.
    Raises `UserError` where that is none, or where it was trained on other classes.
    """
    run = load_run(teacher, DatasetInfo.load(records))
    shared = [label for label in labels if label in run.labels]
    if not shared:
        raise UserError(
            f"the teacher {teacher} has no head for {', '.join(labels)}: "
            f"it has {', '.join(run.labels)}"
        )
    predictions = predict(run, records, "train", progress=progress)
    # Half precision keeps what a student can learn, and 16 MB of 31,000 photos by seven labels.
    probabilities = {label: predictions.probabilities(label).astype(np.float16) for label in shared}
    return SoftTargets(tuple(predictions.ids), probabilities, weight)
