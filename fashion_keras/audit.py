"""`fashion-keras audit`: records in; near-duplicates, doubtful labels, photo against title, out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from fashion_keras.cluster.engine import add_cluster, check_paths, connected
from fashion_keras.commands import positive_int, run_command
from fashion_keras.config import Config, load_config
from fashion_keras.data.schema import DatasetInfo, check_known
from fashion_keras.errors import UserError
from fashion_keras.places import anywhere, changes, local
from fashion_keras.progress import Reporter, Terminal, reporter
from fashion_keras.run import TITLE_FILE, check_run
from fashion_keras.text import command

EXAMPLES = """\
examples:
  which photos are stored twice, and is the test split honest?
    fashion-keras audit --data tfrecords/small --output audit
  the same, with the score with and without such photos, and with look-alikes by a model:
    fashion-keras audit --data tfrecords/small --model runs/resnet18-1 \\
        --predictions runs/resnet18-1/evaluation-test/predictions.csv.gz --output audit
  which labels of validation and test, that the run did not train on, are probably wrong?
    fashion-keras audit --labels --data tfrecords/small --model runs/resnet18-1 \\
        --output audit
  and which of the training split? Trains five models:
    fashion-keras recipes resnet18-quick > quick.yaml
    fashion-keras audit --labels --data tfrecords/small --folds 5 --config quick.yaml \\
        --output audit
  which photos do not fit their titles? By a run that takes titles:
    fashion-keras audit --titles --data tfrecords/small --model runs/resnet18-1 --output audit

Writes CSVs, picture sheets and a JSON. Look at the sheets, delete the rows of label_issues.csv
that you disagree with, and give it to fashion-keras convert --relabel.
"""


@changes("output")
def audit(
    data: str | os.PathLike,
    output: str | os.PathLike,
    *,
    model: str | os.PathLike | Sequence[str | os.PathLike] = (),
    label: str | None = None,
    predictions: str | os.PathLike | None = None,
    max_distance: int | None = None,
    max_difference: float | None = None,
    min_similarity: float | None = None,
    labels: bool = False,
    titles: bool = False,
    splits: Sequence[str] | None = None,
    folds: int | None = None,
    config: str | os.PathLike | None = None,
    cluster: str | None = None,
    progress: bool | Reporter = True,
) -> str:
    """Look for near-identical photos, for labels that may be wrong, or for photos of other titles.

    Args:
        data: the records.
        output: a folder for CSVs, picture sheets and a JSON.
        model: a training run; with `labels` several, whose probabilities are averaged.
        label: whose values to compare. Defaults to the run's, else the first of the records;
            with `titles` to all that the run has.
        predictions: `predictions.csv.gz` of `evaluate`: score it with and without the photos that
            have a near-duplicate in the training split.
        max_distance: bits that two hashes of 256 bits may differ in. Defaults to 12.
        max_difference: of two photos' pixels, from 0 to 1. Defaults to 0.05.
        min_similarity: cosine of two photos' features, with `model`. Defaults to 0.99.
        labels: rank doubtful labels, and do not look for near-duplicates.
        titles: rank products by how far `model`'s answers by the photo alone and by the title
            alone are apart, and do not look for near-duplicates.
        splits: of `labels` or `titles` with `model`: which to look at. Defaults to validation and
            test.
        folds: of `labels`: look at the training split by training so many models.
        config: a config file for the models of `folds`.
        cluster: a Ray cluster that hashes photos: `auto`, `HOST:PORT`, or `local[N]` processes.
        progress: False for no bars, or a `Reporter`.

    Returns what was found, in a few lines.

    Raises:
        UserError: a path or an argument is wrong, or they do not fit each other.

    Example:

        print(fk.audit("tfrecords/small", "audit", model="runs/resnet18", labels=True))
        print(fk.audit("tfrecords/small", "audit", model="runs/resnet18", titles=True))
    """
    options = argparse.Namespace(**locals())
    report_to = reporter(options.progress)
    runs = [model] if isinstance(model, str | os.PathLike) else model
    options.model = [local(path) for path in runs]
    for name in ("data", "output", "predictions", "config"):
        given = getattr(options, name)
        setattr(options, name, local(given) if given else None)
    return _audit(options, report_to)


def _audit(options: argparse.Namespace, report_to: Reporter) -> str:
    info = DatasetInfo.load(options.data)
    _check(options, info)
    held_out = [k for k, split in info.splits.items() if k != "train" and split.num_examples]
    options.splits = options.splits or held_out
    for model in options.model:
        check_run(model)
    from fashion_keras.auditing.sheets import check_folder

    check_folder(options.output)
    from fashion_keras.quiet import load_tensorflow

    if options.labels:
        from fashion_keras.auditing.label_audit import require_cleanlab

        require_cleanlab()
        config = _config_of_folds(options, info) if options.folds else None
        load_tensorflow()
        from fashion_keras.auditing.label_audit import audit_labels

        return audit_labels(options, info, config, report_to)
    if options.titles:
        load_tensorflow()
        from fashion_keras.auditing.title_audit import audit_titles

        return audit_titles(options, info, report_to)
    predictions = None
    if options.predictions:
        from fashion_keras.auditing.duplicate_audit import read_predictions

        predictions = read_predictions(options.predictions)
    load_tensorflow()
    from fashion_keras.auditing.duplicate_audit import audit_duplicates

    with connected(options.cluster, report_to) as cluster:
        return audit_duplicates(options, info, predictions, report_to, cluster)


def _config_of_folds(options: argparse.Namespace, info: DatasetInfo) -> Config:
    """Return the folds' config; `UserError` where it cannot be trained or may know the labels."""
    from fashion_keras.models.registry import check_arch, check_imagenet

    config = load_config(options.config)
    _check_unseen(options.config, config)
    check_arch(config.model.arch)
    if config.model.weights == "imagenet":
        check_imagenet(config.model.arch)
    for name in config.labels:
        info.trainable_vocabulary(name)
    return config


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 2 for what the user can mend."""
    return run_command(_command, argv)


def _command(argv: Sequence[str] | None) -> None:
    options = _parser().parse_args(argv)
    print(audit(**vars(options), progress=Terminal()))
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
    if options.cluster:
        check_paths(options.data)
        if options.labels or options.titles:
            raise UserError("--cluster belongs to the audit of near-duplicates: leave it out")
    if options.labels and options.titles:
        raise UserError("--labels and --titles are two audits: give one of them")
    for name in ("folds", "config"):
        if getattr(options, name) and not options.labels:
            raise UserError(f"--{name} belongs to --labels: add it, or leave --{name} out")
    if not options.labels and not options.titles:
        if options.splits:
            raise UserError(
                "--splits belongs to --labels or --titles: add one, or leave --splits out"
            )
        if len(options.model) > 1:
            raise UserError("looking for near-duplicates takes one --model")
        if options.min_similarity is not None and not options.model:
            raise UserError("--min-similarity is of a model's features: add --model RUN")
        _check_limits(options)
        return
    for name in ("predictions", "max_distance", "max_difference", "min_similarity"):
        if getattr(options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            other = "--labels" if options.labels else "--titles"
            raise UserError(f"{option} belongs to the audit of near-duplicates: leave out {other}")
    for split in options.splits or ():
        check_known(split, info.splits, f"unknown split {split!r}: the records have")
    if options.titles:
        _check_titles(options, info)
    else:
        _check_labels(options)


def _check_titles(options, info: DatasetInfo) -> None:
    if len(options.model) != 1:
        raise UserError("--titles needs one --model RUN that takes titles")
    (model,) = options.model
    if not (check_run(model).parent / TITLE_FILE).is_file():
        again = command("retrain", "--model", model, "--data", options.data, "--part", "title")
        raise UserError(f"{model} takes no titles. Fit a model of them: {again}")
    if not info.texts:
        raise UserError(
            f"{options.data} holds no text of its products: convert the catalogue again with "
            "--text-column NAME"
        )


def _check_labels(options) -> None:
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
    if "train" in (options.splits or ()):
        raise UserError(
            "a model has learnt the labels of its training split and cannot doubt them: "
            "use --folds K --config FILE"
        )


def _check_limits(options) -> None:
    for name, most in (("max_distance", 256), ("max_difference", 1), ("min_similarity", 1)):
        value = getattr(options, name)
        if value is not None and not 0 <= value <= most:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} {value}: expected a number from 0 to {most}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fashion-keras audit",
        description="Look for near-identical photos within and across splits, with --labels for "
        "labels that are probably wrong, with --titles for photos that do not fit their titles.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=anywhere, required=True, metavar="DIR", help="the records")
    parser.add_argument(
        "--output", type=anywhere, required=True, metavar="OUT", help="where to write"
    )
    parser.add_argument(
        "--model",
        type=anywhere,
        nargs="+",
        default=[],
        metavar="RUN",
        help="a training run; with --labels several, whose probabilities are averaged",
    )
    parser.add_argument(
        "--label", metavar="NAME", help="whose values to compare (default: the run's, else the "
        "first of the records; subCategory where there is one; with --titles all that the run has)"
    )  # fmt: skip
    parser.add_argument(
        "--splits",
        nargs="+",
        metavar="SPLIT",
        help="with --labels or --titles by --model: which to look at (default: validation test)",
    )
    _add_twins(parser.add_argument_group("near-duplicates"))
    _add_doubt(parser.add_argument_group("wrong labels"))
    parser.add_argument_group("photo against title").add_argument(
        "--titles",
        action="store_true",
        help="rank products by how far the answers by photo alone and by title alone are apart",
    )
    return parser


def _add_twins(twins) -> None:
    """Add the options of the search for near-duplicates."""
    twins.add_argument(
        "--predictions",
        type=anywhere,
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
    add_cluster(twins, "hash photos by the machines of a Ray cluster, which see the records")
    twins.add_argument(
        "--min-similarity",
        type=float,
        metavar="COSINE",
        help="of two photos' features, with --model (default: 0.99); see similar.png",
    )


def _add_doubt(doubt) -> None:
    """Add the options of --labels."""
    doubt.add_argument("--labels", action="store_true", help="rank labels that are doubtful")
    doubt.add_argument(
        "--folds", type=positive_int, metavar="K", help="cross-fit: train K models by --config"
    )
    doubt.add_argument("--config", type=anywhere, metavar="FILE", help="of the models of --folds")


if __name__ == "__main__":
    sys.exit(main())
