"""An evaluation's dict in; the text that a terminal shows out."""

from __future__ import annotations

from collections.abc import Sequence

SCORE_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1, the {present} classes that occur",
    "macro_f1_all": "macro-F1, all {all} classes",
    "weighted_f1": "weighted F1",
}


def table(result: dict) -> str:
    """Lay out headline scores with intervals, other heads, and classes sorted by support."""
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
            name.format(present=result["num_classes_present"], all=result["num_classes"]),
            f"{result[key]['value']:.4f}",
            f"{result[key]['low']:.4f} – {result[key]['high']:.4f}",
        )
        for key, name in SCORE_NAMES.items()
    ]
    text = _align([("", "value", percent), *rows])
    if any(not result[k]["low"] <= result[k]["value"] <= result[k]["high"] for k in SCORE_NAMES):
        text += (
            "\nA value lies outside its interval: rare classes are missing from many resamples,\n"
            "and count 0 there. Read the interval's width, and the classes below."
        )
    return text


def _other_heads(heads):
    rows = [("other heads", "photos", "accuracy", "macro-F1", "macro-F1, all", "weighted F1")]
    for label, head in heads.items():
        if head["num_examples"]:
            numbers = [f"{head[key]['value']:.4f}" for key in SCORE_NAMES]
        else:
            numbers = ["–"] * len(SCORE_NAMES)
        rows.append((label, f"{head['num_examples']:,}", *numbers))
    return _align(rows)


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
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
