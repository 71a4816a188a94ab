"""`fashion-keras retrain`: a run and records in; its heads or its title's model anew out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from fashion_keras.commands import add_run_and_records, positive_int, run_command
from fashion_keras.config import TrainingConfig, load_config
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.places import changes, local
from fashion_keras.progress import Reporter, Terminal, reporter
from fashion_keras.quiet import load_tensorflow
from fashion_keras.released import check_own, model_place
from fashion_keras.run import (
    CONFIG_FILE,
    TITLE_FILE,
    Run,
    check_run,
    check_split,
    load_run,
)
from fashion_keras.training.workdir import held

PARTS = ("heads", "title")
_EPILOG = """\
examples:
  fashion-keras retrain --model runs/resnet18-1 --data tfrecords/small
  fashion-keras retrain --model runs/resnet18-1 --data tfrecords/small \\
      --sampling square-root
  fashion-keras retrain --model runs/resnet18-1 --data tfrecords/small --part title

The backbone stays as it is and sees each photo once; the heads are trained on what it says, for
many epochs in seconds. It is the rare classes that gain. Of a head's old and new weights the mean
is taken, with the share of the new ones that gives the most accuracy + macro-F1 on validation (0%
leaves it alone); then the decision is fitted anew, as fashion-keras calibrate does.
Training ends with this step by itself, unless the config sets training.retrain_epochs to 0.
"""


@changes("model")
def retrain(
    model: str | os.PathLike,
    data: str | os.PathLike,
    *,
    part: str = "heads",
    epochs: int = TrainingConfig().retrain_epochs,
    sampling: str = "natural",
    views: int = TrainingConfig().retrain_views,
    progress: bool | Reporter = True,
) -> Run:
    """Train a part of a trained model again, on its finished features, and calibrate it.

    The part is the heads, or the model of the products' text, which the run need not have yet.
    The backbone stays as it is. A head's old and new weights are averaged, with the share of the
    new ones that is best on validation; 0 leaves it alone (cRT: Kang et al., 2020; averaged as by
    Wortsman et al., 2022).

    Args:
        model: a training run's folder, or a `.keras` file; it is written to.
        data: the records that it was trained on.
        part: `heads`, or `title` to fit the model of the title. The rest is of the heads.
        epochs: passes over the features.
        sampling: how often a class's photos are drawn: `natural`, `square-root` or `balanced`.
        views: of each photo: as it is, and `views - 1` augmented.
        progress: False for no bars, or a `Reporter`.

    Returns the run with its new part and decisions.

    Raises:
        UserError: a path is wrong, or the run was trained on another split.

    Example:

        run = fk.retrain("runs/resnet18", "tfrecords/small", sampling="square-root")
        run = fk.retrain("runs/resnet18", "tfrecords/small", part="title")
    """
    report_to = reporter(progress)
    model, data = model_place(model), local(data)
    check_own(model)
    if part not in PARTS:
        raise UserError(f"unknown part {part!r}: expected {' or '.join(PARTS)}")
    info = DatasetInfo.load(data)
    for split in ("train", "validation"):
        info.shard_paths(data, split)
    file = check_run(model)
    check_split(file, info, data)
    config_file = file.parent / CONFIG_FILE
    config = load_config(config_file if config_file.is_file() else None)
    load_tensorflow()
    with held(file.parent, fresh=False), report_to:
        options = {"epochs": epochs, "sampling": sampling, "views": views}
        return _retrain(part, file, model, data, info, config, report_to, **options)


def _retrain(part, file, model, data, info, config, report_to, **options) -> Run:
    from fashion_keras.evaluation.calibrating import calibrate_run, calibration_table
    from fashion_keras.evaluation.predictions import check_vocabularies
    from fashion_keras.training.heads import heads_table, retrain_heads
    from fashion_keras.training.title_fit import add_title

    run = load_run(model, info, decided=False)
    check_vocabularies(run.labels, info, run.path, data)
    if part == "title":
        run = add_title(run, data, report_to.update)
        done = f"{file.parent / TITLE_FILE}; next: export it again"
    else:
        seed = config.training.seed
        found = retrain_heads(run, data, **options, seed=seed, progress=report_to.update)
        report_to.say(heads_table(found))
        if not any(head.kept for head in found):
            report_to.say(f"no head validates better: {file} stays as it was")
            return load_run(model, info)  # with its decision
        done = f"{file}; next: export it again, evaluate it on test"
    run, steps = calibrate_run(run, data, config.decision, progress=report_to.bars)
    report_to.say(calibration_table(run, steps))
    report_to.say(f"written to {done}")
    return run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_command, argv)


def _command(argv: Sequence[str] | None) -> None:
    retrain(**vars(_parser().parse_args(argv)), progress=Terminal())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fashion-keras retrain",
        description="Train the heads of a trained model anew on its finished features, or give it "
        "a model of the products' titles.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run_and_records(parser)
    parser.add_argument(
        "--part",
        choices=PARTS,
        default="heads",
        help="title fits the model of the products' text, which the run need not have yet: the "
        "run then takes titles beside photos (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=positive_int,
        default=TrainingConfig().retrain_epochs,
        metavar="N",
        help="passes over the features (default: %(default)s)",
    )
    parser.add_argument(
        "--sampling",
        choices=("natural", "square-root", "balanced"),
        default="natural",
        help="how often a class's photos are drawn (default: %(default)s)",
    )
    parser.add_argument(
        "--views",
        type=positive_int,
        default=TrainingConfig().retrain_views,
        metavar="N",
        help="of each photo: as it is, and N - 1 varied as in training (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
