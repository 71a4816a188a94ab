"""Copy what a trained run's result rests on into docs/results/NAME, small enough for git.

python scripts/keep_results.py runs/resnet18 --evaluation report --log train.log --log evaluate.log

From the run: the resolved config, the history and, where they are there, its scores on validation
and what its heads and its decision were found to bring. From the folder that `evaluate` wrote: the
scores, the confusion matrix and every prediction. From what the commands printed: the lines that
stayed, without progress bars and TensorFlow's own messages.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
NEEDED = ("config.yaml", "history.csv")
# In the run, and here: where the evaluation is of the test split, and the run's of validation.
OPTIONAL = {
    "heads.json": "heads.json",
    "decision.json": "decision.json",
    "evaluation.json": "validation.json",
}
SCORES = ("evaluation.json", "per_class.csv", "confusion_matrix.png", "predictions.csv.gz")
# TensorFlow's start-up messages begin with a time; progress bars hold a share and a bar.
_NOISE = re.compile(
    r"^(\d{4}-\d\d-\d\d |WARNING: All log|[IWE]0000 |To enable the following)|\d%\|"
)


def keep(run: Path, evaluation: Path, logs: list[Path], name: str, results: Path = RESULTS) -> Path:
    """Write `results/name` anew and return it; raise `FileNotFoundError` for a missing piece."""
    target = results / name
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for file in NEEDED:
            shutil.copyfile(run / file, partial / file)
        for file, kept in OPTIONAL.items():
            if (run / file).exists():
                shutil.copyfile(run / file, partial / kept)
        for file in SCORES:
            shutil.copyfile(evaluation / file, partial / file)
        if logs:
            lines = [line for log in logs for line in kept_lines(log, run.parent)]
            (partial / "log.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def kept_lines(log: Path, runs: Path) -> list[str]:
    """Return the lines of a log that tell a result, with the folder of runs written `runs`."""
    lines = []
    for line in log.read_text(encoding="utf-8").split("\n"):
        line = line.rsplit("\r", 1)[-1].rstrip()
        if line and not _NOISE.search(line):
            lines.append(line.replace(str(runs.resolve()), "runs"))
    return lines


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument(
        "--evaluation", type=Path, required=True, metavar="DIR", help="what evaluate wrote"
    )
    parser.add_argument(
        "--log", type=Path, action="append", default=[], help="what a command printed, in order"
    )
    parser.add_argument("--name", help="of the folder in docs/results (default: the run's)")
    options = parser.parse_args()
    try:
        print(keep(options.run, options.evaluation, options.log, options.name or options.run.name))
    except FileNotFoundError as error:
        print(f"{error.filename}: not found", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
