"""Predictions in; a dict of scores with intervals, per class and per head, out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

import fashion_keras
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.decision.automation import check_threshold
from fashion_keras.decision.parameters import Acceptance
from fashion_keras.errors import UserError
from fashion_keras.evaluation.intervals import bootstrap_intervals
from fashion_keras.evaluation.predictions import Predictions, predict
from fashion_keras.metrics import METRICS, confusion_matrix, scores
from fashion_keras.run import CONFIG_FILE, Run

CONFIDENCE = 0.95
RULES = {
    "prediction": "the class with the highest logit",
    **{metric.key: metric.rule for metric in METRICS},
    "top_3_accuracy": "share of the photos whose label is among the three likeliest classes",
    "acceptance": "a photo is accepted where the probability of its predicted class is at least "
    "the label's threshold; the error is the wrong share of the accepted, with its exact 95% "
    "interval",
    "division_by_zero": "precision, recall and F1 are 0 where they would divide by zero",
    "missing_label": "photos without a value in a label column are left out of its scores",
    "interval": "percentile bootstrap over photos; the model stays fixed, so it does not hold "
    "the variation between training seeds. A rare class is missing from many resamples, which "
    "pulls macro_f1_all down",
}


def evaluate_run(
    run: Run,
    records: str | os.PathLike,
    split: str,
    *,
    resamples: int = 2000,
    seed: int = 0,
    batch_size: int = 256,
    sees: str = "photo",
    progress: bool = False,
) -> tuple[dict, Predictions]:
    """Predict a split with a run's model and score every head.

    `sees` is what the model is given, as of `predict`.
    Returns `evaluate_predictions`' dict, which also says which model and records it is of, and
    the predictions. Raises `UserError` as `predict` and `evaluate_predictions` do.
    """
    predictions = predict(run, records, split, batch_size=batch_size, sees=sees, progress=progress)
    info = DatasetInfo.load(records)
    train = info.splits.get("train")
    decision = run.decision_for(sees)
    result = evaluate_predictions(
        predictions,
        run.labels,
        resamples=resamples,
        seed=seed,
        train_counts=train.class_counts if train else None,
        accept=decision.accept if decision else None,
    )
    folder = run.path if run.path.is_dir() else run.path.parent
    origin = {
        "model": os.fspath(run.path),
        "config": os.fspath(folder / CONFIG_FILE) if run.config else None,
        "made_from": run.fingerprints(sees),
        "arch": run.model.name,
        "image_size": list(run.image_size),
        "records": os.fspath(records),
        "records_source": info.source,
        "records_split": info.split,
        "fashion_keras": fashion_keras.__version__,
    }
    if run.title is not None:
        origin["sees"] = sees
    heads = result.pop("heads")
    return {**result, **origin, "heads": heads}, predictions


def evaluate_predictions(
    predictions: Predictions,
    labels: Mapping[str, Sequence[str]],
    *,
    resamples: int = 2000,
    seed: int = 0,
    train_counts: Mapping[str, Sequence[int]] | None = None,
    accept: Mapping[str, Acceptance] | None = None,
) -> dict:
    """Score every head of `predictions`, ready for JSON.

    Args:
        predictions: of one split.
        labels: head to class names in index order, the headline first.
        resamples: of the bootstrap behind the intervals.
        seed: of the bootstrap.
        train_counts: head to the number of training photos of each class, where known.
        accept: head to the threshold it has been given.

    Returns:
        A dict of `split`, `label` and `rules`, the headline's `num_examples`,
        each of `METRICS` and `top_3_accuracy` (a dict of `value`, `low`, `high`), `acceptance`
        (`threshold`, `target_error`, and the fields of `automation.AcceptanceCheck`; None without
        a threshold), `per_class` and `confusion_matrix`, and in `heads` the same of the other
        heads. A head that no photo of the split has a label for holds only `num_examples`, 0.

    Raises:
        UserError: no photo of the split has a value in the headline label's column.
    """
    label, *others = labels
    found = {
        name: _head(predictions, name, classes, resamples, seed, (train_counts or {}).get(name))
        for name, classes in labels.items()
    }
    for name, head in found.items():
        if head["num_examples"]:
            head["acceptance"] = _acceptance(predictions, name, (accept or {}).get(name))
    if not found[label]["num_examples"]:
        raise UserError(
            f"no photo of split {predictions.split!r} has a value for {label!r}: "
            "evaluate another split or label"
        )
    return {
        "split": predictions.split,
        "label": label,
        **found[label],
        "interval": {
            "confidence": CONFIDENCE,
            "method": "percentile bootstrap over photos",
            "resamples": resamples,
            "seed": seed,
        },
        "rules": RULES,
        "heads": {name: found[name] for name in others},
    }


def _head(predictions, label, classes, resamples, seed, train_counts):
    truth = predictions.truth[label]
    matrix = confusion_matrix(truth, predictions.prediction(label), len(classes))
    total = int(matrix.sum())
    if not total:
        return {"num_examples": 0}
    found = scores(matrix)
    intervals = bootstrap_intervals(matrix, resamples=resamples, confidence=CONFIDENCE, seed=seed)
    per_class = [
        {
            "class": name,
            "support": int(found.support[index]),
            "predicted": int(matrix[:, index].sum()),
            "precision": float(found.precision[index]),
            "recall": float(found.recall[index]),
            "f1": float(found.f1[index]),
            "train_support": None if train_counts is None else int(train_counts[index]),
        }
        for index, name in enumerate(classes)
    ]
    return {
        "num_examples": total,
        "num_unlabelled": len(truth) - total,
        "num_classes": len(classes),
        "num_classes_present": sum(bool(row["support"] or row["predicted"]) for row in per_class),
        **{
            key: {"value": value, "low": intervals[key][0], "high": intervals[key][1]}
            for key, value in found.values.items()
        },
        "top_3_accuracy": _top_3(predictions, label, resamples, seed),
        "per_class": per_class,
        "confusion_matrix": {
            "rows": "truth",
            "columns": "prediction",
            "classes": list(classes),
            "counts": matrix.tolist(),
        },
    }


def _acceptance(predictions, label, accept) -> dict | None:
    """Say what a label's threshold does to the photos that have the label."""
    if accept is None:
        return None
    known = predictions.truth[label] >= 0
    confidence, correct = predictions.confidence(label)[known], predictions.is_right(label)[known]
    return {
        "threshold": accept.threshold,
        "target_error": accept.target_error,
        **dataclasses.asdict(check_threshold(confidence, correct, accept.threshold)),
    }


def _top_3(predictions, label, resamples, seed):
    hits = predictions.in_top(label, 3)
    total = int((predictions.truth[label] >= 0).sum())
    # Right and wrong in one row: such a matrix's accuracy is the share of the right ones.
    matrix = [[hits.sum(), total - hits.sum()], [0, 0]]
    intervals = bootstrap_intervals(matrix, resamples=resamples, confidence=CONFIDENCE, seed=seed)
    low, high = intervals["accuracy"]
    return {"value": float(hits.sum() / total), "low": low, "high": high}
