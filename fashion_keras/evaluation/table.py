"""An evaluation's dict in; the text that a terminal shows out."""

from __future__ import annotations

from collections.abc import Sequence

from fashion_keras.metrics import METRICS


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
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
