"""`python -m fashion_keras.calibrate`: a run and records in, the run's `decision.json` out."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from fashion_keras.commands import add_run_and_records, run_command
from fashion_keras.config import DecisionConfig, load_config
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.quiet import load_tensorflow
from fashion_keras.run import CONFIG_FILE, DECISION_FILE, check_run, check_split, load_run

_EPILOG = """\
examples:
  python -m fashion_keras.calibrate --model runs/resnet18-1 --data tfrecords/small
  python -m fashion_keras.calibrate --model runs/resnet18-1 --data tfrecords/small \\
      --flip --combine --class-bias --target-error 0.02

What is not given is taken from the run's config. Everything is fitted on the validation split,
written to the run's decision.json, and used from then on by evaluate, export and predict; remove
the file to do without. Training ends with this step by itself.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_calibrate, argv)


def _calibrate(argv: Sequence[str] | None) -> None:
    arguments = _parser().parse_args(argv)
    info = DatasetInfo.load(arguments.data)
    for split in ("train", "validation"):
        info.shard_paths(arguments.data, split)
    folder = check_run(arguments.model).parent
    check_split(folder, info, arguments.data)
    options = _options(arguments, folder)
    load_tensorflow()
    from fashion_keras.evaluation.calibrating import acceptance_line, calibrate_run, steps_table

    run, steps = calibrate_run(
        load_run(arguments.model, info), arguments.data, options, progress=sys.stderr.isatty()
    )
    print(steps_table(steps))
    print(acceptance_line(run.decision))
    print(f"written to {folder / DECISION_FILE}")


def _options(arguments, folder: Path) -> DecisionConfig:
    config = folder / CONFIG_FILE
    given = {
        f"decision.{field.name}": getattr(arguments, field.name)
        for field in dataclasses.fields(DecisionConfig)
        if getattr(arguments, field.name) is not None
    }
    return load_config(config if config.is_file() else None, given).decision


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fashion_keras.calibrate",
        description="Fit on validation how a trained model's outputs become decisions.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run_and_records(parser)
    for name, text in (
        ("flip", "average the outputs of a photo and its mirror image: twice the work"),
        ("combine", "let the heads of finer labels inform the coarser ones"),
        ("class-bias", "raise rare classes as far as macro-F1 gains by it"),
        ("temperature", "make probabilities mean what they say"),
    ):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=text)
    parser.add_argument(
        "--target-error",
        type=float,
        metavar="SHARE",
        help="mistakes allowed among the photos that need no person, e.g. 0.01",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
