"""An evaluation in; its folder of JSON, CSV and PNG files, and the text a terminal shows, out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fashion_keras.errors import UserError
from fashion_keras.io import json_text, place, replacing_folder, write_text
from fashion_keras.metrics import METRICS
from fashion_keras.run import EVALUATION_FILE
from fashion_keras.text import cell

if TYPE_CHECKING:
    from fashion_keras.evaluation.predictions import Predictions

PER_CLASS_FILE = "per_class.csv"
MATRIX_FILE = "confusion_matrix.csv"
MATRIX_PICTURE = "confusion_matrix.png"
PREDICTIONS_FILE = "predictions.csv.gz"
FILES = (EVALUATION_FILE, PER_CLASS_FILE, MATRIX_FILE, MATRIX_PICTURE, PREDICTIONS_FILE)

REPORT_FILE = "report.html"
PARQUET_FILE = "predictions.parquet"
NORMALISED_PICTURE = "confusion_matrix_normalised.png"
RELIABILITY_PICTURE = "reliability.png"
AUTOMATION_PICTURE = "automation.png"
TAIL_PICTURE = "long_tail.png"
REPORT_FILES = (
    REPORT_FILE,
    PARQUET_FILE,
    NORMALISED_PICTURE,
    RELIABILITY_PICTURE,
    AUTOMATION_PICTURE,
    TAIL_PICTURE,
)
MATRIX_CLASSES = 200  # of a thousand, a matrix would be three million characters, mostly zeros
_NUMBERS = re.compile(r"\[\n[\d\s,.eE+-]*\]")


def can_write(folder: str | os.PathLike) -> bool:
    """Say whether a folder can be made, or replaced, at `folder`."""
    ground = next(path for path in place(folder).resolve().parents if path.exists())
    return ground.is_dir() and os.access(ground, os.W_OK)


def check_output(folder: str | os.PathLike, advice: str = "Give another folder") -> None:
    """Raise `UserError` unless an evaluation can be written to `folder` with nothing lost.

    It may be absent, empty, or an earlier evaluation or report, which `write_evaluation` replaces.
    `advice` is what to do where it is something else.
    """
    folder = place(folder).resolve()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, expected a folder. {advice}")
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    foreign = sorted(found - {*FILES, *REPORT_FILES})
    if foreign:
        raise UserError(
            f"{folder} holds other files than an evaluation's ({', '.join(foreign[:3])}"
            f"{' …' if len(foreign) > 3 else ''}): an evaluation replaces its folder.\n{advice}"
        )
    if not can_write(folder):
        raise UserError(f"cannot write {folder}: above it is no folder to write to. {advice}")


def write_evaluation(
    folder: str | os.PathLike,
    result: dict,
    predictions: Predictions,
    labels: Mapping[str, Sequence[str]],
    report: Mapping[str, bytes] | None = None,
) -> None:
    """Write the files named in `FILES` into `folder`, whole or not at all.

    `result` is what `evaluate_predictions` returned for `predictions` and `labels`; with
    `report`, contents by name, what `make_report` returned. An earlier evaluation is replaced
    whole; any other file in the folder is a `UserError`.
    """
    check_output(folder)
    with replacing_folder(folder) as partial:
        _write_files(partial, result, predictions, labels)
        for name, content in (report or {}).items():
            (partial / name).write_bytes(content)


def save_evaluation(path: str | os.PathLike, result: dict) -> None:
    """Write what `evaluate_predictions` returned; whole or not at all.

    The confusion matrix of a label of more than `MATRIX_CLASSES` classes has `cells`, a list of
    truth, prediction and count of each that is not 0, instead of `counts`.
    """
    heads = {name: _sparse(head) for name, head in result["heads"].items()}
    save_json(path, {**_sparse(result), "heads": heads})


def _sparse(head: dict) -> dict:
    matrix = head.get("confusion_matrix")
    if matrix is None or len(matrix["classes"]) <= MATRIX_CLASSES:
        return head
    rows = enumerate(matrix["counts"])
    cells = [[i, j, count] for i, row in rows for j, count in enumerate(row) if count]
    matrix = {**{k: v for k, v in matrix.items() if k != "counts"}, "cells": cells}
    return {**head, "confusion_matrix": matrix}


def save_json(path: str | os.PathLike, result: dict) -> None:
    """Write a dict as JSON, lists of numbers on one line each; whole or not at all."""
    # A number a line would make a matrix of 143 classes 20,000 lines. A string cannot match:
    # in JSON it holds no line break.
    write_text(path, _NUMBERS.sub(lambda match: " ".join(match[0].split()), json_text(result)))


def _write_files(folder, result, predictions, labels):
    # Here, because whoever only checks a folder should not wait for them.
    import pandas as pd

    from fashion_keras.evaluation.plots import confusion_matrix_figure, figure_to_png

    label, classes = result["label"], list(labels[result["label"]])
    save_evaluation(folder / EVALUATION_FILE, result)

    columns = ["class", "support", "precision", "recall", "f1", "train_support"]
    per_class = pd.DataFrame(result["per_class"])[columns]
    per_class["class"] = per_class["class"].map(cell)
    per_class.to_csv(folder / PER_CLASS_FILE, index=False, float_format="%.6f")

    counts = result["confusion_matrix"]["counts"]
    names = list(map(cell, classes))
    matrix = pd.DataFrame(counts, index=pd.Index(names, name="truth"), columns=names)
    matrix.to_csv(folder / MATRIX_FILE)
    title = f"{label} of split {result['split']}: accuracy {result['accuracy']['value']:.4f}"
    picture = figure_to_png(confusion_matrix_figure(counts, classes, title=title))
    (folder / MATRIX_PICTURE).write_bytes(picture)

    photos = predictions.table(label, names)
    photos["id"] = photos["id"].map(cell)
    photos.to_csv(
        folder / PREDICTIONS_FILE,
        index=False,
        float_format="%.6f",
        # No time in the header: the same predictions make the same file.
        compression={"method": "gzip", "mtime": 0},
    )


def table(result: dict) -> str:
    """Lay out headline scores with intervals, other labels, and classes sorted by support."""
    parts = [_heading(result), _headline(result)]
    if result["heads"]:
        parts.append(_other_heads(result["heads"]))
    return "\n\n".join([*parts, _classes(result["per_class"])])


def _heading(result):
    unlabelled = result["num_unlabelled"]
    return f"{result['label']} of split {result['split']}: {result['num_examples']:,} photos" + (
        f", {unlabelled:,} without a label left out" if unlabelled else ""
    )


def _headline(result):
    percent = f"{result['interval']['confidence']:.0%} interval"
    rows = [
        (
            metric.title.format(present=result["num_classes_present"], all=result["num_classes"]),
            f"{result[metric.key]['value']:.4f}",
            f"{result[metric.key]['low']:.4f} – {result[metric.key]['high']:.4f}",
        )
        for metric in METRICS
    ]
    found = [result[metric.key] for metric in METRICS]
    text = _align([("", "value", percent), *rows])
    if any(not score["low"] <= score["value"] <= score["high"] for score in found):
        text += (
            "\nA value lies outside its interval: rare classes are missing from many resamples,\n"
            "and count 0 there. Read the interval's width, and the classes below."
        )
    if accepted := result.get("acceptance"):
        share, wrong = _accepted(accepted)
        text += f"\naccepted from {accepted['threshold']:.4f}: {share} of the photos, {wrong} wrong"
        if accepted["accepted"]:
            text += f" ({accepted['low']:.2%} – {accepted['high']:.2%})"
        text += f"; the target is {accepted['target_error']:.4g}"
    return text


def _other_heads(heads):
    rows = [("other labels", "photos", *(metric.name for metric in METRICS), "accepted", "wrong")]
    for label, head in heads.items():
        if head["num_examples"]:
            numbers = [f"{head[metric.key]['value']:.4f}" for metric in METRICS]
        else:
            numbers = ["–"] * len(METRICS)
        accepted = _accepted(head.get("acceptance"))
        rows.append((label, f"{head['num_examples']:,}", *numbers, *accepted))
    return _align(rows)


def _accepted(acceptance) -> tuple[str, str]:
    """Return the accepted share and the wrong share of the accepted."""
    if not acceptance:
        return "–", "–"
    error = acceptance["error"]
    return f"{acceptance['coverage']:.1%}", "–" if error is None else f"{error:.2%}"


def _classes(per_class):
    occurring = [row for row in per_class if row["support"] or row["predicted"]]
    absent = [row["class"] for row in per_class if not (row["support"] or row["predicted"])]
    occurring.sort(key=lambda row: (-row["support"], row["class"]))
    text = _align(
        [
            ("class", "support", "precision", "recall", "F1", "trained on"),
            *(
                (
                    row["class"],
                    f"{row['support']:,}",
                    f"{row['precision']:.3f}",
                    f"{row['recall']:.3f}",
                    f"{row['f1']:.3f}",
                    "–" if row["train_support"] is None else f"{row['train_support']:,}",
                )
                for row in occurring
            ),
        ]
    )
    if absent:
        text += f"\n{len(absent)} of {len(per_class)} classes do not occur: {', '.join(absent)}"
    return text


def _align(rows: Sequence[Sequence[str]]) -> str:
    """Pad columns to one width: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
