"""Paths of runs in, their stored evaluations with config and history out; no TensorFlow."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import os
import re
import shlex
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fashion_keras.config import Config, load_config
from fashion_keras.data.schema import MISSING
from fashion_keras.errors import UserError
from fashion_keras.evaluation.files import PREDICTIONS_FILE
from fashion_keras.reading import LIMIT, damaged, read_bytes
from fashion_keras.run import CONFIG_FILE, EVALUATION_FILE, HISTORY_FILE
from fashion_keras.stored_scores import read_evaluation, read_history
from fashion_keras.text import command, from_cell

_MEND = "evaluate the run again"


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """One run's evaluation of a split, as `fashion-keras evaluate` left it.

    `ids` are the photos; `truth` (-1 where there is no label) and `prediction` index `classes`,
    int64 `[N]`. `config` is None where there is none that this version can read, `history` the
    rows of `history.csv` as numbers.
    """

    name: str
    path: Path
    split: str
    label: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    truth: np.ndarray
    prediction: np.ndarray
    config: Config | None
    history: tuple[dict[str, float], ...]


def load_stored_runs(paths: Sequence[str | os.PathLike], split: str) -> list[StoredRun]:
    """Read what `fashion-keras evaluate` stored of each run, and check that they can be compared.

    A path is a run's folder, or a folder that holds the evaluation itself. The runs' photos are
    brought into the first one's order. Raises `UserError` where an evaluation is missing or
    damaged, a run is given twice, or labels, photos or their true classes differ.
    """
    folders = [Path(path) for path in paths]
    resolved = [folder.resolve() for folder in folders]
    for folder, real in zip(folders, resolved, strict=True):
        if resolved.count(real) > 1:
            raise UserError(f"{folder} is given twice: name two different runs")
    runs = [_load(folder, split) for folder in folders]
    names = [run.name for run in runs]
    runs = [
        run if names.count(run.name) == 1 else dataclasses.replace(run, name=os.fspath(run.path))
        for run in runs
    ]
    return [runs[0], *(_aligned(run, runs[0]) for run in runs[1:])]


def pool_seeds(runs: Sequence[StoredRun]) -> dict[str, list[StoredRun]]:
    """Group the runs whose configs differ in `training.seed` alone, in order of appearance.

    A group of several is called by what their names begin with. A run without a config, and a
    run again of a config and seed, is a group of its own.
    """
    groups: list[list[StoredRun]] = []
    for run in runs:
        found = next((group for group in groups if _is_seed_of(run, group)), None)
        if found is None:
            groups.append([run])
        else:
            found.append(run)
    named: dict[str, list[StoredRun]] = {}
    names = {run.name for run in runs}
    for group in groups:
        own = {run.name for run in group}
        name = _common_name([run.name for run in group])
        # runs/resnet18-1 and -2 are no resnet18 where a run of that name is compared with them.
        named[group[0].name if name in named or name in names - own else name] = group
    return named


def seed_of(run: StoredRun) -> int | None:
    """Return a run's training seed, None where it is not known."""
    return run.config.training.seed if run.config else None


def _load(path: Path, split: str) -> StoredRun:
    folder, evaluation = _find_evaluation(path, split)
    ids, true_names, predicted_names = _read_predictions(evaluation / PREDICTIONS_FILE)
    raw = read_evaluation(evaluation / EVALUATION_FILE)
    try:
        label, classes = raw["label"], tuple(row["class"] for row in raw["per_class"])
        index = {name: i for i, name in enumerate(classes)} | {"": MISSING}
        truth = np.array([index[name] for name in true_names], np.int64)
        prediction = np.array([index[name] for name in predicted_names], np.int64)
        if int((truth >= 0).sum()) != raw["num_examples"]:
            raise ValueError(f"{len(ids):,} photos, expected {raw['num_examples']:,}")
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{evaluation}: {PREDICTIONS_FILE} and {EVALUATION_FILE} do not fit each other "
            f"({error!r}). Evaluate the run again"
        ) from None
    config = None
    if (folder / CONFIG_FILE).is_file():
        try:
            config = load_config(folder / CONFIG_FILE)
        except UserError:  # of another version: the predictions can be compared all the same
            config = None
    file = folder / HISTORY_FILE
    history = read_history(file) if file.is_file() else ()
    name = folder.resolve().name
    return StoredRun(name, path, split, label, classes, ids, truth, prediction, config, history)


def _find_evaluation(path: Path, split: str) -> tuple[Path, Path]:
    """Return the run's folder and the folder of its evaluation of a split."""
    if not path.is_dir():
        raise UserError(f"no run at {path}: expected a training run's folder")
    inside = path / f"evaluation-{split}"
    if (inside / PREDICTIONS_FILE).is_file() and (inside / EVALUATION_FILE).is_file():
        return path, inside
    if (path / PREDICTIONS_FILE).is_file() and (path / EVALUATION_FILE).is_file():
        found = read_evaluation(path / EVALUATION_FILE)["split"]
        if found == split:
            own = (path / CONFIG_FILE).is_file() or not (path.parent / CONFIG_FILE).is_file()
            return (path if own else path.parent), path
        raise UserError(f"{path} holds an evaluation of split {found!r}: give --split {found}")
    raise UserError(
        f"{path} has no evaluation of split {split!r} ({inside.name}/{PREDICTIONS_FILE}): make it\n"
        + command("evaluate", "--model", path, "--data", "DIR", "--split", split)
    )


def _read_predictions(path: Path) -> tuple[tuple[str, ...], list[str], list[str]]:
    data = read_bytes(path)
    try:
        with gzip.open(io.BytesIO(data)) as file:
            text = file.read(LIMIT + 1)
        if len(text) > LIMIT:
            raise ValueError(f"it unpacks to more than {LIMIT / 2**20:,.0f} MiB")
        rows = [
            tuple(from_cell(row[name]) for name in ("id", "truth", "prediction"))
            for row in csv.DictReader(io.StringIO(text.decode("utf-8"), newline=""), strict=True)
        ]
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise damaged(path, error, _MEND) from None
    except (KeyError, AttributeError):  # a column, or a row's cell, is not there
        raise damaged(path, "it lacks id, truth or prediction", _MEND) from None
    if not rows:
        raise UserError(f"{path} holds no predictions: {_MEND}")
    ids, truth, prediction = zip(*rows, strict=True)
    return ids, list(truth), list(prediction)


def _aligned(run: StoredRun, first: StoredRun) -> StoredRun:
    """Return the run with its photos in the first one's order, or say why that is no comparison."""
    both = f"{first.path} and {run.path}"
    if run.label != first.label:
        raise UserError(
            f"{both} were evaluated on different labels ({first.label}, {run.label}): evaluate "
            f"both on one\n(evaluate --label {shlex.quote(first.label)}) and name the folders that "
            "it writes"
        )
    if run.classes != first.classes:
        raise UserError(
            f"{both} have different classes of {run.label}: train both on the same records"
        )
    missing, foreign = set(first.ids) - set(run.ids), set(run.ids) - set(first.ids)
    if missing or foreign:
        raise UserError(
            f"{both} were evaluated on different {run.split} photos: {len(missing):,} only in the "
            f"first, {len(foreign):,} only in the second.\n"
            "Evaluate both on the same records, else the difference says nothing"
        )
    place = {id: row for row, id in enumerate(run.ids)}
    order = np.array([place[id] for id in first.ids])
    truth, prediction = run.truth[order], run.prediction[order]
    differing = np.flatnonzero(truth != first.truth)
    if len(differing):
        raise UserError(
            f"{both} were evaluated against different labels of {len(differing):,} photos (e.g. "
            f"{first.ids[differing[0]]}).\nEvaluate both on the same records"
        )
    return dataclasses.replace(run, ids=first.ids, truth=truth, prediction=prediction)


def _is_seed_of(run: StoredRun, group: Sequence[StoredRun]) -> bool:
    if run.config is None or group[0].config is None:
        return False
    is_new = seed_of(run) not in map(seed_of, group)
    return is_new and _without_seed(run.config) == _without_seed(group[0].config)


def _without_seed(config: Config) -> dict:
    raw = config.to_dict()
    del raw["training"]["seed"]
    return raw


def _common_name(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    # Of strings in order, what all begin with is what the first and the last begin with.
    first, last = min(names), max(names)
    same = [a == b for a, b in zip(first, last, strict=False)]
    common = first[: same.index(False) if False in same else len(same)]
    # efficientnetb0-seed0 and efficientnetb0-seed1 are efficientnetb0.
    common = re.sub(r"([-_. ]*(seed|s)?[-_. ]*)?\d*$", "", common)
    return common or names[0]
