"""Print the README's results table from the raw files under docs/results.

python scripts/results_table.py

A result is a folder with `config.yaml`, `history.csv`, `evaluation.json` of the test split and
`predictions.csv.gz`, from which scikit-learn gives the same figures (tests/test_results_table.py).
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import yaml

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
HEADER = (
    "| run | label | epochs | test accuracy [95%] | macro-F1 [95%] | val. accuracy | minutes |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)


def rows(results: Path = RESULTS) -> list[str]:
    """Return a Markdown row for each result folder, by name."""
    return [_row(path.parent) for path in sorted(results.glob("*/evaluation.json"))]


def table(results: Path = RESULTS) -> str:
    """Return the whole table as Markdown."""
    return "\n".join([*HEADER, *rows(results)])


def _row(folder: Path) -> str:
    result = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        history = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    best = max(history, key=lambda row: row["val_macro_f1"])
    minutes = sum(row["seconds"] for row in history) / 60
    cells = [
        f"[{folder.name}](docs/results/{folder.name})",
        result["label"],
        f"{len(history)} of {config['training']['epochs']}",
        _interval(result["accuracy"]),
        _interval(result["macro_f1"]),
        f"{best['val_accuracy']:.4f}",
        f"{minutes:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _interval(score: dict) -> str:
    return f"{score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"


if __name__ == "__main__":
    print(table())
