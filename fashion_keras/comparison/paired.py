"""Stored evaluations of several runs in; scores, paired differences and their intervals out."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence

import numpy as np

from fashion_keras.comparison.runs import StoredRun, pool_seeds, seed_of
from fashion_keras.errors import UserError
from fashion_keras.evaluation.intervals import paired_bootstrap, percentiles
from fashion_keras.metrics import METRICS, scores_of_classes

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
