"""Add a trained run to docs/results: its rows in results.csv, and with --folder its raw files.

python scripts/keep_results.py runs/mine --recipe resnet18 --hardware "2 cores, Intel Xeon" --folder
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import yaml
from scripting import script_parser

from fashion_keras.io import replacing, replacing_folder

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
OF_RUN, OF_EVALUATION = ("config.yaml", "history.csv"), ("evaluation.json", "predictions.csv.gz")
_SCORES = [f"{name}{bound}" for name in ("accuracy", "macro_f1") for bound in ("", "_low", "_high")]
COLUMNS = (
    *("run", "recipe", "command", "split", "seed", "hardware", "epochs", "minutes"),
    *("label", "photos", *_SCORES, "validation_accuracy", "validation_macro_f1"),
)


def rows_of(run: Path, recipe: str, command: str, hardware: str, split: str = "test") -> list[dict]:
    """Return a row of results.csv for each label; `FileNotFoundError` for a missing piece."""
    result = json.loads((run / f"evaluation-{split}" / "evaluation.json").read_text("utf-8"))
    validation = json.loads((run / "evaluation.json").read_text("utf-8"))
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    with open(run / "history.csv", newline="", encoding="utf-8") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    described = result["records_split"]
    common = {
        "run": run.name,
        "recipe": recipe,
        "command": command,
        "split": described["strategy"]
        + (f", seed {described['seed']}" if "seed" in described else ""),
        "seed": config["training"]["seed"],
        "hardware": hardware,
        "epochs": len(seconds),
        "minutes": f"{sum(seconds) / 60:.1f}",
    }
    found = []
    for label, scores in {result["label"]: result, **result["heads"]}.items():
        seen = validation if label == validation["label"] else validation["heads"][label]
        row = {**common, "label": label, "photos": scores["num_examples"]}
        for name in ("accuracy", "macro_f1"):
            for suffix, bound in (("", "value"), ("_low", "low"), ("_high", "high")):
                row[f"{name}{suffix}"] = f"{scores[name][bound]:.4f}"
            row[f"validation_{name}"] = f"{seen[name]['value']:.4f}"
        found.append(row)
    return found


def keep(run: Path, rows: list[dict], results: Path = RESULTS, *, folder: bool = False) -> None:
    """Put a run's rows in the place of those it has in results.csv, and its files beside them."""
    if folder:
        with replacing_folder(results / run.name) as partial:
            for name in OF_RUN:
                shutil.copyfile(run / name, partial / name)
            for name in OF_EVALUATION:
                shutil.copyfile(run / "evaluation-test" / name, partial / name)
    table = results / "results.csv"
    with open(table, newline="", encoding="utf-8") as file:
        others = [row for row in csv.DictReader(file) if row["run"] != run.name]
    with replacing(table) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(others + rows)


def main() -> int:
    """Run the command and return its exit code."""
    parser = script_parser(__doc__)
    parser.add_argument("run", type=Path, help="a run whose test split has been evaluated")
    parser.add_argument("--recipe", required=True, help="its recipe's name")
    parser.add_argument("--hardware", required=True, help="in a few words")
    parser.add_argument("--command", help="(default: train by the recipe)")
    parser.add_argument("--folder", action="store_true", help="keep its files too")
    options = parser.parse_args()
    command = options.command or f"fashion-keras train --recipe {options.recipe}"
    try:
        rows = rows_of(options.run, options.recipe, command, options.hardware)
        keep(options.run, rows, folder=options.folder)
    except FileNotFoundError as error:
        print(f"{error.filename}: not found", file=sys.stderr)
        return 2
    print(f"{RESULTS / 'results.csv'}: {len(rows)} rows of {options.run.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
