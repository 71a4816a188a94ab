"""Print the result tables of the README and of docs/experiments.md from docs/results/results.csv.

python scripts/results_table.py
"""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results" / "results.csv"
HEADLINE = "subCategory"
# The README's rows: the quickest recipe, the one to start from and the best of each network.
SHOWN = (
    "quick-resnet18",
    "resnet18",
    "efficientnetb0",
    "resnet18-enlarged-taught",
    "efficientnetb0-enlarged-taught",
)
# The study that this project reimplements: small photos at 224×224, ImageNet weights, one run each.
STUDY = (
    "| study, ResNet18 | ImageNet | 10 | 0.9649 | 0.7766 | – |",
    "| study, EfficientNetB0 | ImageNet | 10 | 0.9655 | 0.7763 | – |",
)


def read_results(path: Path = RESULTS) -> list[dict[str, str]]:
    """Return the rows of results.csv."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def readme_table() -> str:
    """Return the README's table: a row for each of `SHOWN`, then the study's."""
    by_run = {row["run"]: row for row in read_results() if row["label"] == HEADLINE}
    lines = [
        "| model | start | epochs | accuracy [95%] | macro-F1 [95%] | minutes |",
        "| --- | --- | ---: | --- | --- | ---: |",
    ]
    for run in SHOWN:
        row = by_run[run]
        lines.append(
            f"| [{run}](docs/results/{run}) | random | {row['epochs']} | {_score(row, 'accuracy')} "
            f"| {_score(row, 'macro_f1')} | {float(row['minutes']):.0f} |"
        )
    return "\n".join([*lines, *STUDY])


def all_runs_table() -> str:
    """Return a row for each run on the published split, best accuracy first."""
    rows = [r for r in read_results() if r["label"] == HEADLINE and r["split"] == "published"]
    lines = [
        "| run | epochs | minutes | test accuracy [95%] | test macro-F1 [95%] | validation |",
        "| --- | ---: | ---: | --- | --- | --- |",
    ]
    for row in sorted(rows, key=lambda row: (row["accuracy"], row["macro_f1"]), reverse=True):
        lines.append(
            f"| {row['run']} | {row['epochs']} | {float(row['minutes']):.0f} "
            f"| {_score(row, 'accuracy')} | {_score(row, 'macro_f1')} "
            f"| {row['validation_accuracy']} / {row['validation_macro_f1']} |"
        )
    return "\n".join(lines)


def labels_table() -> str:
    """Return test accuracy / macro-F1 of every label, a column for each of `SHOWN`."""
    rows = [row for row in read_results() if row["run"] in SHOWN]
    lines = [f"| label | {' | '.join(SHOWN)} |", f"| --- |{' --- |' * len(SHOWN)}"]
    for label in dict.fromkeys(row["label"] for row in rows):
        of_run = {row["run"]: row for row in rows if row["label"] == label}
        cells = [f"{of_run[run]['accuracy']} / {of_run[run]['macro_f1']}" for run in SHOWN]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def seeds_table() -> str:
    """Return the three stratified splits, a seed each, and their mean ± sd."""
    rows = [row for row in read_results() if row["run"].startswith("stratified-")]
    rows = [row for row in rows if row["label"] == HEADLINE]
    lines = ["| split and seed | accuracy [95%] | macro-F1 [95%] |", "| --- | --- | --- |"]
    lines += [
        f"| {row['seed']} | {_score(row, 'accuracy')} | {_score(row, 'macro_f1')} |" for row in rows
    ]
    accuracy, macro_f1 = ([float(row[name]) for row in rows] for name in ("accuracy", "macro_f1"))
    lines.append(f"| mean ± sd | {_mean(accuracy)} | {_mean(macro_f1)} |")
    return "\n".join(lines)


def _score(row: dict[str, str], name: str) -> str:
    return f"{row[name]} [{row[f'{name}_low']}, {row[f'{name}_high']}]"


def _mean(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


if __name__ == "__main__":
    made = (readme_table, all_runs_table, labels_table, seeds_table)
    print("\n\n".join(part() for part in made))
