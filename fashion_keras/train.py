"""Command: records in, a trained model with its history, board, scores and SavedModel out.

fashion-keras train --arch efficientnetb0
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fashion_keras.cluster.actors import run_together
from fashion_keras.cluster.engine import add_cluster, check_paths, connected
from fashion_keras.commands import check_backend, positive_int, run_command
from fashion_keras.config import Config, load_config, parse_assignments, recipe_path
from fashion_keras.data.schema import INFO_FILE, DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.io import place
from fashion_keras.models.registry import ARCHITECTURES, check_arch, check_imagenet
from fashion_keras.places import address_of, anywhere, changes, local, named
from fashion_keras.progress import Reporter, Terminal, reporter
from fashion_keras.provenance import changing, check_files, fingerprints, is_current, note
from fashion_keras.quiet import load_tensorflow
from fashion_keras.released import model_place
from fashion_keras.run import (
    BEST_MODEL_FILE,
    CHECKPOINTS,
    CONFIG_FILE,
    DECISION_FILE,
    EVALUATION_FILE,
    HEADS_FILE,
    SAVED_MODEL,
    TEACHER_FILE,
    Run,
    check_records,
    check_run,
    check_teacher,
    has_other_split,
    load_run,
    load_run_config,
)
from fashion_keras.text import command
from fashion_keras.training.distribution import (
    Asked,
    Distribution,
    Processes,
    parse_devices,
    read_processes,
    start,
)
from fashion_keras.training.stages import plan_stages
from fashion_keras.training.workdir import (
    begin,
    check_resumable,
    checkpoints,
    held,
    remove_leftovers,
    undo,
)

DEFAULT_RECORDS = Path("tfrecords/small")
SAMPLE_RECORDS = Path("tfrecords/sample")
RUNS = Path("runs")
# A label with more classes than the first, of fewer training photos each than the second, is
# taken for a name.
_MANY_CLASSES, _FEW_PHOTOS = 200, 3

_EXAMPLES = """\
examples:
  fashion-keras train --arch efficientnetb0
  fashion-keras train --recipe resnet18 --data tfrecords/small
  fashion-keras train --arch resnet18 --label articleType --epochs 20 \\
      --set optimizer.learning_rate=1e-3 --set data.augment=rand-augment
  fashion-keras train --workdir runs/resnet18-1 --resume
  tensorboard --logdir runs
  fashion-keras train --data s3://shop/records --workdir s3://shop/runs/a

fashion-keras recipes lists the recipes. docs/config.md has every key that --set takes, and
--print-config shows what they come to.
"""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = argparse.ArgumentParser(
        prog="fashion-keras train",
        description="Train a classifier on records, keep its best epoch by validation macro-F1, "
        "score that on the validation split and export it for TF Serving.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--arch", metavar="NAME", help=" or ".join(ARCHITECTURES))
    start = result.add_mutually_exclusive_group()
    start.add_argument("--recipe", metavar="NAME", help="see: fashion-keras recipes")
    start.add_argument(
        "--config",
        type=named,
        metavar="FILE",
        help="a YAML file; it may say base: NAME and hold what differs",
    )
    result.add_argument(
        "--data",
        type=named,
        metavar="DIR",
        help=f"records (default: {DEFAULT_RECORDS}; where there are none, a drawn sample)",
    )
    result.add_argument("--label", metavar="NAME", help="what to learn (default: subCategory)")
    result.add_argument(
        "--weights",
        type=named,
        metavar="W",
        help="none, imagenet, a run (whose --arch is the default then) or a weights file",
    )
    result.add_argument(
        "--teacher",
        type=named,
        metavar="RUN",
        nargs="+",
        help="runs on the same records whose probabilities are learnt from beside the labels",
    )
    result.add_argument("--epochs", type=int, metavar="N", help="(default: 10)")
    _add_devices(result)
    result.add_argument(
        "--workdir",
        type=named,
        metavar="DIR",
        help=f"where the run goes (default: {RUNS}/ARCH-N)",
    )
    result.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in --workdir"
    )
    result.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="set any key of the config, e.g. training.batch_size=32",
    )
    result.add_argument(
        "--print-config", action="store_true", help="print the resolved config, and end"
    )
    return result


def _add_devices(result: argparse.ArgumentParser) -> None:
    """Add the options that say what trains."""
    result.add_argument(
        "--devices",
        metavar="N",
        help="how many devices share each batch: a number, all, or cpu:N to try it out (default: "
        "all GPUs, or the CPU)",
    )
    add_cluster(result, "train by machines of a Ray cluster, which see --data and --workdir")
    result.add_argument(
        "--workers",
        type=positive_int,
        default=2,
        metavar="N",
        help="processes of --cluster that share each batch (2)",
    )


@changes("workdir", writes=lambda: read_processes().is_writer)
def train(
    data: str | os.PathLike | None = None,
    workdir: str | os.PathLike | None = None,
    *,
    recipe: str | None = None,
    config: str | os.PathLike | Config | None = None,
    arch: str | None = None,
    label: str | None = None,
    weights: str | os.PathLike | None = None,
    teacher: Sequence[str | os.PathLike] | None = None,
    epochs: int | None = None,
    devices: int | str | None = None,
    settings: Mapping[str, object] | None = None,
    resume: bool = False,
    progress: bool | Reporter = True,
) -> Run:
    """Train a classifier, keep its best epoch by validation, score and calibrate it, export it.

    Writes a run: config, labels, history, checkpoints, TensorBoard log, `best.keras`, its
    decision, its scores on validation and a SavedModel.

    Args:
        data: records, as `convert` wrote them. Defaults to `tfrecords/small`, or to a drawn sample.
        workdir: the run's folder, empty or new. Defaults to `runs/ARCH-N`.
        recipe: the name of a recipe of this package, such as `resnet18`.
        config: a YAML file, or a `Config`. Not with `recipe`.
        arch: `resnet18`, `efficientnetb0` or `efficientnetlite0`.
        label: what to learn. Defaults to the config's, `subCategory`.
        weights: what to start from: `none`, `imagenet`, a run or a weights file.
        teacher: runs on the same records whose probabilities are learnt from beside the labels.
        epochs: how many.
        devices: how many share each batch: a number, `all`, or `cpu:N` for N virtual devices of
            the CPU. Defaults to all GPUs, or the CPU. With `TF_CONFIG` or Keras's variables set,
            those of several processes share it; the first alone writes the run.
        settings: further keys of the config, such as `{"optimizer.learning_rate": 1e-3}`.
        resume: continue the run in `workdir` from its last checkpoint.
        progress: False for no bars, or a `Reporter`.

    Returns the run, loaded. In the processes beside the first it is as trained, with no decision.

    Raises:
        UserError: records, config, weights or teacher are missing or do not fit each other; the
            workdir is not free, or another process trains in it; the loss is not a number.

    Example:

        run = fk.train("tfrecords/small", "runs/mine", recipe="resnet18", epochs=5)
        print(run.history["val_macro_f1"].max())
    """
    asked, processes = parse_devices(devices), read_processes()
    report_to = reporter(progress if processes.is_writer else False)
    file, overrides = _asked(recipe, config, settings, data, arch, label, weights, teacher, epochs)
    resolved, folder = _resolve(file, overrides, workdir, resume)
    return _check_and_train(resolved, folder, resume, (asked, processes), report_to)


def _check_and_train(
    config: Config,
    workdir: Path,
    resume: bool,
    devices: tuple[Asked, Processes],
    report_to: Reporter,
) -> Run:
    """Check everything that the run will need, then train as this process is to."""
    check_arch(config.model.arch)
    plan_stages(config)
    where = _records(config, report_to)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, records=str(where)))
    records = local(where)
    info = DatasetInfo.load(records)
    labels = {name: info.trainable_vocabulary(name) for name in config.labels}
    job = _Job(config, records, info, labels, resume, report_to)
    _check(job, workdir)
    way = _train if devices[1].is_writer else _train_beside
    return way(job, workdir, devices)


class _Job(NamedTuple):
    """A training that everything is there for."""

    config: Config
    records: Path
    info: DatasetInfo
    labels: Mapping[str, Sequence[str]]
    resume: bool
    report_to: Reporter


def _train(job: _Job, workdir: Path, devices: tuple[Asked, Processes]) -> Run:
    """Train, finish and load a run."""
    config, records, info, labels, resume, report_to = job
    with held(workdir, fresh=not resume):
        if resume:
            check_resumable(workdir, labels)
            remove_leftovers(workdir)
        else:
            begin(workdir, config, info, labels)
        watch = shlex.join(["tensorboard", "--logdir", str(workdir.parent)])
        report_to.say(f"run: {workdir}  (watch it: {watch})")
        sizes = ", ".join(f"{name} {split.num_examples:,}" for name, split in info.splits.items())
        report_to.say(f"records: {records} ({sizes}); label: {config.data.label}")
        try:
            # TensorFlow is loaded here and not before: what is wrong above is answered at once.
            load_tensorflow()
        except UserError:
            if not resume:
                undo(workdir)
            raise
        try:
            distribution = _joined(devices)
            trained = _run_training(job, workdir, distribution)
            _finish(trained, records, workdir, report_to)
        except BaseException as error:
            if not checkpoints(workdir / CHECKPOINTS):
                if not resume:
                    undo(workdir)
            elif isinstance(error, KeyboardInterrupt):
                report_to.note(f"\ngo on with: {_resuming(workdir)}")
            raise
    return load_run(workdir)


def _train_beside(job: _Job, workdir: Path, devices: tuple[Asked, Processes]) -> Run:
    """Train beside the first process, in a passing folder: `workdir` is that one's to write."""
    with tempfile.TemporaryDirectory(prefix="fashion-keras-") as scratch:
        folder = Path(scratch) / "run"
        folder.mkdir()
        begin(folder, job.config, job.info, job.labels)
        load_tensorflow()
        distribution = _joined(devices)
        # Not before all have joined: until then a first process of before may write another.
        if job.resume:
            for _, last in checkpoints(workdir / CHECKPOINTS)[-1:]:
                shutil.copytree(last, folder / CHECKPOINTS / last.name)
            for name in (BEST_MODEL_FILE, TEACHER_FILE):
                if (workdir / name).is_file():
                    shutil.copyfile(workdir / name, folder / name)
        _run_training(job, folder, distribution)
        return load_run(folder)


def _joined(devices: tuple[Asked, Processes]) -> Distribution:
    """Take the devices, and wait for the other processes."""
    check_backend("tensorflow", "jax")
    return start(*devices)


def _run_training(job: _Job, workdir: Path, distribution: Distribution):
    """Train, and leave the other processes; return what has trained."""
    from fashion_keras.evaluation.plots import confusion_matrix_figure, figure_to_png
    from fashion_keras.training.trainer import train as run_training

    trained = run_training(
        job.config,
        job.records,
        workdir,
        distribution=distribution,
        soft_targets=_soft_targets(job, workdir),
        draw_matrix=lambda matrix, names: figure_to_png(confusion_matrix_figure(matrix, names)),
        say=job.report_to.say,
        bars=job.report_to.bars,
    )
    distribution.end()
    return trained


def _check(job: _Job, workdir: Path) -> None:
    """Raise `UserError` where weights, splits or teachers do not fit the records."""
    config, records, info, _, resume, report_to = job
    weights = config.model.weights
    if weights == "imagenet":
        check_imagenet(config.model.arch)
    of_a_run = weights not in ("none", "imagenet") and not resume
    if of_a_run:
        check_run(weights)
    if config.model.title and not info.texts:
        raise UserError(
            f"model.title: {records} holds no text of its products.\n"
            "Convert the catalogue again with --text-column NAME, or set model.title=false"
        )
    for split in ("train", "validation"):
        info.shard_paths(records, split)
        if not any(info.splits[split].class_counts[config.data.label]):
            raise UserError(
                f"no photo of split {split!r} of {records} has a {config.data.label}: nothing to "
                "learn, or to choose the best epoch by"
            )
    _warn_of_names(config, info, report_to)
    if of_a_run and has_other_split(weights, info):
        report_to.warn(
            f"the weights {weights} were trained on another split of the catalogue of "
            f"{records}: they may know its validation and test photos"
        )
    if config.training.teacher and not _needs_no_teacher(config, workdir):
        for teacher in config.training.teacher:
            check_teacher(teacher, info, records)
    if resume:
        check_records(workdir, info, records)


def _warn_of_names(config: Config, info: DatasetInfo, report_to: Reporter) -> None:
    """Say so where a label seems to be each product's name rather than a class of products."""
    for label in config.labels:
        counts = info.splits["train"].class_counts[label]
        if len(counts) > _MANY_CLASSES and sum(counts) < _FEW_PHOTOS * len(counts):
            report_to.warn(
                f"label {label!r} has {len(counts):,} classes with {sum(counts) / len(counts):.1f} "
                "training photos each: it looks like a name or a\nnumber rather than a class, and "
                "few of its classes can be learnt"
            )


def _soft_targets(job: _Job, workdir: Path):
    """Return what the teachers say of the training photos, asking them once; None without any."""
    config, records, _, labels, _, report_to = job
    training = config.training
    file = workdir / TEACHER_FILE
    if not training.teacher or (_needs_no_teacher(config, workdir) and not file.is_file()):
        return None
    from fashion_keras.data.pipeline import SoftTargets
    from fashion_keras.evaluation.predictions import ask_teachers

    if file.is_file():
        check_files(workdir, TEACHER_FILE)
        return SoftTargets.load(file, training.teacher_weight, labels)
    report_to.say(f"asking {', '.join(training.teacher)} about the training photos")
    asked = (training.teacher, records, config.labels, training.teacher_weight)
    found = ask_teachers(*asked, progress=report_to.bars)
    report_to.say(f"teacher: {', '.join(found.probabilities)}")
    with changing(workdir, TEACHER_FILE):
        found.save(file)
    return found


def _needs_no_teacher(config: Config, workdir: Path) -> bool:
    """Return whether a run has its teacher's answers, or has learnt all: it may be gone by then."""
    last = workdir / CHECKPOINTS / f"epoch-{config.training.epochs:04d}"
    return (workdir / TEACHER_FILE).is_file() or last.is_dir()


def _finish(trained, records: Path, workdir: Path, report_to: Reporter) -> None:
    """Retrain the heads if asked, calibrate, score on validation, show mistakes, export."""
    from fashion_keras.evaluation.calibrating import calibrate_run, calibration_table
    from fashion_keras.evaluation.files import save_evaluation, table
    from fashion_keras.evaluation.results import evaluate_run
    from fashion_keras.report.examples import surest_mistakes
    from fashion_keras.training.heads import heads_table, retrain_heads
    from fashion_keras.training.title_fit import add_title

    report_to.say(f"best epoch: {trained.best_epoch}; scoring it on the validation split")
    run = load_run(workdir, decided=is_current(workdir, DECISION_FILE, BEST_MODEL_FILE))
    note(workdir, BEST_MODEL_FILE)
    config = run.config
    assert config is not None  # `train` has written it
    training = config.training
    if training.retrain_epochs and not is_current(workdir, HEADS_FILE, BEST_MODEL_FILE):
        with report_to:
            found = retrain_heads(
                run,
                records,
                epochs=training.retrain_epochs,
                sampling=training.retrain_sampling,
                views=training.retrain_views,
                seed=training.seed,
                progress=report_to.update,
            )
        report_to.say(f"{heads_table(found)}\n")
    if config.model.title and run.title is None:
        with report_to:
            run = add_title(run, records, report_to.update)
    # A finished run resumed keeps its decision: fashion-keras calibrate may have fitted another.
    steps = None
    lacks_titles = run.title is not None and set(run.title_decisions) != {"title", "both"}
    if not is_current(workdir, DECISION_FILE, BEST_MODEL_FILE) or lacks_titles:
        run, steps = calibrate_run(run, records, config.decision)
    report_to.say(f"{calibration_table(run, steps)}\n")
    result, predictions = evaluate_run(run, records, "validation")
    save_evaluation(workdir / EVALUATION_FILE, result)
    photos, captions = surest_mistakes(run, records, predictions)
    trained.board.write_mistakes(photos, captions, step=trained.best_epoch)
    best = {
        "accuracy": result["accuracy"]["value"],
        "macro_f1": result["macro_f1"]["value"],
        "epoch": trained.best_epoch,
    }
    # After the epochs' own: with the heads and the decision that were fitted since.
    trained.board.write_best(best, step=len(trained.history) + 1)
    report_to.say(table(result))
    if run.title is not None:
        _score_titles(run, records, report_to)
    if not _is_exported(workdir):  # else a finished run resumed: its model is there
        _export(run, records, workdir, report_to)


def _export(run: Run, records: Path, workdir: Path, report_to: Reporter) -> None:
    import keras

    from fashion_keras.serving.savedmodel import export_saved_model

    if keras.backend.backend() != "tensorflow":
        report_to.say(
            "SavedModel: TensorFlow writes it, go on with: KERAS_BACKEND=tensorflow "
            + _resuming(workdir)
        )
        return
    saved = export_saved_model(run, workdir / SAVED_MODEL)
    report_to.say(f"SavedModel: {saved}")
    of = ("--model", workdir, "--data", records, "--split", "test")
    report_to.say(f"next: {command('evaluate', *of)}")


def _score_titles(run: Run, records: Path, report_to: Reporter) -> None:
    """Score the title alone and both on validation, which the table above is not of."""
    from fashion_keras.evaluation.files import write_evaluation
    from fashion_keras.evaluation.results import evaluate_run

    for sees, what in (("title", "the title alone"), ("both", "photo and title")):
        result, predictions = evaluate_run(run, records, "validation", sees=sees)
        write_evaluation(
            run.path / f"evaluation-validation-{sees}", result, predictions, run.labels
        )
        report_to.say(
            f"{what}: accuracy {result['accuracy']['value']:.4f}, "
            f"macro-F1 {result['macro_f1']['value']:.4f}"
        )


def _is_exported(workdir: Path) -> bool:
    """Return whether the run's last SavedModel was made from its best model as that is now."""
    from fashion_keras.serving.layout import ModelInfo, versions

    exported = versions(workdir / SAVED_MODEL)
    if not exported:
        return False
    last = workdir / SAVED_MODEL / str(max(exported))
    made_from = ModelInfo.load(last).made_from.get(BEST_MODEL_FILE)
    if made_from is None:  # of 0.1, which did not say
        return True
    return made_from == fingerprints(workdir, [BEST_MODEL_FILE])[BEST_MODEL_FILE]


def _resuming(workdir: Path) -> str:
    return command("train", "--workdir", workdir, "--resume")


def _asked(recipe, config, settings, data, arch, label, weights, teacher, epochs):
    """Return the config to begin with, and the dotted keys that the arguments set in it."""
    if recipe and config is not None:
        raise UserError("a recipe and a config are given: name one of them")
    settings = settings or {}
    if weights and not (arch or recipe or config is not None or "model.arch" in settings):
        arch = _arch_of(weights)
    keys = {
        "model.arch": arch,
        "model.weights": weights and (address_of(weights) or named(weights)),
        "training.teacher": [address_of(run) or named(run) for run in teacher or ()] or None,
        # As it is saved: ./tfrecords/small is tfrecords/small when a run is resumed.
        "data.records": data and (address_of(data) or str(anywhere(data))),
        "data.label": label,
        "training.epochs": epochs,
    }
    overrides = {key: value for key, value in keys.items() if value is not None}
    return recipe_path(recipe) if recipe else config, {**settings, **overrides}


def _arch_of(weights: str | os.PathLike) -> str | None:
    """Return the architecture of a run; None where the weights are no run's folder."""
    folder = model_place(weights)
    config = load_run_config(folder) if folder.is_dir() else None
    return config.model.arch if config else None


def _resolve(file, overrides, workdir, resume) -> tuple[Config, Path]:
    """Return the config from file and overrides, and the workdir."""
    if not resume:
        new = load_config(file, overrides)
        return new, place(workdir) if workdir else _next_run(new.model.arch)
    if not workdir:
        raise UserError("--resume needs --workdir DIR: the run to go on with")
    workdir = place(workdir)
    saved = workdir / CONFIG_FILE
    config = load_run_config(workdir)
    if config is None:
        raise UserError(f"nothing to resume at {workdir}: it has no {CONFIG_FILE}")
    asked = load_config(saved if file is None else file, overrides)
    if not asked.data.records:  # found where they are by default, as they were at the start
        data = dataclasses.replace(asked.data, records=config.data.records)
        asked = dataclasses.replace(asked, data=data)
    if asked != config:
        raise UserError(
            f"--resume goes on with {saved}, and the options given differ from it.\n"
            "Leave them out, or train into another --workdir"
        )
    return config, workdir


def _next_run(arch: str) -> Path:
    runs = (RUNS / f"{arch}-{number}" for number in itertools.count(1))
    return next(run for run in runs if not run.exists())


def _records(config: Config, report_to: Reporter) -> str | Path:
    """Return where the records are, drawing and converting the sample where there are none."""
    if config.data.records:
        return anywhere(config.data.records)
    if (DEFAULT_RECORDS / INFO_FILE).is_file():
        return DEFAULT_RECORDS
    report_to.say(
        f"no records at {DEFAULT_RECORDS}: using the drawn sample catalogue ({SAMPLE_RECORDS})"
    )
    if not (SAMPLE_RECORDS / INFO_FILE).is_file():
        from fashion_keras.data.conversion import Request, convert
        from fashion_keras.data.sample import draw_sample

        catalogue = draw_sample(SAMPLE_RECORDS.with_name("sample-catalogue"))
        convert(Request(source=str(catalogue)), SAMPLE_RECORDS, say=lambda line: None)
    return SAMPLE_RECORDS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command(_command, argv)


def _command(argv: Sequence[str] | None) -> None:
    options = vars(parser().parse_args(argv))
    settings = parse_assignments(options.pop("set"))
    address, workers = options.pop("cluster"), options.pop("workers")
    if not options.pop("print_config"):
        if address:
            _train_by_cluster(address, workers, {**options, "settings": settings}, Terminal())
            return
        train(**options, settings=settings, progress=Terminal())
        return
    del options["workdir"], options["resume"], options["devices"]
    file, overrides = _asked(**options, settings=settings)
    print(load_config(file, overrides).to_yaml(), end="")


def _train_by_cluster(address: str, workers: int, options: dict, report_to: Reporter) -> None:
    """Train in processes of a cluster, which take paths as this one does."""
    if not options["data"] or not options["workdir"]:
        raise UserError("--cluster: give --data and --workdir, folders that all machines share")
    named_paths = ("data", "workdir", "config", "weights")
    check_paths(*(options[name] for name in named_paths), *(options["teacher"] or ()))
    workdir = os.path.abspath(options["workdir"])
    found = {name: _absolute(options[name]) for name in named_paths} | {"workdir": workdir}
    teacher = [_absolute(run) for run in options["teacher"] or ()] or None
    # By its full name, which a process there finds it by, also where this module is the program.
    from fashion_keras.train import _train_there

    there = functools.partial(_train_there, {**options, **found, "teacher": teacher})
    os.makedirs(os.path.dirname(workdir), exist_ok=True)
    with connected(address, report_to) as cluster, report_to:
        assert cluster is not None
        cluster.share(os.path.dirname(workdir))
        cluster.share(os.path.join(found["data"], INFO_FILE))
        run_together(cluster, workers, there, report_to)


def _absolute(path: str | None) -> str | None:
    """Return a path that is there as one that does not depend on the folder; names as they are."""
    return os.path.abspath(path) if path and os.path.exists(path) else path


def _train_there(options: dict, progress: Reporter) -> None:
    train(**options, progress=progress)


if __name__ == "__main__":
    sys.exit(main())
