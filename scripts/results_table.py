"""Print the tables of the README and the docs from the raw files under docs/results.

python scripts/results_table.py

A result is a folder with `config.yaml`, `history.csv`, `evaluation.json` of the test split and
`predictions.csv.gz`, from which scikit-learn gives the same figures (tests/test_results_table.py).
Those in docs/results/earlier are kept for the documents that cite them and have no row; those in
docs/results/stratified are of one recipe, each on its own split and seed, and shown as mean ± sd.
A run that went on from others' weights has theirs as `history_1.csv` and so on; all count.
"""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path

import yaml

from fashion_keras.evaluation.tail import long_tail

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
HEADER = (
    "| run | label | epochs | test accuracy [95%] | macro-F1 [95%] | validation | minutes |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)


NAMES = {"val_accuracy": "accuracy", "val_macro_f1": "macro-F1"}
ACCURACIES, MACRO_F1S = (0.93, 0.94, 0.95, 0.96), (0.6, 0.65, 0.7)
# Accuracy (and macro-F1 where it was given) of the best single figures that others report on the
# same dataset, and what stands behind them. Splits and classes differ, so these are bearings.
PUBLISHED = {
    "masterCategory": "0.9952 / 0.742: pretrained, a random split",
    "articleType": "0.872: 90 classes kept, pretrained, 224×224",
    "gender": "0.92 / 0.82: pretrained, rows filtered",
    "baseColour": "0.52; about 0.63 on cleaned labels",
    "season": "0.790: pretrained",
    "usage": "0.92 / 0.84: 4 classes kept, pretrained",
}


def rows(results: Path = RESULTS) -> list[str]:
    """Return a Markdown row for each result folder, by name."""
    return [_row(path.parent) for path in sorted(results.glob("*/evaluation.json"))]


def table(results: Path = RESULTS) -> str:
    """Return the whole table as Markdown."""
    return "\n".join([*HEADER, *rows(results)])


def heads_table(results: Path = RESULTS) -> str:
    """Return test accuracy / macro-F1 of each run's other heads as Markdown, a column a run."""
    found = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))["heads"]
        for path in sorted(results.glob("*/evaluation.json"))
    }
    lines = [
        f"| label | {' | '.join(found)} | best published elsewhere |",
        f"| --- |{' --- |' * (len(found) + 1)}",
    ]
    for label, published in PUBLISHED.items():
        cells = [_both(heads.get(label)) for heads in found.values()]
        lines.append(f"| {label} | {' | '.join(cells)} | {published} |")
    return "\n".join(lines)


def time_table(results: Path = RESULTS) -> str:
    """Return each run's minutes of training until validation reached a score, as Markdown."""
    columns = [("val_accuracy", score) for score in ACCURACIES]
    columns += [("val_macro_f1", score) for score in MACRO_F1S]
    names = [f"{NAMES[key]} {score:.2f}" for key, score in columns]
    lines = [f"| run | {' | '.join(names)} | all |", f"| --- |{' ---: |' * (len(names) + 1)}"]
    for path in sorted(results.glob("*/history.csv")):
        history = [row for rows in _sittings(path.parent) for row in rows]
        found = [_minutes_until(history, key, score) for key, score in columns]
        minutes = sum(row["seconds"] for row in history) / 60
        lines.append(f"| {path.parent.name} | {' | '.join(found)} | {minutes:.1f} |")
    return "\n".join(lines)


def seeds_table(results: Path = RESULTS) -> str:
    """Return the stratified splits' test scores and their mean ± sd as Markdown."""
    lines = [
        "| split and seed | test photos | classes | accuracy [95%] | macro-F1 [95%] |",
        "| --- | ---: | ---: | --- | --- |",
    ]
    scores = []
    for path in sorted((results / "stratified").glob("*/evaluation.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        folder = path.parent.name
        scores.append([result[name]["value"] for name in ("accuracy", "macro_f1")])
        lines.append(
            f"| [{folder}](docs/results/stratified/{folder}) | {result['num_examples']:,} "
            f"| {result['num_classes_present']} | {_interval(result['accuracy'])} "
            f"| {_interval(result['macro_f1'])} |"
        )
    accuracy, macro_f1 = (
        f"**{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}**"
        for values in zip(*scores, strict=True)
    )
    lines.append(f"| mean ± sd | | | {accuracy} | {macro_f1} |")
    return "\n".join(lines)


def tail_table(results: Path = RESULTS) -> str:
    """Return mean test F1 by how many training photos a class has as Markdown, a row a run."""
    found = {
        path.parent.name: long_tail(json.loads(path.read_text(encoding="utf-8"))["per_class"])
        for path in sorted(results.glob("*/evaluation.json"))
    }
    first = next(iter(found.values()))
    names = [
        f"{_range(group)}: {group['classes']} classes, {group['photos']:,} photos"
        for group in first
    ]
    lines = [f"| run | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for run, groups in found.items():
        lines.append(f"| {run} | {' | '.join(_mean_f1(group) for group in groups)} |")
    return "\n".join(lines)


def _range(group: dict) -> str:
    low, below = group["train_from"], group["train_below"]
    if below is None:
        return f"{low:,} or more"
    return f"{low:,}–{below - 1:,}" if low else f"under {below:,}"


def _mean_f1(group: dict) -> str:
    return "–" if group["mean_f1"] is None else f"{group['mean_f1']:.3f}"


def _minutes_until(history: list[dict], key: str, score: float) -> str:
    minutes = 0.0
    for row in history:
        minutes += row["seconds"] / 60
        if row[key] >= score:
            return f"{minutes:.1f}"
    return "–"


def _both(head: dict | None) -> str:
    if not head or not head["num_examples"]:
        return "–"
    return f"{head['accuracy']['value']:.4f} / {head['macro_f1']['value']:.3f}"


def _row(folder: Path) -> str:
    result = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    sittings = _sittings(folder)
    minutes = sum(row["seconds"] for rows in sittings for row in rows) / 60
    epochs = " + ".join(str(len(rows)) for rows in sittings)
    cells = [
        f"[{folder.name}](docs/results/{folder.name})",
        result["label"],
        f"{epochs} of {config['training']['epochs']}" if len(sittings) == 1 else epochs,
        _interval(result["accuracy"]),
        _interval(result["macro_f1"]),
        _validation(folder, sittings[-1]),
        f"{minutes:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _sittings(folder: Path) -> list[list[dict]]:
    """Return the histories of the runs that a result has gone through, its own last."""
    earlier = sorted(path.name for path in folder.glob("history_[0-9].csv"))
    return [_history(folder, name) for name in (*earlier, "history.csv")]


def _history(folder: Path, name: str = "history.csv") -> list[dict]:
    with open(folder / name, newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def _validation(folder: Path, history: list[dict]) -> str:
    """Return accuracy / macro-F1 of the finished run; of its best epoch if that is unknown."""
    file = folder / "validation.json"
    if file.is_file():
        result = json.loads(file.read_text(encoding="utf-8"))
        return f"{result['accuracy']['value']:.4f} / {result['macro_f1']['value']:.4f}"
    best = max(history, key=lambda row: row["val_macro_f1"])
    return f"{best['val_accuracy']:.4f} / {best['val_macro_f1']:.4f} (best epoch)"


def _interval(score: dict) -> str:
    return f"{score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"


if __name__ == "__main__":
    made = (table, heads_table, seeds_table, time_table, tail_table)
    print("\n\n".join(part() for part in made))
