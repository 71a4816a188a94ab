"""Photos, folders or zips in; each photo's class and score, on screen or as CSV, out.

python -m fashion_keras.predict --model DIR PHOTO|FOLDER|ZIP… [--csv out.csv]
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from fashion_keras.commands import positive_int, run_command
from fashion_keras.errors import UserError
from fashion_keras.quiet import load_tensorflow
from fashion_keras.serving.layout import ModelInfo, find_version
from fashion_keras.serving.photos import PhotoSource, batches
from fashion_keras.serving.prediction import LineFormat, Prediction, csv_writer, printable

DEFAULT_TOP = 2  # the class and its runner-up


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_predict, argv)


def _predict(argv: Sequence[str] | None) -> None:
    arguments = _parser().parse_args(argv)
    version = find_version(arguments.model)
    info = ModelInfo.load(version)
    top = _checked_top(arguments.top, info, version)
    _check_csv(arguments.csv)
    with PhotoSource(arguments.photos) as source:
        # Imported here, so that --help and a wrong path are answered at once.
        load_tensorflow()
        from fashion_keras.serving.client import LocalModel

        model = LocalModel(version)
        with _output(arguments.csv, info, top, source) as write:
            failures, first = 0, None
            for batch in batches(source.photos(), arguments.batch_size):
                for prediction in model.classify(batch):
                    write(prediction)
                    if prediction.error:
                        failures, first = failures + 1, first or prediction
        total = len(source)
    if arguments.csv:
        print(f"{arguments.csv}: {total:,} photos, {total - failures:,} classified")
    if failures == total:
        raise UserError(f"none of {total:,} photos could be classified; {_told(first)}")
    if failures:
        print(
            f"warning: {failures:,} of {total:,} photos could not be classified; {_told(first)}",
            file=sys.stderr,
        )


def _told(failure: Prediction) -> str:
    return f"the first: {printable(failure.path)}: {printable(failure.error)}"


@contextlib.contextmanager
def _output(
    csv: Path | None, info: ModelInfo, top: int, source: PhotoSource
) -> Iterator[Callable[[Prediction], None]]:
    if csv is None:
        line = LineFormat(source.paths, info.labels[info.label], top)
        yield lambda prediction: print(line(prediction))
        return
    # disable=None: no bar where stderr is no terminal.
    with csv_writer(csv) as write, tqdm(total=len(source), unit="photo", disable=None) as bar:

        def write_and_count(prediction):
            write(prediction)
            bar.update()

        yield write_and_count


def _checked_top(top: int | None, info: ModelInfo, version: Path) -> int:
    available = min(info.top, len(info.labels[info.label]))
    if top is None:
        return min(DEFAULT_TOP, available)
    if top > available:
        raise UserError(f"--top {top}: {version} gives a photo {available} classes at most")
    return top


def _check_csv(path: Path | None) -> None:
    if path is None:
        return
    if path.is_dir():
        raise UserError(f"--csv {path} is a folder: expected a file to write")
    if not path.parent.is_dir():
        raise UserError(f"--csv {path}: there is no folder {path.parent}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fashion_keras.predict",
        description="Classify photos with a SavedModel made by fashion_keras.export. Ends with "
        "0 if at least one photo was classified; those that cannot be read are listed.",
    )
    parser.add_argument(
        "photos", nargs="+", metavar="PHOTO|FOLDER|ZIP", help="what to classify, in this order"
    )
    parser.add_argument(
        "--model",
        required=True,
        type=Path,
        metavar="DIR",
        help="a SavedModel's version folder, or its parent (then the highest version)",
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write rows there instead of printing lines"
    )
    parser.add_argument(
        "--batch-size", type=positive_int, default=64, help="photos at once (default: 64)"
    )
    parser.add_argument(
        "--top",
        type=positive_int,
        help=f"classes a printed line shows (default: {DEFAULT_TOP}, the second in brackets)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
