"""A run and its records in; the run's decisions, fitted on validation, out."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from fashion_keras.config import DecisionConfig
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.tfrecord import read_records
from fashion_keras.decision.fitting import Step, fit_decision
from fashion_keras.decision.parameters import Decision
from fashion_keras.decision.parts import (
    Counts,
    class_shares,
    combinations_known,
    log_prior_of,
)
from fashion_keras.errors import UserError
from fashion_keras.evaluation.predictions import Predictions, predict
from fashion_keras.run import SEES, Run, check_run, save_decision


def calibrate_run(
    run: Run, records: str | os.PathLike, options: DecisionConfig, *, progress: bool = False
) -> tuple[Run, dict[str, list[Step]]]:
    """Fit decisions on the validation split and write them into the run's folder.

    One for the photo and, where the run takes titles, one for the title and one for both.
    Returns the run with them, and the scores after each part by what the model is given. Decisions
    that were there are replaced. Raises `UserError` as `predict` does, and where no validation
    photo has a label.
    """
    info = DatasetInfo.load(records)
    plain = Decision(run.label, flip=True) if options.flip else None
    photo = predict(
        dataclasses.replace(run, decision=plain), records, "validation", progress=progress
    )
    if not (photo.truth[run.label] >= 0).any():
        raise UserError(f"{records}: no validation photo has a {run.label}, nothing to fit on")
    counts = training_counts(records, info, list(run.labels), options)
    fit = functools.partial(fit_decision, labels=run.labels, counts=counts)
    found = {"photo": fit(options, photo)}
    if run.title is not None:
        bare = dataclasses.replace(run, title_decisions={})
        title = with_text(predict(bare, records, "validation", sees="title"))
        if not (title.truth[run.label] >= 0).any():
            raise UserError(f"{records}: no validation product with a {run.label} has a text")
        photo = dataclasses.replace(photo, truth=title.truth)
        found["title"] = fit(dataclasses.replace(options, flip=False), title)
        alone = found["photo"][0], found["title"][0]
        found["both"] = fit(options, photo, titles=title.logits, alone=alone)
    file = check_run(run.path)
    for sees, (decision, _) in found.items():
        save_decision(file.parent, decision, file.name, sees)
    decisions = {sees: decision for sees, (decision, _) in found.items()}
    photo_decision = decisions.pop("photo")
    run = dataclasses.replace(run, decision=photo_decision, title_decisions=decisions)
    return run, {sees: steps for sees, (_, steps) in found.items()}


def with_text(predictions: Predictions) -> Predictions:
    """Return predictions by title in which products without text have no label."""
    assert predictions.has_text is not None  # they are by title
    truth = {k: np.where(predictions.has_text, v, -1) for k, v in predictions.truth.items()}
    return dataclasses.replace(predictions, truth=truth)


def training_counts(
    records: str | os.PathLike, info: DatasetInfo, labels: list[str], options: DecisionConfig
) -> Counts:
    """Count what `fit_decision` needs of the training products; `labels` has the headline first."""
    counts = info.splits["train"].class_counts
    found = Counts(
        {}, log_prior_of(counts[labels[0]]), {}, {k: class_shares(counts[k]) for k in labels}
    )
    if len(labels) < 2 or not (options.combine or options.agree):
        return found  # which classes occur together would take a look at every record
    indices = read_records(records, info, "train", labels).map(
        lambda product: product["index"], num_parallel_calls=tf.data.AUTOTUNE
    )
    indices = np.concatenate([*indices.batch(4096).as_numpy_iterator()])
    return dataclasses.replace(
        found,
        joint=_joint_counts(indices, info, labels) if options.combine else {},
        combinations=combinations_known(indices, labels) if options.agree else {},
    )


def _joint_counts(
    indices: np.ndarray, info: DatasetInfo, labels: list[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Count the training products of each pair of classes of each pair of labels.

    Returns a label to the others, int64 `[other's classes, label's classes]`.
    """
    counts: dict[str, dict[str, np.ndarray]] = {name: {} for name in labels}
    for (column, name), (other_column, other) in itertools.permutations(enumerate(labels), 2):
        pairs = indices[:, [other_column, column]]
        found = np.zeros((len(info.vocabulary(other)), len(info.vocabulary(name))), np.int64)
        np.add.at(found, tuple(pairs[(pairs >= 0).all(axis=1)].T), 1)
        counts[name][other] = found
    return counts


def calibration_table(run: Run, steps: Mapping[str, Sequence[Step]] | None = None) -> str:
    """Lay out what each part gave and which products of a calibrated run need no person.

    By what the model is given, for the terminal; without `steps` the second alone.
    """
    lines = []
    for sees in SEES:
        if decision := run.decision_for(sees):
            if run.title is not None:
                lines.append(f"{'by photo and title' if sees == 'both' else f'by the {sees}'}:")
            lines += _steps_lines(steps[sees]) if steps else []
            lines += [*_acceptance_lines(run, decision), ""]
    return "\n".join(lines).rstrip()


def _steps_lines(steps: Sequence[Step]) -> list[str]:
    return [f"{'validation':<28} accuracy  macro-F1     NLL     ECE"] + [
        f"{step.part:<28} {step.accuracy:>8.4f}  {step.macro_f1:>8.4f}  {step.nll:>6.4f}  "
        f"{step.ece:>6.4f}"
        for step in steps
    ]


def _acceptance_lines(run: Run, decision: Decision) -> list[str]:
    lines = [f"{'needs no person':<28} threshold  photos   error  target"]
    for label in run.labels:
        if accept := decision.accept.get(label):
            lines.append(
                f"{label:<28} {accept.threshold:>9.4f}  {accept.coverage:>6.1%}  "
                f"{accept.error:>6.2%}  {accept.target_error:>6.2%}"
            )
        else:
            lines.append(f"{label:<28} no threshold reaches the target: all need a person")
    return lines
