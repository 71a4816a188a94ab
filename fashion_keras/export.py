"""A run's folder or `.keras` file in; a SavedModel that TF Serving loads, or a small model, out.

fashion-keras export --model RUN --output DIR [--name NAME] [--version N] [--top K]
    [--format saved_model|litert|litert-int8|onnx …] [--data RECORDS]
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from fashion_keras.commands import check_backend, positive_int, run_command
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.io import place
from fashion_keras.places import anywhere, changes, local
from fashion_keras.progress import Reporter, Terminal, reporter
from fashion_keras.quiet import load_tensorflow
from fashion_keras.released import model_place
from fashion_keras.run import check_run, load_run
from fashion_keras.serving.layout import new_version
from fashion_keras.serving.server_files import COMPOSE_FILE, model_name, write_server_files
from fashion_keras.serving.small_formats import (
    FORMATS,
    INT8,
    SAVED_MODEL,
    SMALL_FORMATS,
    TITLE_FORMATS,
    check_installed,
)
from fashion_keras.text import command

CHECK_PHOTOS = 1000
REPRESENTATIVE_PHOTOS = 200  # as TensorFlow's guide: a few hundred settle the ranges
CHECK_SPLIT = "validation"
# By what a small model is given: its file, and what check.json calls its check.
_FILES = {"photo": SMALL_FORMATS, "both": TITLE_FORMATS}
_CHECKED = {"photo": "results", "both": "with_title"}

_EXAMPLES = """\
examples:
  fashion-keras export --model runs/efficientnetb0-1 --output models --name fashion
      models/fashion/1, and beside it models.config, batching_parameters.txt and
      docker-compose.yml; a second time it is models/fashion/2
  fashion-keras export --model runs/efficientnetb0-1 --output models/fashion
      models/fashion/1 alone
  fashion-keras export --model runs/efficientnetb0-1 --output models --name fashion \\
      --format litert litert-int8 onnx --data tfrecords/small
      models/fashion/litert/1/model.tflite (float16), models/fashion/litert-int8/1/model.tflite and
      models/fashion/onnx/1/model.onnx, and a table of what each loses against the Keras model
      on the validation split

A version holds the SavedModel with the signatures serving_default, serve_pixels and embed,
warm-up requests for TF Serving, and a model card (README.md). Of a run that takes titles the
SavedModel has with_title and title_only too, and litert and onnx have a second file beside the
first, model-with-title.tflite or model-with-title.onnx.
"""


@changes("output", outline=True)
def export(
    model: str | os.PathLike,
    output: str | os.PathLike,
    *,
    name: str | None = None,
    formats: Sequence[str] = (SAVED_MODEL,),
    data: str | os.PathLike | None = None,
    check_photos: int = CHECK_PHOTOS,
    version: int | None = None,
    top: int = 5,
    progress: bool | Reporter = True,
) -> dict[str, Path]:
    """Write a trained model as a SavedModel for TF Serving, or as a small model.

    A SavedModel takes photo bytes and gives class names. It is written as a new version, with
    warm-up requests and a model card; no version is overwritten.

    Args:
        model: a run's folder, or a `.keras` file beside one.
        output: the model's folder, for versions 1, 2, …; with `name`, the folder of models.
        name: write `output/name/1`, and what TF Serving needs into `output`.
        formats: `saved_model`, `litert`, `litert-int8`, `onnx`: one or several.
        data: the records that the model was trained on: small models are checked on their
            validation split, and `litert-int8` takes its ranges from their training split.
        check_photos: photos that small models are checked on.
        version: the version to write. Defaults to one above the highest.
        top: classes that each photo gets.
        progress: False for silence, or a `Reporter`.

    Returns each format with the folder of its version.

    Raises:
        UserError: a path, the version or a format is wrong, or a format's package is missing.

    Example:

        bundle = fk.export("runs/resnet18", "models", name="fashion")["saved_model"]
    """
    report_to = reporter(progress)
    model, base = model_place(model), place(output)
    folder = base / name if name else base
    formats = list(dict.fromkeys(formats))
    data = local(data) if data is not None else None
    # Cheap questions first: a wrong argument is answered before TensorFlow is loaded.
    _check(model, folder, formats, data, version)
    load_tensorflow()
    check_backend("tensorflow")
    run = load_run(model)
    written = {}
    if SAVED_MODEL in formats:
        written[SAVED_MODEL] = _export_saved_model(run, folder, version, top, report_to)
        for warning in write_server_files(base) if name else ():
            report_to.warn(warning)
    if small := [format for format in formats if format != SAVED_MODEL]:
        written |= _export_small_models(
            run, folder, small, data, check_photos, version, top, report_to
        )
    return written


def _check(model: Path, folder: Path, formats, data: Path | None, version: int | None) -> None:
    """Raise `UserError` where one of these is wrong, or what a format needs is not installed."""
    if unknown := [format for format in formats if format not in FORMATS]:
        raise UserError(f"unknown format {unknown[0]!r}: expected some of {', '.join(FORMATS)}")
    if INT8 in formats and data is None:
        raise UserError(f"{INT8} needs data: the ranges of its numbers are measured on it")
    for format in formats:
        new_version(folder if format == SAVED_MODEL else folder / format, version)
        check_installed(format)
    if set(formats) - {SAVED_MODEL} and data is not None:
        info = DatasetInfo.load(data)
        for split in ("train", CHECK_SPLIT):
            info.shard_paths(data, split)
    check_run(model)


def _export_saved_model(run, folder, version, top, report_to) -> Path:
    from fashion_keras.serving.savedmodel import export_saved_model

    path = export_saved_model(run, folder, version=version, top=top)
    height, width = run.image_size
    report_to.say(
        f"{path}: {run.label} ({len(run.labels[run.label])} classes), photos {height}×{width}"
    )
    for label, classes in list(run.labels.items())[1:]:
        report_to.say(f"  and {label} ({len(classes)} classes)")
    return path


def _export_small_models(
    run, folder, formats, data, check_photos, version, top, report_to
) -> dict[str, Path]:
    from fashion_keras.serving import small_models

    def photos_of(split, count):
        return small_models.load_photos(data, split, run.labels, run.image_size, run.resize, count)

    representative = photos_of("train", REPRESENTATIVE_PHOTOS).images if INT8 in formats else None
    made = {"photo": {name: small_models.convert(run, name, representative) for name in formats}}
    titled = [name for name in formats if name in TITLE_FORMATS and run.title is not None]
    if titled:
        made["both"] = {name: small_models.convert(run, name, sees="both") for name in titled}
    results = {}
    if data is not None:
        photos = photos_of(CHECK_SPLIT, check_photos)
        for sees, models in made.items():
            given = photos if sees == "photo" else _with_titles(run, photos, data)
            results[sees] = _checked(run, models, given, report_to)
    written = {}
    for name in formats:
        files = {_FILES[sees][name]: of[name] for sees, of in made.items() if name in of}
        checked: dict | None = None
        if results:
            checked = {"split": CHECK_SPLIT, "num_photos": len(photos.images), "label": run.label}
        for sees, found in results.items():
            if checked and name in found:
                checked[_CHECKED[sees]] = {k: found[k] for k in (small_models.KERAS, name)}
                _warn_of_losses(found, name, sees, report_to)
        written[name] = small_models.write_small_model(
            run, folder / name, files, checked, version, top
        )
        for file in files:
            report_to.say(str(written[name] / file))
    if not results:
        report_to.say("Not checked against the Keras model: give --data for that")
    return written


def _with_titles(run, photos, data):
    """Return photos of the split that is checked with the numbers of their titles."""
    from fashion_keras.data.title_terms import read_terms
    from fashion_keras.evaluation.predictions import check_texts

    info = DatasetInfo.load(data)
    check_texts(run, info, data)
    ids = read_terms(data, info, CHECK_SPLIT, list(run.labels)).ids
    return dataclasses.replace(photos, title_ids=ids[: len(photos.images)])


def _checked(run, models, photos, report_to) -> dict[str, dict]:
    """Return what `small_models.check` measures, and say it."""
    from fashion_keras.serving import small_models

    results = small_models.check(run, models, photos)
    given = "photos" if photos.title_ids is None else "photos and titles"
    report_to.say(f"{run.label} of {len(photos.images):,} {given} of split {CHECK_SPLIT}:")
    report_to.say(small_models.results_table(results, run.label))
    return results


def _warn_of_losses(results, name, sees, report_to):
    from fashion_keras.serving import small_models

    lost = {
        label: small_models.points_lost(results[small_models.KERAS], results[name], label)
        for label in results[name]["accuracy"]
    }
    too_much = [f"{k} {v:.1f}" for k, v in lost.items() if v > small_models.MOST_LOST]
    if too_much:
        report_to.warn(
            f"{name}{' with title' if sees == 'both' else ''} loses more than "
            f"{small_models.MOST_LOST:g} point of accuracy: {', '.join(too_much)}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_command, argv)


def _command(argv: Sequence[str] | None) -> None:
    parser = _parser()
    options = vars(parser.parse_args(argv))
    formats, output, name = options.pop("format"), options["output"], options["name"]
    if INT8 in formats and not options["data"]:
        parser.error(f"--format {INT8} needs --data: the ranges of its numbers are measured on it")
    written = export(**options, formats=formats, progress=Terminal())
    if SAVED_MODEL in written:
        print(f"Try it: {command('predict', '--model', os.path.join(output, name or ''), 'PHOTO')}")
        if name:
            compose = ["docker", "compose", "-f", os.path.join(output, COMPOSE_FILE), "up"]
            print(f"Serve it: {shlex.join(compose)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fashion-keras export",
        description="Write a trained model as a SavedModel, photo bytes in and class names out, "
        "or as a small model for a phone or a small box.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        required=True,
        type=anywhere,
        help="a run's folder, a .keras file beside one, or the name of a model that comes with the "
        "package",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=anywhere,
        metavar="DIR",
        help="the model's folder, for versions DIR/1, DIR/2, …; with --name, the folder of models",
    )
    parser.add_argument(
        "--name",
        type=model_name,
        help="write DIR/NAME/1, DIR/NAME/2, …, and what TF Serving needs into DIR",
    )
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        default=[SAVED_MODEL],
        help=f"one or several (default: {SAVED_MODEL}); litert stores float16",
    )
    parser.add_argument(
        "--data",
        type=anywhere,
        metavar="RECORDS",
        help="the records that the model was trained on: small models are checked on their "
        f"validation split, and {INT8} takes its ranges from their training split",
    )
    parser.add_argument(
        "--check-photos",
        type=positive_int,
        default=CHECK_PHOTOS,
        metavar="N",
        help=f"photos that small models are checked on (default: {CHECK_PHOTOS})",
    )
    parser.add_argument(
        "--version", type=positive_int, help="version to write (default: one above the highest)"
    )
    parser.add_argument(
        "--top", type=positive_int, default=5, help="classes each photo gets (default: 5)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
