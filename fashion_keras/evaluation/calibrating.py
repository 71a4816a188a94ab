"""A run and its records in; the run's `decision.json`, fitted on validation, out."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import tensorflow as tf

from fashion_keras.config import DecisionConfig
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.tfrecord import read_records
from fashion_keras.decision.fitting import Step, fit_decision
from fashion_keras.decision.parameters import Decision
from fashion_keras.errors import UserError
from fashion_keras.evaluation.predictions import predict
from fashion_keras.run import Run, check_run, save_decision


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
    decision, steps = fit_decision(
        options,
        predictions,
        run.labels,
        joint_counts(records, info, list(run.labels)) if options.combine else {},
        info.splits["train"].class_counts[run.label],
    )
    file = check_run(run.path)
    save_decision(file.parent, decision, file.name)
    return dataclasses.replace(run, decision=decision), steps


def joint_counts(
    records: str | os.PathLike, info: DatasetInfo, labels: list[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Count the training products of each pair of classes of each pair of labels.

    Returns a label to the others, int64 `[other's classes, label's classes]`.
    """
    sizes = [len(info.vocabulary(name)) for name in labels]
    indices = read_records(records, info, "train", labels).map(
        lambda product: product["index"], num_parallel_calls=tf.data.AUTOTUNE
    )
    indices = np.concatenate([*indices.batch(4096).as_numpy_iterator()])
    counts: dict[str, dict[str, np.ndarray]] = {}
    for column, name in enumerate(labels):
        counts[name] = {}
        for other_column, other in enumerate(labels):
            if other == name:
                continue
            both = indices[(indices[:, column] >= 0) & (indices[:, other_column] >= 0)]
            pairs = both[:, other_column] * sizes[column] + both[:, column]
            found = np.bincount(pairs, minlength=sizes[other_column] * sizes[column])
            counts[name][other] = found.reshape(sizes[other_column], sizes[column])
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


def acceptance_table(run: Run) -> str:
    """Lay out which photos of a calibrated run need no person, a line a label."""
    decision = run.decision
    assert decision is not None  # as `calibrate_run` returns it
    lines = [f"{'needs no person':<28} threshold  photos   error  target"]
    for label in run.labels:
        if accept := decision.accept.get(label):
            lines.append(
                f"{label:<28} {accept.threshold:>9.4f}  {accept.coverage:>6.1%}  "
                f"{accept.error:>6.2%}  {accept.target_error:>6.2%}"
            )
        else:
            lines.append(f"{label:<28} no threshold reaches the target: all need a person")
    return "\n".join(lines)
