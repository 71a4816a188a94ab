"""`fashion-keras evaluate`: a model and records in, a folder of scores out."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fashion_keras.commands import positive_int, run_command
from fashion_keras.config import load_config
from fashion_keras.data.schema import DatasetInfo, did_you_mean
from fashion_keras.errors import UserError
from fashion_keras.evaluation.files import (
    REPORT_FILE,
    can_write,
    check_output,
    table,
    write_evaluation,
)
from fashion_keras.io import is_address, place
from fashion_keras.places import anywhere, changes, local
from fashion_keras.progress import Reporter, Terminal, reporter
from fashion_keras.quiet import load_tensorflow
from fashion_keras.released import check_own, is_released, model_place
from fashion_keras.run import (
    BEST_MODEL_FILE,
    CONFIG_FILE,
    SEES,
    TENSORBOARD,
    Run,
    check_run,
    has_other_split,
    load_run,
)

if TYPE_CHECKING:
    import pandas as pd

    from fashion_keras.evaluation.predictions import Predictions

EXAMPLES = """\
examples:
  fashion-keras evaluate --model runs/resnet18 --data tfrecords/small --split test
  fashion-keras evaluate --model runs/resnet18/best.keras --data tfrecords/small \\
      --split validation --output /tmp/scores
  fashion-keras evaluate --model runs/resnet18 --data tfrecords/small --split test \\
      --report reports/resnet18 --target-error 0.01

Writes evaluation.json, per_class.csv, confusion_matrix.csv, confusion_matrix.png and
predictions.csv.gz into the run, where compare and export look for them: evaluation-SPLIT, with
-LABEL after it for another label than the run's own, and -title or -both for what it --sees.
--output adds a copy of them elsewhere.
--report adds one with report.html, one page to open, print or send, with what is confused, the
photos it got wrong and where it looked, how far its probabilities can be trusted, and how many
photos need no person; and with predictions.parquet and the page's pictures as PNG.
Choose models and settings on validation; look at test once, at the end.
"""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model scored on a split.

    Attributes:
        result: every figure, as `evaluation.json` holds it.
        predictions: truth and logits of every photo, in the records' order.
        labels: head to class names in index order, the headline first.
        written: the folders and files that were written.
    """

    result: dict
    predictions: Predictions
    labels: dict[str, tuple[str, ...]]
    written: tuple[Path, ...] = ()

    @property
    def accuracy(self) -> float:
        """Share of the photos whose headline label was predicted."""
        return self.result["accuracy"]["value"]

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that occur among labels or predictions, as scikit-learn's."""
        return self.result["macro_f1"]["value"]

    @property
    def per_class(self) -> pd.DataFrame:
        """Precision, recall, F1 and photos of each class of the headline label."""
        import pandas as pd

        return pd.DataFrame(self.result["per_class"])

    @property
    def photos(self) -> pd.DataFrame:
        """A row a photo: `id`, `truth` (None without a label), `prediction`, `probability`."""
        label = self.result["label"]
        return self.predictions.table(label, self.labels[label])

    def __str__(self) -> str:
        return table(self.result)


@changes("model", "output", "report")
def evaluate(
    model: str | os.PathLike,
    data: str | os.PathLike,
    split: str,
    *,
    label: str | None = None,
    sees: str = "photo",
    output: str | os.PathLike | None = None,
    report: str | os.PathLike | None = None,
    target_error: float | None = None,
    embeddings: bool = False,
    tensorboard: bool = False,
    resamples: int = 2000,
    batch_size: int = 256,
    progress: bool | Reporter = True,
) -> Evaluation:
    """Score a trained model on a split of the records, with 95% intervals.

    Writes `evaluation-SPLIT` into the run, where `compare` and `export` look for it.

    Args:
        model: a training run's folder, or a `.keras` file.
        data: the records that it was trained on.
        split: `train`, `validation` or `test`. Choose on validation; look at test once.
        label: the head to report first. Defaults to the run's own.
        sees: of a run that takes titles, what it is given: `photo`, `title` or `both`.
        output: a folder for a copy.
        report: a folder for a copy with `report.html`, one page to open or send.
        target_error: mistakes the report allows where no person looks (the run's own, or 0.01).
        embeddings: add the features of every photo to the report's `predictions.parquet`.
        tensorboard: also write precision-recall curves and the projector into the run.
        resamples: bootstrap resamples behind the intervals.
        batch_size: photos at a time.
        progress: False for no bars, or a `Reporter`.

    Raises `UserError` where a path, the split or the label is wrong or they do not fit each other.

    Example:

        scores = fk.evaluate("runs/resnet18", "tfrecords/small", "validation")
        print(scores.accuracy, scores.per_class.sort_values("f1").head())
    """
    report_to = reporter(progress)
    model, data = model_place(model), local(data)
    output, report = (place(path) if path else None for path in (output, report))
    info = _checked_records(model, data, split, label, report, sees, report_to)
    own = _own_folder(model, split, label, sees)
    places = _places(model, own, output, report, tensorboard, report_to)
    load_tensorflow()
    run = _with_headline(load_run(model, info), label)
    options = {"resamples": resamples, "batch_size": batch_size, "sees": sees}
    found = _score(run, data, split, places, report_to, **options)
    if report:
        options = {"target_error": target_error, "with_embeddings": embeddings}
        found = _report(found, run, data, report, report_to, batch_size=batch_size, **options)
    if tensorboard:
        from fashion_keras.report.board import write_board

        write_board(run, data, found.predictions, model / TENSORBOARD / own.name)
    return found


def _score(run, data, split, places, report_to, **options) -> Evaluation:
    """Score the split and write the scores into each of the folders."""
    from fashion_keras.evaluation.results import evaluate_run

    result, predictions = evaluate_run(run, data, split, progress=report_to.bars, **options)
    # The run's own first, and before the report: whatever becomes of the others, it is there.
    for folder in places:
        write_evaluation(folder, result, predictions, run.labels)
    return Evaluation(result, predictions, run.labels, tuple(places))


def _checked_records(model, data, split, label, report, sees, report_to) -> DatasetInfo:
    """Return the records' description; `UserError` where they, model, split or label are wrong.

    Before TensorFlow is loaded: what is wrong is answered at once.
    """
    if report and sees != "photo":
        raise UserError(f"a report is of the photo alone: leave --report or --sees {sees} out")
    info = DatasetInfo.load(data)
    info.shard_paths(data, split)
    if label:
        info.vocabulary(label)
    check_run(model)
    if has_other_split(model, info):
        report_to.warn(
            f"{model} was trained on another split of the catalogue of {data}: it may have "
            "trained on photos that are scored here"
        )
    return info


def _report(found: Evaluation, run, data, folder, report_to, **options) -> Evaluation:
    """Write the report into `folder`; return the evaluation with its page among what is written."""
    from fashion_keras.report.page import make_report

    full, files = make_report(
        run, data, found.result, found.predictions, progress=report_to, **options
    )
    write_evaluation(folder, full, found.predictions, run.labels, files)
    return dataclasses.replace(found, written=(*found.written, folder / REPORT_FILE))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 2 for what the user can mend."""
    return run_command(_command, argv)


def _command(argv: Sequence[str] | None) -> None:
    parser = _parser()
    options = parser.parse_args(argv)
    if not options.report and (options.embeddings or options.target_error is not None):
        parser.error("--target-error and --embeddings are of a report: give --report DIR too")
    at = model_place(options.model) if not is_address(options.model) else None
    if options.tensorboard and at and not at.is_dir():
        parser.error(f"--tensorboard writes into a run's folder, {options.model} is none")
    found = evaluate(**vars(options), progress=Terminal())
    print(found)
    if options.tensorboard:
        logs = shlex.quote(os.path.join(options.model, TENSORBOARD))
        print(f"\nPR curves and projector: tensorboard --logdir {logs}")
    print("\n" + "\n".join(f"written to {place}" for place in found.written))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fashion-keras evaluate",
        description="Score a trained model on a split of the records, with 95% intervals.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        type=anywhere,
        required=True,
        metavar="RUN|FILE",
        help="a training run's folder (its best.keras is taken), a .keras file, or the name of a "
        "model that comes with the package",
    )
    parser.add_argument(
        "--data",
        type=anywhere,
        required=True,
        metavar="DIR",
        help="the folder of records that the model was trained on",
    )
    parser.add_argument("--split", required=True, help="train, validation or test")
    parser.add_argument(
        "--label",
        help="the head to report first, where the model has several (default: the run's own)",
    )
    parser.add_argument(
        "--sees",
        choices=SEES,
        default="photo",
        help="of a run that takes titles, what it is given (default: photo)",
    )
    parser.add_argument(
        "--output",
        type=anywhere,
        metavar="DIR",
        help="write a copy there, beside the run's own in evaluation-SPLIT",
    )
    parser.add_argument(
        "--report",
        type=anywhere,
        metavar="DIR",
        help="write a copy there with a page to read (predicts validation too, where the run has "
        "no temperature and threshold of its own)",
    )
    _add_report(parser)
    return parser


def _add_report(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is written beside the scores, and of how they are computed."""
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


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1, such as 0.01")
    return share


def _places(model, own, output, report, tensorboard, report_to) -> list[Path]:
    """Return the folders that the scores go to, the run's own first; the report's is not one.

    The run's own is left out, with a warning, where it cannot be written and another is named.
    """
    if tensorboard and not model.is_dir():
        raise UserError(f"the board is written into a run's folder, {model} is none")
    if tensorboard:
        check_own(model)
    if tensorboard and not can_write(model / TENSORBOARD):
        raise UserError(
            f"cannot write into {model / TENSORBOARD}: leave --tensorboard out, or copy "
            "the run to a place\nwhere you can write and name that"
        )
    for option, folder in (("--output", output), ("--report", report)):
        if folder:
            check_output(folder, f"Give another {option}")
    others = [output] if output else []
    if can_write(own) and not is_released(own):
        check_output(own, "Move them elsewhere")
        return [own, *others] if output != own else others
    elsewhere = output or report
    if is_released(own):
        if not elsewhere:
            raise UserError(
                f"{model.name} comes with the package: give --output DIR for its scores"
            )
        return others
    if not elsewhere:
        raise UserError(
            f"cannot write {own}: you may not write there.\nGive --output DIR; compare takes that "
            "folder in the run's place"
        )
    report_to.warn(
        f"cannot write {own}: the scores go to {elsewhere} alone.\nName that folder to "
        "compare in the run's place; for export, copy the run to where you can write"
    )
    return others


def _own_folder(model: Path, split: str, label: str | None, sees: str) -> Path:
    """Return where a run keeps its evaluation of a split: compare and export look there."""
    name = f"evaluation-{split}"
    if label and label != _own_label(model):
        name += "-" + re.sub(r"[^\w. -]", "_", label)  # Farbe/Muster is no folder in another
    if sees != "photo":
        name += f"-{sees}"
    if model.is_dir():
        return model / name
    # Several files may lie in one folder: each has an evaluation of its own.
    return model.parent / (name if model.name == BEST_MODEL_FILE else f"{model.stem}-{name}")


def _own_label(model: Path) -> str | None:
    """Return the label that a run was trained for, None where it does not say."""
    config = (model if model.is_dir() else model.parent) / CONFIG_FILE
    return load_config(config).data.label if config.is_file() else None


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
