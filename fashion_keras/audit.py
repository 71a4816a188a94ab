"""`python -m fashion_keras.audit`: records in; near-duplicates, leaks and doubtful labels out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fashion_keras.commands import positive_int, run_command
from fashion_keras.config import load_config
from fashion_keras.data.schema import DatasetInfo, did_you_mean
from fashion_keras.errors import UserError
from fashion_keras.places import place
from fashion_keras.run import check_run

EXAMPLES = """\
examples:
  which photos are stored twice, and is the test split honest?
    python -m fashion_keras.audit --data tfrecords/small --output audit
  the same, with the score with and without such photos, and with look-alikes by a model:
    python -m fashion_keras.audit --data tfrecords/small --model runs/resnet18-1 \\
        --predictions runs/resnet18-1/evaluation-test/predictions.csv.gz --output audit
  which labels of validation and test, that the run did not train on, are probably wrong?
    python -m fashion_keras.audit --labels --data tfrecords/small --model runs/resnet18-1 \\
        --output audit
  and which of the training split? Trains five models:
    python -m fashion_keras.audit --labels --data tfrecords/small --folds 5 \\
        --config configs/quick_resnet18.yaml --output audit

Writes CSVs, picture sheets and a JSON. Look at the sheets, delete the rows of label_issues.csv
that you disagree with, and give it to python -m fashion_keras.convert --relabel.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 2 for what the user can mend."""
    return run_command(audit, argv)


def audit(argv: Sequence[str] | None = None) -> None:
    """Audit records as the arguments say, write the folder and print what was found."""
    options = _parser().parse_args(argv)
    info = DatasetInfo.load(options.data)
    _check(options, info)
    for model in options.model:
        check_run(model)
    from fashion_keras.auditing.files import check_folder

    check_folder(options.output)
    from fashion_keras.quiet import load_tensorflow

    if options.labels:
        from fashion_keras.auditing.labels import require_cleanlab

        require_cleanlab()
        config = load_config(options.config) if options.folds else None
        if config:
            from fashion_keras.models.registry import check_arch, check_imagenet

            _check_unseen(options.config, config)
            check_arch(config.model.arch)
            if config.model.weights == "imagenet":
                check_imagenet(config.model.arch)
            for name in config.labels:
                info.trainable_vocabulary(name)
        load_tensorflow()
        from fashion_keras.auditing.label_audit import audit_labels

        print(audit_labels(options, info, config))
    else:
        predictions = None
        if options.predictions:
            from fashion_keras.auditing.leakage import read_predictions

            predictions = read_predictions(options.predictions)
        load_tensorflow()
        from fashion_keras.auditing.duplicate_audit import audit_duplicates

        print(audit_duplicates(options, info, predictions))
    print(f"\nwritten to {options.output}")


def _check_unseen(path, config) -> None:
    """Raise `UserError` where what the folds' models begin with may know the labels in doubt."""
    if config.model.weights not in ("none", "imagenet"):
        raise UserError(
            f"{path} has model.weights: {config.model.weights}, which may have learnt the very "
            "labels it is to doubt: give none or imagenet"
        )
    if config.training.teacher:
        raise UserError(
            f"{path} has training.teacher: {', '.join(config.training.teacher)}, which may have "
            "learnt the very labels it is to doubt: leave it out"
        )


def _check(options, info: DatasetInfo) -> None:
    """Raise `UserError` where options do not fit each other or the records."""
    if options.label:
        info.vocabulary(options.label)
    if not options.labels:
        for name in ("folds", "config", "splits"):
            if getattr(options, name):
                raise UserError(f"--{name} belongs to --labels: add it, or leave --{name} out")
        if len(options.model) > 1:
            raise UserError("looking for near-duplicates takes one --model")
        if options.min_similarity is not None and not options.model:
            raise UserError("--min-similarity is of a model's features: add --model RUN")
        _check_limits(options)
        return
    for name in ("predictions", "max_distance", "max_difference", "min_similarity"):
        if getattr(options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} belongs to the audit of near-duplicates: leave out --labels")
    if options.folds:
        if options.model or not options.config:
            raise UserError(
                "--folds K trains K models by --config FILE: give the config, and no --model"
            )
        if options.folds < 2:
            raise UserError(f"--folds {options.folds}: expected at least 2")
        if options.splits:
            raise UserError("--folds looks at the training split: leave out --splits")
        return
    if not options.model:
        raise UserError("--labels needs --model RUN, or --folds K --config FILE")
    for split in options.splits or ():
        if split == "train":
            raise UserError(
                "a model has learnt the labels of its training split and cannot doubt them: "
                "use --folds K --config FILE"
            )
        if split not in info.splits:
            known = ", ".join(info.splits)
            raise UserError(
                f"unknown split {split!r}: the records have {known}"
                + did_you_mean(split, info.splits)
            )


def _check_limits(options) -> None:
    for name, most in (("max_distance", 256), ("max_difference", 1), ("min_similarity", 1)):
        value = getattr(options, name)
        if value is not None and not 0 <= value <= most:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} {value}: expected a number from 0 to {most}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fashion_keras.audit",
        description="Look for near-identical photos within and across splits, and with --labels "
        "for labels that are probably wrong.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=place, required=True, metavar="DIR", help="the records")
    parser.add_argument("--output", type=place, required=True, metavar="OUT", help="where to write")
    parser.add_argument(
        "--model",
        type=place,
        nargs="+",
        default=[],
        metavar="RUN",
        help="a training run; with --labels several, whose probabilities are averaged",
    )
    parser.add_argument(
        "--label", metavar="NAME", help="whose values to compare (default: the run's, else the "
        "first of the records; subCategory where there is one)"
    )  # fmt: skip
    twins = parser.add_argument_group("near-duplicates")
    twins.add_argument(
        "--predictions",
        type=place,
        metavar="FILE",
        help="predictions.csv.gz of evaluate: score it with and without the photos that have a "
        "near-duplicate in the training split",
    )
    twins.add_argument(
        "--max-distance",
        type=int,
        metavar="BITS",
        help="of two hashes of 256 bits (default: 12); look at distances.png before changing it",
    )
    twins.add_argument(
        "--max-difference",
        type=float,
        metavar="D",
        help="of two photos' pixels, from 0 to 1 (default: 0.05; 1 also takes other colours)",
    )
    twins.add_argument(
        "--min-similarity",
        type=float,
        metavar="COSINE",
        help="of two photos' features, with --model (default: 0.99); see similar.png",
    )
    doubt = parser.add_argument_group("wrong labels")
    doubt.add_argument("--labels", action="store_true", help="rank labels that are doubtful")
    doubt.add_argument(
        "--splits",
        nargs="+",
        metavar="SPLIT",
        help="with --model: which to look at (default: validation test)",
    )
    doubt.add_argument(
        "--folds", type=positive_int, metavar="K", help="cross-fit: train K models by --config"
    )
    doubt.add_argument("--config", type=place, metavar="FILE", help="of the models of --folds")
    return parser


if __name__ == "__main__":
    sys.exit(main())
