"""Command: records in, a trained model with its history, board, scores and SavedModel out.

python -m fashion_keras.train --arch efficientnetb0
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from fashion_keras.commands import check_backend, run_command
from fashion_keras.config import Config, load_config, parse_assignments
from fashion_keras.config_file import recipe_path
from fashion_keras.data.schema import INFO_FILE, DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.models.registry import ARCHITECTURES, check_arch, check_imagenet
from fashion_keras.places import place_text
from fashion_keras.progress import Terminal
from fashion_keras.provenance import RUN_FILE, changing, check_files, fingerprints, is_current, note
from fashion_keras.quiet import load_tensorflow
from fashion_keras.run import (
    BEST_MODEL_FILE,
    CHECKPOINTS,
    CONFIG_FILE,
    DECISION_FILE,
    EVALUATION_FILE,
    HEADS_FILE,
    HISTORY_FILE,
    LABELS_FILE,
    RECORDS_FILE,
    SAVED_MODEL,
    TEACHER_FILE,
    TENSORBOARD,
    check_records,
    check_run,
    check_teacher,
    has_other_split,
    load_run,
    load_run_config,
    save_config,
    save_records,
)
from fashion_keras.text import command
from fashion_keras.training.stages import plan_stages

DEFAULT_RECORDS = Path("tfrecords/small")
SAMPLE_RECORDS = Path("tfrecords/sample")
RUNS = Path("runs")

_EXAMPLES = """\
examples:
  python -m fashion_keras.train --arch efficientnetb0
  python -m fashion_keras.train --recipe resnet18 --data tfrecords/small
  python -m fashion_keras.train --arch resnet18 --label articleType --epochs 20 \\
      --set optimizer.learning_rate=1e-3 --set data.augment=rand-augment
  python -m fashion_keras.train --workdir runs/resnet18-1 --resume
  tensorboard --logdir runs

fashion-keras recipes lists the recipes. docs/config.md has every key that --set takes, and
--print-config shows what they come to.
"""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = argparse.ArgumentParser(
        prog="python -m fashion_keras.train",
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
        type=place_text,
        metavar="FILE",
        help="a YAML file; it may say base: NAME and hold what differs",
    )
    result.add_argument(
        "--data",
        type=place_text,
        metavar="DIR",
        help=f"records (default: {DEFAULT_RECORDS}; where there are none, a drawn sample)",
    )
    result.add_argument("--label", metavar="NAME", help="what to learn (default: subCategory)")
    result.add_argument(
        "--weights", type=place_text, metavar="W", help="none, imagenet, a run or a weights file"
    )
    result.add_argument(
        "--teacher",
        type=place_text,
        metavar="RUN",
        nargs="+",
        help="runs on the same records whose probabilities are learnt from beside the labels",
    )
    result.add_argument("--epochs", type=int, metavar="N", help="(default: 10)")
    result.add_argument(
        "--workdir",
        type=place_text,
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


def train(argv: Sequence[str] | None) -> None:
    """Parse `argv`, train, evaluate on the validation split, and export."""
    options = parser().parse_args(argv)
    config, workdir = _resolve(options)
    if options.print_config:
        print(config.to_yaml(), end="")
        return
    check_arch(config.model.arch)
    plan_stages(config)
    weights = config.model.weights
    if weights == "imagenet":
        check_imagenet(config.model.arch)
    of_a_run = weights not in ("none", "imagenet") and not options.resume
    if of_a_run:
        check_run(weights)
    records = _records(config)
    info = DatasetInfo.load(records)
    for label in config.labels:
        info.trainable_vocabulary(label)
    for split in ("train", "validation"):
        info.shard_paths(records, split)
    if of_a_run and has_other_split(weights, info):
        print(
            f"warning: the weights {weights} were trained on another split of the catalogue of "
            f"{records}: they may know its validation and test photos",
            file=sys.stderr,
        )
    if config.training.teacher and not _needs_no_teacher(config, workdir):
        for teacher in config.training.teacher:
            check_teacher(teacher, info, records)
    if options.resume:
        check_records(workdir, info, records)
    else:
        config = dataclasses.replace(
            config, data=dataclasses.replace(config.data, records=str(records))
        )
        _prepare_workdir(workdir, config, info)
    watch = shlex.join(["tensorboard", "--logdir", str(workdir.parent)])
    print(f"run: {workdir}  (watch it: {watch})", flush=True)
    sizes = ", ".join(f"{name} {split.num_examples:,}" for name, split in info.splits.items())
    print(f"records: {records} ({sizes}); label: {config.data.label}", flush=True)

    # TensorFlow is loaded here and not before: what is wrong above is answered at once.
    load_tensorflow()
    try:
        check_backend("tensorflow", "jax")
        from fashion_keras.evaluation.plots import confusion_matrix_figure, figure_to_png
        from fashion_keras.training.trainer import train as run_training

        trained = run_training(
            config,
            records,
            workdir,
            soft_targets=_soft_targets(config, records, workdir),
            draw_matrix=lambda matrix, names: figure_to_png(confusion_matrix_figure(matrix, names)),
            say=lambda line: print(line, flush=True),
        )
        _finish(trained, records, workdir)
    except BaseException as error:
        if not any((workdir / CHECKPOINTS).glob("epoch-*")):
            if not options.resume:
                _undo_start(workdir)
        elif isinstance(error, KeyboardInterrupt):
            print(f"\ngo on with: {_resuming(workdir)}", file=sys.stderr)
        raise


def _soft_targets(config: Config, records: Path, workdir: Path):
    """Return what the teachers say of the training photos, asking them once; None without any."""
    training = config.training
    file = workdir / TEACHER_FILE
    if not training.teacher or (_needs_no_teacher(config, workdir) and not file.is_file()):
        return None
    from fashion_keras.data.soft_targets import SoftTargets
    from fashion_keras.evaluation.teacher import ask_teachers

    if file.is_file():
        check_files(workdir, TEACHER_FILE)
        return SoftTargets.load(file, training.teacher_weight)
    teachers = ", ".join(training.teacher)
    print(f"asking {teachers} about the training photos", flush=True)
    found = ask_teachers(
        training.teacher,
        records,
        config.labels,
        training.teacher_weight,
        progress=sys.stderr.isatty(),
    )
    print(f"teacher: {', '.join(found.probabilities)}", flush=True)
    with changing(workdir, TEACHER_FILE):
        found.save(file)
    return found


def _needs_no_teacher(config: Config, workdir: Path) -> bool:
    """Return whether a run has its teacher's answers, or has learnt all: it may be gone by then."""
    last = workdir / CHECKPOINTS / f"epoch-{config.training.epochs:04d}"
    return (workdir / TEACHER_FILE).is_file() or last.is_dir()


def _finish(trained, records: Path, workdir: Path) -> None:
    """Train the heads anew if asked, calibrate, score on validation, show mistakes, export."""
    import keras

    from fashion_keras.evaluation.calibrating import acceptance_line, calibrate_run, steps_table
    from fashion_keras.evaluation.mistakes import surest_mistakes
    from fashion_keras.evaluation.results import evaluate_run, save_json, table
    from fashion_keras.serving.savedmodel import export_saved_model
    from fashion_keras.training.heads import heads_table, retrain_heads

    print(f"best epoch: {trained.best_epoch}; scoring it on the validation split", flush=True)
    run = load_run(workdir, decided=is_current(workdir, DECISION_FILE, BEST_MODEL_FILE))
    note(workdir, BEST_MODEL_FILE)
    training = run.config.training
    if training.retrain_epochs and not is_current(workdir, HEADS_FILE, BEST_MODEL_FILE):
        with Terminal() as bar:
            found = retrain_heads(
                run,
                records,
                epochs=training.retrain_epochs,
                sampling=training.retrain_sampling,
                views=training.retrain_views,
                seed=training.seed,
                progress=bar.update,
            )
        print(f"{heads_table(found)}\n", flush=True)
    # A finished run resumed keeps its decision: fashion_keras.calibrate may have fitted another.
    if not is_current(workdir, DECISION_FILE, BEST_MODEL_FILE):
        run, steps = calibrate_run(run, records, run.config.decision)
        print(steps_table(steps), flush=True)
    print(f"{acceptance_line(run.decision)}\n", flush=True)
    result, predictions = evaluate_run(run, records, "validation")
    save_json(workdir / EVALUATION_FILE, result)
    photos, captions = surest_mistakes(run, records, predictions)
    trained.board.write_mistakes(photos, captions, step=trained.best_epoch)
    best = {
        "accuracy": result["accuracy"]["value"],
        "macro_f1": result["macro_f1"]["value"],
        "epoch": trained.best_epoch,
    }
    # After the epochs' own: with the heads and the decision that were fitted since.
    trained.board.write_best(best, step=len(trained.history) + 1)
    print(table(result), flush=True)
    if _is_exported(workdir):
        return  # a finished run resumed: its model is there
    if keras.backend.backend() != "tensorflow":
        print(
            "SavedModel: TensorFlow writes it, go on with: KERAS_BACKEND=tensorflow "
            + _resuming(workdir)
        )
        return
    saved = export_saved_model(run, workdir / SAVED_MODEL)
    print(f"SavedModel: {saved}")
    of = ("--model", workdir, "--data", records, "--split", "test")
    print(f"next: {command('evaluate', *of)}")


def _is_exported(workdir: Path) -> bool:
    """Return whether the run's last SavedModel was made from its best model as that is now."""
    from fashion_keras.serving.layout import ModelInfo, versions

    exported = versions(workdir / SAVED_MODEL)
    if not exported:
        return False
    last = workdir / SAVED_MODEL / str(max(exported))
    made_from = ModelInfo.load(last).made_from.get(BEST_MODEL_FILE)
    if made_from is None:  # of an earlier version
        return last.stat().st_mtime >= (workdir / BEST_MODEL_FILE).stat().st_mtime
    return made_from == fingerprints(workdir, [BEST_MODEL_FILE])[BEST_MODEL_FILE]


def _resuming(workdir: Path) -> str:
    return command("train", "--workdir", workdir, "--resume")


def _resolve(options) -> tuple[Config, Path]:
    """Return the config from file and options, and the workdir."""
    overrides = parse_assignments(options.set)
    file = recipe_path(options.recipe) if options.recipe else options.config
    named = {
        "model.arch": options.arch,
        "model.weights": options.weights,
        "training.teacher": options.teacher,
        # As it is saved: ./tfrecords/small is tfrecords/small when a run is resumed.
        "data.records": options.data and str(Path(options.data)),
        "data.label": options.label,
        "training.epochs": options.epochs,
    }
    overrides |= {key: value for key, value in named.items() if value is not None}
    if not options.resume:
        config = load_config(file, overrides)
        return config, Path(options.workdir) if options.workdir else _next_run(config.model.arch)
    if not options.workdir:
        raise UserError("--resume needs --workdir DIR: the run to go on with")
    workdir = Path(options.workdir)
    saved = workdir / CONFIG_FILE
    if not saved.is_file():
        raise UserError(f"nothing to resume at {workdir}: it has no {CONFIG_FILE}")
    config = load_run_config(workdir)
    asked = load_config(file or saved, overrides)
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
    number = 1
    while (RUNS / f"{arch}-{number}").exists():
        number += 1
    return RUNS / f"{arch}-{number}"


def _records(config: Config) -> Path:
    """Return where the records are, drawing and converting the sample where there are none."""
    if config.data.records:
        return Path(config.data.records)
    if (DEFAULT_RECORDS / INFO_FILE).is_file():
        return DEFAULT_RECORDS
    print(
        f"no records at {DEFAULT_RECORDS}: using the drawn sample catalogue ({SAMPLE_RECORDS})",
        flush=True,
    )
    if not (SAMPLE_RECORDS / INFO_FILE).is_file():
        from fashion_keras.data.conversion import Request, convert
        from fashion_keras.data.sample import draw_sample

        catalogue = draw_sample(SAMPLE_RECORDS.with_name("sample-catalogue"))
        convert(Request(source=str(catalogue)), SAMPLE_RECORDS, say=lambda line: None)
    return SAMPLE_RECORDS


def _prepare_workdir(workdir: Path, config: Config, info: DatasetInfo) -> None:
    if workdir.exists() and (not workdir.is_dir() or os.listdir(workdir)):
        raise UserError(
            f"{workdir} is not empty: give another --workdir, or --resume to go on with it"
        )
    (workdir / TENSORBOARD).mkdir(parents=True, exist_ok=True)
    save_config(workdir, config)
    save_records(workdir, info)


def _undo_start(workdir: Path) -> None:
    """Remove what a run that ended before its first checkpoint made, so that it can be redone."""
    # Its first epoch may have been scored and kept already, or be half-written on a full disk.
    files = (CONFIG_FILE, RECORDS_FILE, LABELS_FILE, TEACHER_FILE, BEST_MODEL_FILE, HISTORY_FILE)
    for name in (*files, RUN_FILE):
        for file in (name, f"partial-{name}", f"{name}.partial"):
            (workdir / file).unlink(missing_ok=True)
    for name in (TENSORBOARD, CHECKPOINTS):
        shutil.rmtree(workdir / name, ignore_errors=True)
    with contextlib.suppress(OSError):  # not empty: something is in it that is not ours
        workdir.rmdir()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command(train, argv)


if __name__ == "__main__":
    sys.exit(main())
