"""`fashion-keras compare`: evaluated runs in, a table of differences and curves out."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fashion_keras.commands import positive_int, run_command
from fashion_keras.errors import UserError
from fashion_keras.io import place, write_bytes
from fashion_keras.places import anywhere, changes, local

RESULT_FILE, TABLE_FILE = "comparison.json", "comparison.md"
CURVES_FILE, CLASSES_FILE = "curves.png", "classes.png"

EXAMPLES = """\
examples:
  is the second run better than the first, on the same test photos?
    fashion-keras compare runs/resnet18-1 runs/efficientnetb0-1 --output comparison
  while choosing, look at validation and leave test alone:
    fashion-keras compare runs/a runs/b --split validation
  three seeds of each config are pooled, and shown as mean ± standard deviation:
    fashion-keras compare runs/a-seed{0,1,2} runs/b-seed{0,1,2}

Each run is first scored with fashion-keras evaluate --split SPLIT. Prints a Markdown
table; with --output also writes it, comparison.json, curves.png and classes.png.
"""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What two or more runs scored on the same photos, and whether they differ.

    Attributes:
        result: every figure, as `comparison.json` holds it.
        markdown: the tables, for a README.
    """

    result: dict
    markdown: str

    def __str__(self) -> str:
        return self.markdown


@changes("output")
def compare(
    runs: Sequence[str | os.PathLike],
    split: str = "test",
    *,
    output: str | os.PathLike | None = None,
    resamples: int = 2000,
) -> Comparison:
    """Say whether one run is better than another on the same photos.

    Paired bootstrap intervals of the differences, McNemar's exact test, wins and losses a class.
    Each run must have been scored on the split by `evaluate`.

    Args:
        runs: two training runs' folders or more; the first is the baseline.
        split: which evaluation to compare.
        output: a folder for the tables, `comparison.json` and pictures.
        resamples: bootstrap resamples behind the intervals.

    Raises:
        UserError: a run has no such evaluation, or photos, labels or classes differ.

    Example:

        print(fk.compare(["runs/a", "runs/b"], "validation"))
    """
    runs = [local(run) for run in runs]
    if len(runs) < 2:
        raise UserError("one run is given: a comparison needs two or more")
    folder = place(output) if output is not None else None
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: --output names a folder")
    from fashion_keras.comparison.comparison_report import markdown
    from fashion_keras.comparison.runs import compare_runs, load_stored_runs, pool_seeds

    stored = load_stored_runs(runs, split)
    result = compare_runs(stored, resamples=resamples)
    text = markdown(result)
    if folder is not None:
        _write(folder, result, text, pool_seeds(stored))
    return Comparison(result, text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 2 for what the user can mend."""
    return run_command(_command, argv)


def _command(argv: Sequence[str] | None) -> None:
    options = _parser().parse_args(argv)
    print(compare(**vars(options)), end="")
    if options.output is not None:
        print(f"\nwritten to {options.output}")


def _write(folder: Path, result: dict, text: str, groups) -> None:
    from fashion_keras.comparison.comparison_report import curves_figure, differences_figure
    from fashion_keras.evaluation.files import save_json
    from fashion_keras.evaluation.plots import figure_to_png

    folder.mkdir(parents=True, exist_ok=True)
    save_json(folder / RESULT_FILE, result)
    files = {
        TABLE_FILE: text.encode(),
        CURVES_FILE: figure_to_png(curves_figure(groups)),
    }
    if result["differences"]:  # seeds of one config alone have none
        files[CLASSES_FILE] = figure_to_png(differences_figure(result))
    for name, content in files.items():
        write_bytes(folder / name, content)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fashion-keras compare",
        description="Say whether one run is better than another on the same photos: paired "
        "bootstrap intervals of the differences, McNemar's exact test, wins and losses a class.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs",
        type=anywhere,
        nargs="+",
        metavar="RUN",
        help="training runs' folders, each with an evaluation; the first is the baseline",
    )
    parser.add_argument(
        "--split",
        default="test",
        choices=("train", "validation", "test"),
        help="which evaluation to compare (default: %(default)s)",
    )
    parser.add_argument("--output", type=anywhere, metavar="DIR", help="also write files here")
    parser.add_argument(
        "--resamples",
        type=positive_int,
        default=2000,
        metavar="N",
        help="bootstrap resamples behind the intervals (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
