"""Predictions of a split and of validation in; what they say beyond the scores out, as a dict.

How far the probabilities can be trusted, how much needs no person, what is confused, and how
rare classes fare. Everything is of the headline label, but what needs no person is of each label;
ready for JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from fashion_keras.decision.automation import (
    CERTAINTY,
    automation_curve,
    check_by_class,
    check_threshold,
    threshold_for,
)
from fashion_keras.decision.calibration import (
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability_bins,
)
from fashion_keras.decision.parameters import Acceptance, Decision
from fashion_keras.evaluation.intervals import bootstrap_intervals
from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.report.examples import largest_confusions

# Training photos of a class: from, up to but without.
_TAIL = ((0, 10), (10, 100), (100, 1000), (1000, None))


def long_tail(per_class: Sequence[dict]) -> list[dict] | None:
    """Group the classes that the split has photos of by their number of training photos.

    `mean_f1` weighs classes alike, `recall` photos alike; both are None in an empty group. None
    where training photos were not counted.
    """
    if any(row["train_support"] is None for row in per_class):
        return None
    groups = []
    for low, high in _TAIL:
        rows = [
            row
            for row in per_class
            if row["support"] and low <= row["train_support"] < (high or np.inf)
        ]
        photos = sum(row["support"] for row in rows)
        hits = sum(row["recall"] * row["support"] for row in rows)
        groups.append(
            {
                "train_from": low,
                "train_below": high,
                "classes": len(rows),
                "photos": photos,
                "mean_f1": float(np.mean([row["f1"] for row in rows])) if rows else None,
                "recall": hits / photos if photos else None,
            }
        )
    return groups


TARGET_ERROR = 0.01
BINS = 15
_CURVE_POINTS = 201


def insights(
    predictions: Predictions,
    validation: Predictions | None,
    result: dict,
    decision: Decision | None,
    target_error: float | None = None,
) -> dict:
    """Add to an evaluation what a report shows.

    Args:
        predictions: of the reported split, by the run's predictor.
        validation: of the validation split, by the same; None where the decision holds both
            temperature and threshold, or where there is no such split.
        result: of `evaluate_predictions`; not changed.
        decision: the run's, or None.
        target_error: of the automation; None takes the decision's, or `TARGET_ERROR`.

    Returns:
        `result` with `stratified_interval`, `calibration`, `automation`, `confusions` and
        `long_tail`, before `rules` and `heads`; each head has `automation` too.
    """
    label = result["label"]
    rules = result["rules"]
    heads = dict(result["heads"])
    for name, head in heads.items():
        if head["num_examples"]:
            of_head = {"label": name, "per_class": head["per_class"]}
            found = automation(predictions, validation, of_head, decision, target_error)
            heads[name] = {**head, "automation": found}
    return {
        **{key: value for key, value in result.items() if key not in ("heads", "rules")},
        "stratified_interval": _stratified(result),
        "calibration": calibration(predictions, validation, label, decision),
        "automation": automation(predictions, validation, result, decision, target_error),
        "confusions": _confusions(predictions, result),
        "long_tail": long_tail(result["per_class"]),
        "rules": rules,
        "heads": heads,
    }


def calibration(
    predictions: Predictions,
    validation: Predictions | None,
    label: str,
    decision: Decision | None,
) -> dict:
    """Say how well probabilities fit, before and after the temperature.

    The temperature is the decision's, where it is in the predictions already, or else fitted on
    `validation`; without either there is only `before`.
    """
    truth, logits = predictions.truth[label], predictions.logits[label].astype(np.float64)
    built_in = decision.temperature.get(label) if decision else None
    found: dict[str, Any] = {
        "temperature": built_in,
        "built_in": built_in is not None,
        "fitted_on": None,
    }
    if decision and built_in is not None:
        before, after = logits * built_in, logits
        found |= {"fitted_on": decision.fitted_on, "num_fitted": decision.num_examples}
    elif validation is not None and (validation.truth[label] >= 0).any():
        temperature = fit_temperature(validation.logits[label], validation.truth[label])
        before, after = logits, logits / temperature
        fitted = int((validation.truth[label] >= 0).sum())
        found |= {"temperature": temperature, "fitted_on": validation.split, "num_fitted": fitted}
    else:
        before, after = logits, None
    found["bins"] = BINS
    found["before"] = _fit_of(before, truth)
    found["after"] = None if after is None else _fit_of(after, truth)
    return found


def automation(
    predictions: Predictions,
    validation: Predictions | None,
    result: dict,
    decision: Decision | None,
    target_error: float | None,
) -> dict:
    """Say what the threshold for a target error, chosen on validation, does to this split."""
    label = result["label"]
    own = decision.accept.get(label) if decision else None
    target_error = target_error or (own.target_error if own else TARGET_ERROR)
    confidence, correct, prediction = _sureness(predictions, label)
    accept = own
    chosen_on: str | None = decision.fitted_on if decision and own else None
    if own is None or own.target_error != target_error:
        accept, chosen_on = _choose(validation, label, target_error)
    found = {
        "target_error": target_error,
        "certainty": CERTAINTY,
        "chosen_on": chosen_on,
        "is_the_runs_own": accept is not None and accept == own,
        "threshold": accept.threshold if accept else None,
        "when_chosen": accept and {"coverage": accept.coverage, "error": accept.error},
        "check": None,
        "per_class": None,
        "curve": _sampled_curve(confidence, correct),
    }
    if accept:
        found["check"] = dataclasses.asdict(check_threshold(confidence, correct, accept.threshold))
        classes = [row["class"] for row in result["per_class"]]
        checks = check_by_class(prediction, confidence, correct, accept.threshold, len(classes))
        found["per_class"] = [
            {"class": name, **dataclasses.asdict(check)}
            for name, check in zip(classes, checks, strict=True)
        ]
    return found


def _stratified(result):
    interval = result["interval"]
    found = bootstrap_intervals(
        np.array(result["confusion_matrix"]["counts"]),
        resamples=interval["resamples"],
        confidence=interval["confidence"],
        seed=interval["seed"],
        stratified=True,
    )
    return {
        "method": "percentile bootstrap over photos, within each true class",
        **{name: {"low": low, "high": high} for name, (low, high) in found.items()},
    }


def _fit_of(logits, truth):
    probabilities = softmax(logits, axis=1)
    bins = reliability_bins(probabilities, truth, BINS)
    return {
        "nll": negative_log_likelihood(logits, truth),
        "ece": expected_calibration_error(probabilities, truth, BINS),
        "reliability": [
            {
                "low": float(bins.edges[number]),
                "high": float(bins.edges[number + 1]),
                "photos": int(bins.count[number]),
                "hits": int(bins.hits[number]),
                "confidence": float(bins.confidence[number]),
                "accuracy": float(bins.accuracy[number]),
            }
            for number in np.flatnonzero(bins.count)
        ],
    }


def _choose(validation, label, target_error) -> tuple[Acceptance | None, str | None]:
    if validation is None or not (validation.truth[label] >= 0).any():
        return None, None
    confidence, correct, _ = _sureness(validation, label)
    return threshold_for(confidence, correct, target_error), validation.split


def _sureness(predictions, label):
    """Return confidence, whether it was right, and the class of each photo with a label."""
    known = predictions.truth[label] >= 0
    confidence, correct = predictions.confidence(label), predictions.is_right(label)
    return confidence[known], correct[known], predictions.prediction(label)[known]


def _sampled_curve(confidence, correct):
    curve = automation_curve(confidence, correct)
    # By coverage, evenly, and both ends: thousands of points would say no more.
    wanted = np.linspace(0, 1, _CURVE_POINTS)
    rows = np.unique(np.clip(np.searchsorted(curve.coverage, wanted), 0, len(curve.coverage) - 1))
    return {name: values[rows].tolist() for name, values in vars(curve).items()}


def _confusions(predictions, result):
    classes = [row["class"] for row in result["per_class"]]
    return [
        {
            "truth": classes[pair.truth],
            "prediction": classes[pair.prediction],
            "count": pair.count,
            "share": pair.share,
            "ids": [predictions.ids[row] for row in pair.rows],
        }
        for pair in largest_confusions(predictions, result["label"])
    ]
