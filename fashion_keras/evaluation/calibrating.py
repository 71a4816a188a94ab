"""A run and its records in; the run's `decision.json`, fitted on validation, out."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from fashion_keras.config import DecisionConfig
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.tfrecord import read_records
from fashion_keras.decision import Decision
from fashion_keras.errors import UserError
from fashion_keras.evaluation.fitting import Step, fit_decision
from fashion_keras.evaluation.predictions import predict
from fashion_keras.run import DECISION_FILE, Run


def calibrate_run(
    run: Run, records: str | os.PathLike, options: DecisionConfig, *, progress: bool = False
) -> tuple[Run, list[Step]]:
    """Fit a decision on the validation split and write it into the run's folder.

    Returns the run with its decision, and the scores after each part. A decision that was there
    is replaced. Raises `UserError` as `predict` does, and where no validation photo has a label.
    """
    info = DatasetInfo.load(records)
    plain = Decision(run.label, flip=True) if options.flip else None
    predictions = predict(
        dataclasses.replace(run, decision=plain), records, "validation", progress=progress
    )
    if not (predictions.truth[run.label] >= 0).any():
        raise UserError(f"{records}: no validation photo has a {run.label}, nothing to fit on")
    finer = [name for name in run.labels if name != run.label] if options.combine else []
    decision, steps = fit_decision(
        options,
        predictions,
        run.labels,
        joint_counts(records, info, run.label, finer),
        info.splits["train"].class_counts[run.label],
    )
    folder = run.path if run.path.is_dir() else run.path.parent
    decision.save(Path(folder) / DECISION_FILE)
    return dataclasses.replace(run, decision=decision), steps


def joint_counts(
    records: str | os.PathLike, info: DatasetInfo, headline: str, others: list[str]
) -> dict[str, np.ndarray]:
    """Count the training products of each pair of classes, int64 `[C, headline's C]` a label."""
    size = len(info.vocabulary(headline))
    counts = {name: np.zeros((len(info.vocabulary(name)), size), np.int64) for name in others}
    if not others:
        return counts
    indices = read_records(records, info, "train", [headline, *others]).map(
        lambda product: product["index"], num_parallel_calls=tf.data.AUTOTUNE
    )
    for batch in indices.batch(4096).as_numpy_iterator():
        for column, name in enumerate(others, start=1):
            both = batch[(batch[:, 0] >= 0) & (batch[:, column] >= 0)]
            np.add.at(counts[name], (both[:, column], both[:, 0]), 1)
    return counts


def steps_table(steps: list[Step]) -> str:
    """Lay out what each part gave, for the terminal."""
    lines = [f"{'validation':<28} accuracy  macro-F1     NLL     ECE"]
    lines += [
        f"{step.part:<28} {step.accuracy:>8.4f}  {step.macro_f1:>8.4f}  {step.nll:>6.4f}  "
        f"{step.ece:>6.4f}"
        for step in steps
    ]
    return "\n".join(lines)


def acceptance_line(decision: Decision) -> str:
    """Say which photos need no person."""
    if decision.accept is None:
        return "no threshold reaches the target error on validation: every photo needs a person"
    accept = decision.accept
    return (
        f"accept at {accept.threshold:.4f}: {accept.coverage:.1%} of the photos need no person, "
        f"error {accept.error:.2%} (target {accept.target_error:.2%})"
    )
