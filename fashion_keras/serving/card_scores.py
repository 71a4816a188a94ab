"""A run's folder in; its best evaluation, and that as a section of a model card, out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fashion_keras.run import EVALUATION_FILE
from fashion_keras.text import as_markdown

SCORES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1, classes that occur",
    "macro_f1_all": "macro-F1, all classes",
    "weighted_f1": "weighted F1",
}
# Where evaluations of a split lie in a run's folder, the best account of the model first.
_EVALUATIONS = ("evaluation-test", "evaluation-validation", ".")
_NEEDED = {"split", "label", "num_examples", "interval", "rules", "heads", "per_class", *SCORES}


def find_evaluation(folder: Path, label: str) -> tuple[dict, Path] | tuple[None, None]:
    """Return the evaluation of a run's headline `label` and its file: test before validation."""
    for place in _EVALUATIONS:
        path = folder / place / EVALUATION_FILE
        found = read_json(path)
        if isinstance(found, dict) and found.keys() >= _NEEDED and found["label"] == label:
            return found, path
    return None, None


def read_json(path: Path) -> dict | None:
    """Return what a file holds; None where it is missing or damaged.

    A card says less then, and an export does not fail for it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def scores_section(evaluation: dict | None, path: Path | None, decision: Path) -> str:
    """Lay out scores with intervals, by label and by class; or say that there are none.

    `path` is the evaluation's file and `decision` the run's `decision.json`, if it has one.
    """
    if not evaluation:
        return (
            "## Scores\n\nNot measured when this was written. Measure and export again:\n"
            "`python -m fashion_keras.evaluate --model RUN --data RECORDS --split test`."
        )
    notes = []
    if evaluation["split"] != "test":
        notes.append(
            "This split also chose the epoch, so the figures flatter the model; the test split "
            "had not been looked at."
        )
    if decision.is_file() and decision.stat().st_mtime > path.stat().st_mtime:
        notes.append("The decision below was fitted after these scores were taken.")
    label, split = as_markdown(evaluation["label"]), as_markdown(evaluation["split"])
    confidence = evaluation["interval"]["confidence"]
    headline = table(
        (label, "value", f"{confidence:.0%} interval"),
        [
            (text, f"{evaluation[key]['value']:.4f}", _interval(evaluation[key]))
            for key, text in SCORES.items()
        ],
    )
    parts = [
        f"## Scores, {split} split, {evaluation['num_examples']:,} photos",
        *notes,
        headline,
        f"Intervals: {as_markdown(evaluation['rules']['interval'])}.",
    ]
    others = [
        (as_markdown(name), f"{head['num_examples']:,}", *(_with_interval(head[k]) for k in SCORES))
        for name, head in evaluation["heads"].items()
        if head["num_examples"]
    ]
    if others:
        parts.append(table(("other labels", "photos", *SCORES.values()), others))
    classes = sorted(evaluation["per_class"], key=lambda row: -row["support"])
    parts.append(
        table(
            (label, "photos", "training photos", "precision", "recall", "F1"),
            [
                (
                    as_markdown(row["class"]),
                    f"{row['support']:,}",
                    "–" if row["train_support"] is None else f"{row['train_support']:,}",
                    *(_class_score(row, key) for key in ("precision", "recall", "f1")),
                )
                for row in classes
            ],
        )
    )
    return "\n\n".join(parts)


def _interval(score):
    return f"{score['low']:.4f} – {score['high']:.4f}"


def _with_interval(score):
    return f"{score['value']:.4f} [{_interval(score)}]"


def _class_score(row, key):
    return f"{row[key]:.3f}" if row["support"] or row["predicted"] else "–"


def _cell(text):
    return text.replace("|", "\\|").replace("\n", " ")
