"""A config and records in; probabilities of each photo by a model that never saw it out."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fashion_keras.auditing.folds import assign_folds, write_fold
from fashion_keras.auditing.photos import RecordedPhotos
from fashion_keras.config import Config
from fashion_keras.data.near_duplicates import find_pairs, group_numbers
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.evaluation.predictions import predict
from fashion_keras.run import CONFIG_FILE, check_records, load_run, save_config, save_records


@dataclasses.dataclass(frozen=True)
class OutOfSample:
    """Photos with a label, and what models that did not train on them say.

    `truth` are class indices int64 `[N]` (-1: no label), `probabilities` `[N, C]`.
    """

    ids: list[str]
    splits: list[str]
    truth: np.ndarray
    probabilities: np.ndarray


def predict_unseen(
    runs: list, records: str | os.PathLike, splits: list[str], label: str, *, progress: bool
) -> OutOfSample:
    """Predict splits that the runs did not train on; of several runs, the mean probability.

    `runs` are of `load_run`. Which photos a run has seen is not known to this function: give it
    no training split.
    """
    parts = []
    for split in splits:
        every = [predict(run, records, split, progress=progress) for run in runs]
        mean = np.mean([one.probabilities(label) for one in every], axis=0)
        first = every[0]
        parts.append(OutOfSample(first.ids, [split] * len(first.ids), first.truth[label], mean))
    return _joined(parts)


def cross_fit(
    config: Config,
    records: str | os.PathLike,
    photos: RecordedPhotos,
    workdir: str | os.PathLike,
    folds: int,
    *,
    say: Callable[[str], None] = print,
    progress: bool = False,
) -> OutOfSample:
    """Train `folds` models in `workdir`, each on all but one fold of the training split.

    Near-duplicates are in one fold. A fold that is done is not trained again, and one that was
    stopped goes on from its last checkpoint. Raises `UserError` where `workdir` holds folds of
    other records, of another config or number of folds.
    """
    workdir = Path(workdir)
    label = config.data.label
    if unreadable := photos.hashes.unreadable:
        id, reason = next(iter(unreadable.items()))
        raise UserError(
            f"{records}: {len(unreadable):,} photos cannot be decoded, the first {id} ({reason}).\n"
            "Nothing can be trained on them: convert the catalogue again"
        )
    numbers = group_numbers(len(photos.ids), find_pairs(photos.hashes))
    inside = np.flatnonzero(photos.splits == "train")
    classes = photos.labels[label][inside]
    fold_of = dict(
        zip(
            [photos.ids[index] for index in inside],
            assign_folds(classes.tolist(), numbers[inside].tolist(), folds).tolist(),
            strict=True,
        )
    )
    parts = []
    for fold in range(folds):
        say(f"fold {fold + 1} of {folds}")
        run = workdir / f"fold-{fold + 1}-of-{folds}"
        fold_records = workdir / "records" / run.name
        parts.append(_one_fold(config, records, fold_records, run, fold_of, fold, say, progress))
    shutil.rmtree(workdir / "records")  # the runs are kept: `--model` can take them
    return _joined(parts)


def _one_fold(config, records, fold_records, run, fold_of, fold, say, progress) -> OutOfSample:
    from fashion_keras.training.trainer import train

    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, records=os.fspath(fold_records))
    )
    write_fold(records, fold_records, fold_of, fold)
    info = DatasetInfo.load(fold_records)
    _prepare(run, config, info, fold_records)
    train(config, fold_records, run, say=say)
    trained = load_run(run)
    found = predict_unseen([trained], fold_records, ["test"], config.data.label, progress=progress)
    return dataclasses.replace(found, splits=["train"] * len(found.ids))


def _prepare(run: Path, config: Config, info: DatasetInfo, fold_records: Path) -> None:
    """Make a fold's run, or check that the one that is there is of this config and these photos."""
    from fashion_keras.config import load_config

    if not (run / CONFIG_FILE).is_file():
        run.mkdir(parents=True, exist_ok=True)
        save_config(run, config)
        save_records(run, info)
        return
    if load_config(run / CONFIG_FILE) != config:
        raise UserError(
            f"{run} was trained with another config: give the one it began with, or another "
            "--output"
        )
    check_records(run, info, fold_records)


def _joined(parts: list[OutOfSample]) -> OutOfSample:
    return OutOfSample(
        [id for part in parts for id in part.ids],
        [split for part in parts for split in part.splits],
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
    )
