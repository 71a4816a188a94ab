"""Photos, folders, zips or CSVs of paths in; each photo's class and score, on screen or in a table.

fashion-keras predict --model DIR PHOTO|FOLDER|ZIP|CSV… [--output out.csv]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fashion_keras.commands import positive_int, run_command
from fashion_keras.errors import UserError
from fashion_keras.io import place, place_text
from fashion_keras.progress import Reporter, Terminal, reporter
from fashion_keras.quiet import load_tensorflow
from fashion_keras.serving.layout import ModelInfo, find_version
from fashion_keras.tagging.batches import Model, classify_all
from fashion_keras.tagging.loading import check_address, connect
from fashion_keras.tagging.path_table import PathColumns
from fashion_keras.tagging.prediction import (
    COLUMNS,
    LineFormat,
    Prediction,
    Row,
    Tally,
    longest,
    table_row,
)
from fashion_keras.tagging.retries import Retries
from fashion_keras.tagging.row_table import Table, check_table, open_table
from fashion_keras.tagging.sources import Photo, PhotoSource, batches

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_TOP = 2  # the class and its runner-up
BATCH_SIZE = 32  # photos: half as fast again on a CPU as 64, whose layers leave its cache
# Requests to a server; here, so that one batch is decoded while another is classified.
IN_FLIGHT, IN_FLIGHT_HERE = 4, 2
_CLASS_WIDTH = 16  # characters, where a server does not say what classes there are


@dataclasses.dataclass(frozen=True)
class _Request:
    """What to classify with and where to: the arguments of `predict`."""

    photos: Sequence[str]
    model: Path | None
    server: str | None
    name: str | None
    output: Path | None
    resume: bool
    threshold: float | None
    path_column: str
    id_column: str | None
    path_root: Path | None
    batch_size: int
    in_flight: int
    retries: int

    def __post_init__(self):
        object.__setattr__(self, "photos", [os.fspath(photo) for photo in self.photos])
        for name in ("model", "output", "path_root"):
            value = getattr(self, name)
            object.__setattr__(self, name, place(value) if value else None)


def predict(
    photos: str | os.PathLike | Sequence[str | os.PathLike],
    model: str | os.PathLike | None = None,
    *,
    server: str | None = None,
    name: str | None = None,
    output: str | os.PathLike | None = None,
    resume: bool = False,
    threshold: float | None = None,
    path_column: str = "path",
    id_column: str | None = None,
    path_root: str | os.PathLike | None = None,
    batch_size: int = BATCH_SIZE,
    in_flight: int = IN_FLIGHT,
    retries: int = 6,
    progress: bool | Reporter = True,
) -> pd.DataFrame | None:
    """Classify photos with an exported model, here or behind TF Serving.

    Args:
        photos: photos, folders, zips and CSVs of paths, one or several.
        model: a folder that `export` has written, or one of its versions: a SavedModel, LiteRT or
            ONNX. Beside `server` only its threshold is used.
        server: address of TF Serving: `http://HOST:8501` or `grpc://HOST:8500`.
        name: the model's name there.
        output: a table to write in batches, `.csv`, `.jsonl` or `.parquet`: for catalogues of any
            size. Without it a DataFrame is returned.
        resume: keep the rows that an interrupted or finished call has written, do the rest.
        threshold: from which score a class is accepted and not to be reviewed. Defaults to the
            model's.
        path_column: of CSVs: the column of the photos' paths.
        id_column: of CSVs: the column of the ids. Defaults to `id`, where there is one.
        path_root: of CSVs: the folder that relative paths start from. Defaults to the CSV's own.
        batch_size: photos at once.
        in_flight: requests to the server at once.
        retries: how often a server that does not answer is asked again.
        progress: False for no bars, or a `Reporter`.

    Returns:
        A row a photo, in the order of the inputs: `id`, `path`, `class`, `score`, `runner_up`,
        `runner_up_score`, `decision` (`accept` or `review`), `error`. None with `output`.

    Raises:
        UserError: there is no such model, input or server, or not one photo could be classified.

    Example:

        tags = fk.predict("photos/", "models/fashion")
        tags[tags.decision == "review"]
    """
    options = {**locals()}
    report_to = reporter(options.pop("progress"))
    options["photos"] = [photos] if isinstance(photos, str | os.PathLike) else photos
    return _predict(_Request(**options), report_to)


def _predict(request: _Request, report_to: Reporter) -> pd.DataFrame | None:
    """Classify into the table that was asked for, or into a DataFrame."""
    with _opened(request) as (version, info, source):
        threshold = _threshold(request, info)
        if request.output:
            _write_table(request, version, source, threshold, report_to)
            return None
        import pandas as pd

        rows: list[Row] = []
        tally = Tally()
        with _model(request, version, report_to) as classifier, report_to:
            for batch in _classified(source.photos(), classifier, request):
                rows += [table_row(prediction, threshold) for prediction in batch]
                tally.add(batch)
                report_to.update("classifying", len(rows), len(source))
        _conclude(tally, source, report_to)
        return pd.DataFrame(rows, columns=list(COLUMNS))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_command, argv)


def _command(argv: Sequence[str] | None) -> None:
    options = vars(_parser().parse_args(argv))
    top = options.pop("top")
    request, report_to = _Request(**options), Terminal()
    with _opened(request) as (version, info, source):
        top, threshold = _checked_top(top, info, version), _threshold(request, info)
        if request.output:
            _write_table(request, version, source, threshold, report_to)
        else:
            line = _line_format(source, info, top, threshold)
            _print_lines(request, version, source, line, report_to)


@contextlib.contextmanager
def _opened(request: _Request) -> Iterator[tuple[Path | None, ModelInfo | None, PhotoSource]]:
    """Check a request, and open what it names: the model's version and the photos."""
    _check(request)
    version = find_version(request.model, small=True) if request.model else None
    info = ModelInfo.load(version) if version else None
    columns = PathColumns(request.path_column, request.id_column, request.path_root)
    with PhotoSource(request.photos, columns) as source:
        yield version, info, source


def _threshold(request: _Request, info: ModelInfo | None) -> float | None:
    if request.threshold is None and info:
        return info.thresholds().get(info.label)
    return request.threshold


def _print_lines(request, version, source, line, report_to) -> None:
    tally = Tally()
    with _model(request, version, report_to) as model:
        for batch in _classified(source.photos(), model, request):
            for prediction in batch:
                print(line(prediction))
            tally.add(batch)
    _conclude(tally, source, report_to)


def _write_table(request, version, source, threshold, report_to) -> None:
    tally = Tally()
    with _table(request, report_to) as table, report_to:
        kept, kept_errors = table.rows, table.errors
        photos = source.photos(table.take_done)
        done = min(kept, len(source))
        report_to.update("classifying", done, len(source))
        with _model(request, version, report_to) as model:
            for batch in _classified(photos, model, request):
                table.write(table_row(prediction, threshold) for prediction in batch)
                tally.add(batch)
                done += len(batch)
                report_to.update("classifying", done, len(source))
    classified = table.rows - table.errors
    before = f", {kept:,} of them before" if kept else ""
    report_to.say(f"{request.output}: {table.rows:,} photos, {classified:,} classified{before}")
    _conclude(tally, source, report_to, kept=kept, classified_before=kept - kept_errors)


def _conclude(tally: Tally, source: PhotoSource, report_to: Reporter, **before: int) -> None:
    if source.passed_over:
        report_to.note(source.account())
    tally.conclude(report_to.warn, **before)


@contextlib.contextmanager
def _table(request: _Request, report_to: Reporter) -> Iterator[Table]:
    """Open the table, and say what it keeps where it comes to no good end."""
    assert request.output is not None
    table = None
    try:
        with open_table(request.output, resume=request.resume) as table:
            yield table
    except BaseException:
        if table and table.rows:
            report_to.note(f"{table.partial} keeps {table.rows:,} rows: --resume goes on")
        raise


def _classified(
    photos: Iterator[Photo], model: Model, request: _Request
) -> Iterator[list[Prediction]]:
    in_flight = request.in_flight if request.server else IN_FLIGHT_HERE
    return classify_all(batches(photos, request.batch_size), model, in_flight)


@contextlib.contextmanager
def _model(request: _Request, version: Path | None, report_to: Reporter) -> Iterator[Model]:
    if request.server:
        assert request.name is not None  # `_check` has seen to it
        retries = Retries(request.retries, request.server, report_to.note)
        try:
            with contextlib.closing(
                connect(request.server, request.name, retries, request.in_flight)
            ) as model:
                yield model
        finally:
            retries.stop()
        return
    assert version is not None  # of the model, as there is no server
    # Imported here, so that --help and a wrong path are answered at once.
    load_tensorflow()
    from fashion_keras.tagging.loading import load_local

    yield load_local(version)


def _line_format(source, info, top, threshold) -> Callable[[Prediction], str]:
    width = longest(info.labels[info.label]) if info else _CLASS_WIDTH
    return LineFormat(longest(path for _, path in source.names()), width, top, threshold)


def _checked_top(top: int | None, info: ModelInfo | None, version: Path | None) -> int:
    if info is None:
        return top or DEFAULT_TOP
    available = min(info.top, len(info.labels[info.label]))
    if top is None:
        return min(DEFAULT_TOP, available)
    if top > available:
        raise UserError(f"--top {top}: {version} gives a photo {available} classes at most")
    return top


def _check(request: _Request) -> None:
    if not request.model and not request.server:
        raise UserError("nothing to classify with: give --model DIR, or --server URL --name NAME")
    if request.server:
        check_address(request.server)
        if not request.name:
            raise UserError(f"--server {request.server}: which of its models? Give --name NAME")
    if request.path_root and not request.path_root.is_dir():
        raise UserError(
            f"--path-root {request.path_root} is no folder: expected the one that the CSV's "
            "paths start from"
        )
    if request.output:
        check_table(request.output, "--output")
        if request.output.resolve() in (Path(photo).resolve() for photo in request.photos):
            raise UserError(
                f"--output {request.output} is an input too: name another file to write"
            )
    elif request.resume:
        raise UserError("--resume continues a table: give it by --output FILE")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fashion-keras predict",
        description="Classify photos with a SavedModel made by fashion-keras export, here or "
        "behind TF Serving. Ends with 0 if at least one photo was classified; those that cannot "
        "be read are listed with a reason.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "photos",
        nargs="+",
        type=place_text,
        metavar="PHOTO|FOLDER|ZIP|CSV",
        help="what to classify, in this order",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        type=place,
        metavar="DIR",
        help="a version folder of export's, or its parent (then the highest version): a "
        "SavedModel, LiteRT or ONNX; beside --server, only its threshold and class names are used",
    )
    model.add_argument(
        "--server", metavar="URL", help="TF Serving: http://HOST:8501 or grpc://HOST:8500"
    )
    model.add_argument("--name", help="the model's name on the server")
    model.add_argument(
        "--batch-size", type=positive_int, default=BATCH_SIZE, help=f"photos at once ({BATCH_SIZE})"
    )
    model.add_argument(
        "--in-flight",
        type=positive_int,
        default=IN_FLIGHT,
        help=f"requests to the server at once ({IN_FLIGHT})",
    )
    model.add_argument(
        "--retries",
        type=_count,
        default=6,
        help="how often to ask a server again that does not answer, after 0.5, 1, 2, 4 … s (6)",
    )
    _add_table(parser)
    parser.add_argument(
        "--top",
        type=positive_int,
        help=f"classes a printed line shows (default: {DEFAULT_TOP}, the second in brackets)",
    )
    return parser


def _add_table(parser: argparse.ArgumentParser) -> None:
    """Add the options of the table that is written, and of the CSVs that are read."""
    table = parser.add_argument_group("table")
    table.add_argument(
        "--output",
        "--csv",
        type=place,
        metavar="FILE",
        help="write rows there instead of printing lines: .csv, .jsonl or .parquet",
    )
    table.add_argument(
        "--resume",
        action="store_true",
        help="keep the rows that an interrupted or finished run has written, do the rest",
    )
    table.add_argument(
        "--threshold",
        type=_share,
        help="from which score a class is accepted and not to be reviewed (default: the model's, "
        "if calibrate has fitted one)",
    )
    paths = parser.add_argument_group("CSVs of paths")
    paths.add_argument("--path-column", default="path", metavar="COLUMN", help="(path)")
    paths.add_argument(
        "--id-column", metavar="COLUMN", help="(id, where there is one; else the file's name)"
    )
    paths.add_argument(
        "--path-root",
        type=place,
        metavar="DIR",
        help="folder that relative paths start from (the CSV's own)",
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


_EXAMPLES = """\
examples:
  two photos, on screen:
    fashion-keras predict --model models/fashion a.jpg b.png
  a catalogue overnight, and on from where it was interrupted:
    fashion-keras predict --model models/fashion photos/ --output tags.parquet
    fashion-keras predict --model models/fashion photos/ --output tags.parquet --resume
  the photos that a CSV names, by a running TF Serving:
    fashion-keras predict --server http://localhost:8501 --name fashion \\
        products.csv --path-column photo --id-column sku --output tags.csv
"""

if __name__ == "__main__":
    sys.exit(main())
