"""`python -m fashion_keras.retrain`: a run and records in; its heads trained anew out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fashion_keras.commands import add_run_and_records, positive_int, run_command
from fashion_keras.config import TrainingConfig, load_config
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.progress import PhaseBar
from fashion_keras.quiet import load_tensorflow
from fashion_keras.run import CONFIG_FILE, check_run, check_split, load_run

_EPILOG = """\
examples:
  python -m fashion_keras.retrain --model runs/resnet18-1 --data tfrecords/small
  python -m fashion_keras.retrain --model runs/resnet18-1 --data tfrecords/small \\
      --sampling square-root

The backbone stays as it is and sees each photo once; the heads are trained on what it says, for
many epochs in seconds. It is the rare classes that gain. Of a head's old and new weights the mean
is taken, with the share of the new ones that gives the most accuracy + macro-F1 on validation (0%
leaves it alone); then the decision is fitted anew, as fashion_keras.calibrate does.
Training ends with this step by itself, unless the config sets training.retrain_epochs to 0.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_retrain, argv)


def _retrain(argv: Sequence[str] | None) -> None:
    arguments = _parser().parse_args(argv)
    info = DatasetInfo.load(arguments.data)
    for split in ("train", "validation"):
        info.shard_paths(arguments.data, split)
    file = check_run(arguments.model)
    check_split(file, info, arguments.data)
    config = file.parent / CONFIG_FILE
    config = load_config(config if config.is_file() else None)
    load_tensorflow()
    from fashion_keras.evaluation.calibrating import acceptance_line, calibrate_run, steps_table
    from fashion_keras.evaluation.predictions import check_vocabularies
    from fashion_keras.training.heads import heads_table, retrain_heads

    run = load_run(arguments.model, info)
    check_vocabularies(run.labels, info, run.path, arguments.data)
    with PhaseBar("photos") as bar:
        found = retrain_heads(
            run,
            arguments.data,
            epochs=arguments.epochs,
            sampling=arguments.sampling,
            views=arguments.views,
            seed=config.training.seed,
            progress=bar.update,
        )
    print(heads_table(found), flush=True)
    if not any(head.kept for head in found):
        print(f"no head validates better: {file} stays as it was")
        return
    run, steps = calibrate_run(run, arguments.data, config.decision, progress=sys.stderr.isatty())
    print(steps_table(steps))
    print(acceptance_line(run.decision))
    print(f"written to {file}; next: export it anew, evaluate it on test")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fashion_keras.retrain",
        description="Train the heads of a trained model anew on its finished features.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run_and_records(parser)
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
