"""`python -m fashion_keras.evaluate`: a model and records in, a folder of scores out."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from fashion_keras.commands import positive_int, run_command
from fashion_keras.data.schema import DatasetInfo, did_you_mean
from fashion_keras.errors import UserError
from fashion_keras.evaluation.files import REPORT_FILE, check_output, write_evaluation
from fashion_keras.evaluation.table import table
from fashion_keras.places import place
from fashion_keras.quiet import load_tensorflow
from fashion_keras.run import (
    BEST_MODEL_FILE,
    TENSORBOARD,
    Run,
    check_run,
    has_other_split,
    load_run,
)

EXAMPLES = """\
examples:
  python -m fashion_keras.evaluate --model runs/resnet18 --data tfrecords/small --split test
  python -m fashion_keras.evaluate --model runs/resnet18/best.keras --data tfrecords/small \\
      --split validation --output /tmp/scores
  python -m fashion_keras.evaluate --model runs/resnet18 --data tfrecords/small --split test \\
      --report reports/resnet18 --target-error 0.01

Writes evaluation.json, per_class.csv, confusion_matrix.csv, confusion_matrix.png and
predictions.csv.gz. --report adds report.html, one page to open, print or send, with what is
confused, the photos it got wrong and where it looked, how far its probabilities can be trusted,
and how many photos need no person; and predictions.parquet and the page's pictures as PNG.
Choose models and settings on validation; look at test once, at the end.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 2 for what the user can mend."""
    return run_command(evaluate, argv)


def evaluate(argv: Sequence[str] | None = None) -> None:
    """Evaluate a model as the arguments say, write the folder and print the table."""
    parser = _parser()
    options = parser.parse_args(argv)
    if not options.report and (options.embeddings or options.target_error is not None):
        parser.error("--target-error and --embeddings are of a report: give --report DIR too")
    if options.tensorboard and not options.model.is_dir():
        parser.error(f"--tensorboard writes into a run's folder, {options.model} is none")
    # Cheap questions first: a wrong argument is answered before TensorFlow is loaded.
    info = DatasetInfo.load(options.data)
    info.shard_paths(options.data, options.split)
    if options.label:
        info.vocabulary(options.label)
    output = (
        options.report
        or options.output
        or _default_output(options.model, options.split, options.label)
    )
    check_output(output)
    check_run(options.model)
    if has_other_split(options.model, info):
        print(
            f"warning: {options.model} was trained on another split of the catalogue of "
            f"{options.data}: it may have trained on photos that are scored here",
            file=sys.stderr,
        )
    load_tensorflow()
    run = _with_headline(load_run(options.model, info), options.label)

    from fashion_keras.evaluation.results import evaluate_run

    result, predictions = evaluate_run(
        run,
        options.data,
        options.split,
        resamples=options.resamples,
        batch_size=options.batch_size,
        progress=sys.stderr.isatty(),
    )
    report = None
    if options.report:
        from fashion_keras.evaluation.report import make_report

        result, report = make_report(
            run,
            options.data,
            result,
            predictions,
            target_error=options.target_error,
            with_embeddings=options.embeddings,
            batch_size=options.batch_size,
            progress=sys.stderr.isatty(),
        )
    write_evaluation(output, result, predictions, run.labels, report)
    print(table(result))
    if options.tensorboard:
        from fashion_keras.evaluation.board import write_board

        board = options.model / TENSORBOARD / f"evaluation-{options.split}"
        write_board(run, options.data, predictions, board)
        print(f"\nPR curves and projector: tensorboard --logdir {options.model / TENSORBOARD}")
    print(f"\nwritten to {output / REPORT_FILE if options.report else output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fashion_keras.evaluate",
        description="Score a trained model on a split of the records, with 95% intervals.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        type=place,
        required=True,
        metavar="RUN|FILE",
        help="a training run's folder (its best.keras is taken), or a .keras file",
    )
    parser.add_argument(
        "--data",
        type=place,
        required=True,
        metavar="DIR",
        help="the folder of records that the model was trained on",
    )
    parser.add_argument("--split", required=True, help="train, validation or test")
    parser.add_argument(
        "--label",
        help="the head to report first, where the model has several (default: the run's own)",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--output",
        type=place,
        metavar="DIR",
        help="where to write (default: evaluation-SPLIT in the run's folder, or beside the file)",
    )
    output.add_argument(
        "--report",
        type=place,
        metavar="DIR",
        help="write there, with a page to read (predicts validation too, where the run has no "
        "temperature and threshold of its own)",
    )
    parser.add_argument(
        "--target-error",
        type=_share,
        metavar="SHARE",
        help="mistakes allowed among the photos that need no person; the report chooses the "
        "threshold on validation (default: the run's own, or 0.01)",
    )
    parser.add_argument(
        "--embeddings",
        action="store_true",
        help="add the model's features of every photo to the report's predictions.parquet",
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write each class's precision-recall curve, and the features of 1,000 photos "
        "for the projector, into the run's TensorBoard",
    )
    parser.add_argument(
        "--resamples",
        type=positive_int,
        default=2000,
        metavar="N",
        help="bootstrap resamples behind the intervals (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        type=positive_int,
        default=256,
        metavar="N",
        help="photos at a time; smaller needs less memory (default: %(default)s)",
    )
    return parser


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1, such as 0.01")
    return share


def _default_output(model: Path, split: str, label: str | None) -> Path:
    name = f"evaluation-{split}"
    if label:
        name += "-" + re.sub(r"[^\w. -]", "_", label)  # Farbe/Muster is no folder in another
    if model.is_dir():
        return model / name
    # Several files may lie in one folder: each has an evaluation of its own.
    return model.parent / (name if model.name == BEST_MODEL_FILE else f"{model.stem}-{name}")


def _with_headline(run: Run, label: str | None) -> Run:
    if label is None:
        return run
    if label not in run.labels:
        raise UserError(
            f"{run.path} has no head {label!r}: it was trained on {', '.join(run.labels)}"
            + did_you_mean(label, run.labels)
        )
    return dataclasses.replace(run, label=label, labels={label: run.labels[label], **run.labels})


if __name__ == "__main__":
    sys.exit(main())
