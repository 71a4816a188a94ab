"""Evaluated runs in; scores, paired differences and their intervals out; no TensorFlow."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import itertools
import os
import re
import shlex
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fashion_keras.config import Config, load_config
from fashion_keras.data.schema import MISSING
from fashion_keras.errors import UserError
from fashion_keras.evaluation.files import PREDICTIONS_FILE
from fashion_keras.evaluation.intervals import paired_bootstrap, percentiles
from fashion_keras.metrics import METRICS, scores_of_classes
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
    common = os.path.commonprefix(names)  # noqa: RUF071, letters are meant
    # efficientnetb0-seed0 and efficientnetb0-seed1 are efficientnetb0.
    return re.sub(r"([-_. ]*(seed|s)?[-_. ]*)?\d*$", "", common) or names[0]


# ---- compared ----

COMPARED = tuple(metric for metric in METRICS if metric.compared)
SCORES = tuple(metric.key for metric in COMPARED)
CONFIDENCE = 0.95
RULES = {
    **{metric.key: metric.rule for metric in COMPARED},
    "interval": "percentile bootstrap over photos, the same photos for every run; a pooled "
    "config's score is the mean over its seeds. The seeds' variation is in sd, not in the interval",
    "sd": "standard deviation over seeds (n − 1)",
    "mcnemar": "exact: two-sided binomial test of the photos that only one run has right; of "
    "single runs only",
    "welch": "Welch's t-test of the seeds' scores, where both configs have at least two seeds",
    "won_lost": "photos of the class that only b, or only a, has right; with several seeds the "
    "sum over photos of the differing shares of seeds",
}


def compare_runs(runs: Sequence[StoredRun], *, resamples: int = 2000, seed: int = 0) -> dict:
    """Compare runs on the same photos, pooling the seeds of one config; ready for JSON.

    Args:
        runs: two or more, aligned as `load_stored_runs` returns them.
        resamples: of the paired bootstrap.
        seed: of the paired bootstrap.

    Returns:
        A dict of `split`, `label`, `num_examples`, `interval`, `rules`; `runs` with the scores
        of each; `groups` (a config with its seeds) with `value`, `low`, `high` and `sd` of each
        score; and `differences`, b − a for every pair of groups in the order given, with
        intervals, McNemar's test and each class's F1, photos won and photos lost.

    Raises:
        UserError: fewer than two runs, or no photo with a label.
    """
    if len(runs) < 2:
        raise UserError("a comparison needs at least two runs")
    first = runs[0]
    if not (first.truth >= 0).any():
        raise UserError(f"no photo of split {first.split!r} has a value for {first.label!r}")
    groups = pool_seeds(runs)
    number = {os.fspath(run.path): column for column, run in enumerate(runs)}
    members = {
        name: [number[os.fspath(run.path)] for run in pooled] for name, pooled in groups.items()
    }
    found = [scores_of_classes(run.truth, run.prediction, len(run.classes)) for run in runs]
    values = {name: np.array([getattr(one, name) for one in found]) for name in SCORES}
    predicted = [run.prediction for run in runs]
    options = {"resamples": resamples, "seed": seed}
    drawn = paired_bootstrap(first.truth, predicted, len(first.classes), **options)
    return {
        "split": first.split,
        "label": first.label,
        "num_examples": int((first.truth >= 0).sum()),
        "interval": {"confidence": CONFIDENCE, **options},
        "rules": RULES,
        "runs": [
            {"name": run.name, "path": os.fspath(run.path), "seed": seed_of(run)}
            | {name: float(values[name][column]) for name in SCORES}
            for column, run in enumerate(runs)
        ],
        "groups": [
            {
                "name": name,
                "runs": [runs[column].name for column in columns],
                **{score: _score(values[score], drawn[score], columns) for score in SCORES},
            }
            for name, columns in members.items()
        ],
        "differences": [
            _difference(runs, found, values, drawn, members, a, b)
            for a, b in itertools.combinations(members, 2)
        ],
    }


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided p of McNemar's exact test (McNemar, Psychometrika 12, 1947).

    `only_a` and `only_b` count the photos that only one of two models has right; if the models
    are equally good, each such photo is a fair coin. Photos both have right or wrong do not
    matter. Without any differing photo p is 1.
    """
    if not only_a + only_b:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_b, only_a + only_b, 0.5).pvalue)


def _score(values: np.ndarray, drawn: np.ndarray, columns: Sequence[int]) -> dict:
    low, high = percentiles(drawn[:, columns].mean(axis=1), CONFIDENCE)
    several = len(columns) > 1
    return {
        "value": float(values[columns].mean()),
        "low": low,
        "high": high,
        "sd": float(values[columns].std(ddof=1)) if several else None,
    }


def _difference(runs, found, values, drawn, members: Mapping[str, list[int]], a, b) -> dict:
    one, other = members[a], members[b]
    result: dict = {"a": a, "b": b}
    for score in SCORES:
        change = drawn[score][:, other].mean(axis=1) - drawn[score][:, one].mean(axis=1)
        low, high = percentiles(change, CONFIDENCE)
        result[score] = {
            "value": float(values[score][other].mean() - values[score][one].mean()),
            "low": low,
            "high": high,
            "welch_p": _welch(values[score][one], values[score][other]),
        }
    truth, classes = runs[0].truth, runs[0].classes
    right_a = np.mean([runs[column].prediction == truth for column in one], axis=0)
    right_b = np.mean([runs[column].prediction == truth for column in other], axis=0)
    known = truth >= 0
    gain = np.where(known, right_b - right_a, 0.0)
    result["mcnemar"] = None
    if len(one) == len(other) == 1:
        only_a, only_b = int((gain < 0).sum()), int((gain > 0).sum())
        result["mcnemar"] = {"only_a": only_a, "only_b": only_b, "p": mcnemar(only_a, only_b)}
    f1_a = np.mean([found[column].f1 for column in one], axis=0)
    f1_b = np.mean([found[column].f1 for column in other], axis=0)
    result["classes"] = [
        {
            "class": name,
            "support": int((truth == index).sum()),
            "f1_a": float(f1_a[index]),
            "f1_b": float(f1_b[index]),
            "won": float(gain[(truth == index) & (gain > 0)].sum()),
            "lost": float(abs(gain[(truth == index) & (gain < 0)].sum())),
        }
        for index, name in enumerate(classes)
    ]
    return result


def _welch(one: np.ndarray, other: np.ndarray) -> float | None:
    # Equal scores of all seeds leave nothing to divide by.
    if min(len(one), len(other)) < 2 or one.std() + other.std() == 0:
        return None
    from scipy.stats import ttest_ind

    return float(ttest_ind(one, other, equal_var=False).pvalue)
