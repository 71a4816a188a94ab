"""`fashion-keras calibrate`: a run and records in, the run's `decision.json` out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from fashion_keras.commands import add_run_and_records, run_command
from fashion_keras.config import load_config
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.places import changes, local
from fashion_keras.progress import Reporter, Terminal, reporter
from fashion_keras.quiet import load_tensorflow
from fashion_keras.released import check_own, model_place
from fashion_keras.run import CONFIG_FILE, DECISION_FILE, Run, check_run, check_split, load_run
from fashion_keras.training.workdir import held

_EPILOG = """\
examples:
  fashion-keras calibrate --model runs/resnet18-1 --data tfrecords/small
  fashion-keras calibrate --model runs/resnet18-1 --data tfrecords/small \\
      --flip --combine --class-bias --target-error 0.02

What is not given is taken from the run's config. Everything is fitted on the validation split,
written to the run's decision.json, and used from then on by evaluate, export and predict; remove
the file to do without. Training ends with this step by itself.
"""


@changes("model")
def calibrate(
    model: str | os.PathLike,
    data: str | os.PathLike,
    *,
    flip: bool | None = None,
    combine: bool | None = None,
    class_bias: bool | None = None,
    temperature: bool | None = None,
    target_error: float | None = None,
    progress: bool | Reporter = True,
) -> Run:
    """Fit on validation how a trained model's outputs become decisions; write `decision.json`.

    Args:
        model: a training run's folder, or a `.keras` file.
        data: the records that it was trained on.
        flip: average the outputs of a photo and its mirror image: twice the work.
        combine: let the heads of finer labels inform the coarser ones.
        class_bias: raise rare classes as far as macro-F1 gains by it.
        temperature: make probabilities mean what they say.
        target_error: mistakes allowed among the photos that need no person.
        progress: False for no bars, or a `Reporter`.

    What is None is taken from the run's config. Returns the run with its decision.

    Raises:
        UserError: a path is wrong, or the run was trained on another split.

    Example:

        run = fk.calibrate("runs/resnet18", "tfrecords/small", target_error=0.02)
        print(run.decision.accept["subCategory"].threshold)
    """
    report_to = reporter(progress)
    model, data = model_place(model), local(data)
    check_own(model)
    info = DatasetInfo.load(data)
    for split in ("train", "validation"):
        info.shard_paths(data, split)
    folder = check_run(model).parent
    check_split(folder, info, data)
    given = {
        "flip": flip,
        "combine": combine,
        "class_bias": class_bias,
        "temperature": temperature,
        "target_error": target_error,
    }
    asked = {f"decision.{name}": value for name, value in given.items() if value is not None}
    config = folder / CONFIG_FILE
    options = load_config(config if config.is_file() else None, asked).decision
    load_tensorflow()
    from fashion_keras.evaluation.calibrating import calibrate_run, calibration_table

    with held(folder, fresh=False):
        run = load_run(model, info, decided=False)
        run, steps = calibrate_run(run, data, options, progress=report_to.bars)
    report_to.say(calibration_table(run, steps))
    report_to.say(f"written to {folder / DECISION_FILE}")
    return run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_command, argv)


def _command(argv: Sequence[str] | None) -> None:
    calibrate(**vars(_parser().parse_args(argv)), progress=Terminal())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fashion-keras calibrate",
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
