"""Photos, folders, zips or CSVs of paths in; each photo's class and score, on screen or in a table.

python -m fashion_keras.predict --model DIR PHOTO|FOLDER|ZIP|CSV… [--output out.csv]
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
from fashion_keras.places import place, place_text
from fashion_keras.quiet import load_tensorflow
from fashion_keras.serving.batches import Model, classify_all
from fashion_keras.serving.layout import ModelInfo, find_version
from fashion_keras.serving.path_table import PathColumns
from fashion_keras.serving.photos import Photo, PhotoSource, batches
from fashion_keras.serving.prediction import LineFormat, Prediction, longest, table_row
from fashion_keras.serving.retries import Retries
from fashion_keras.serving.servers import check_address, connect
from fashion_keras.serving.table import Table, check_table, open_table
from fashion_keras.serving.tally import Tally

DEFAULT_TOP = 2  # the class and its runner-up
BATCH_SIZE = 32  # photos: half as fast again on a CPU as 64, whose layers leave its cache
# Requests to a server; here, so that one batch is decoded while another is classified.
IN_FLIGHT, IN_FLIGHT_HERE = 4, 2
_CLASS_WIDTH = 16  # characters, where a server does not say what classes there are


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_predict, argv)


def _predict(argv: Sequence[str] | None) -> None:
    arguments = _parser().parse_args(argv)
    _check(arguments)
    version = find_version(arguments.model, small=True) if arguments.model else None
    info = ModelInfo.load(version) if version else None
    top = _checked_top(arguments.top, info, version)
    threshold = arguments.threshold
    if threshold is None and info:
        threshold = info.accept
    columns = PathColumns(arguments.path_column, arguments.id_column, arguments.path_root)
    with PhotoSource(arguments.photos, columns) as source:
        if arguments.output:
            _write_table(arguments, version, source, threshold)
        else:
            _print_lines(arguments, version, source, _line_format(source, info, top, threshold))


def _print_lines(arguments, version, source, line) -> None:
    tally = Tally()
    with _model(arguments, version) as model:
        for batch in _classified(source.photos(), model, arguments):
            for prediction in batch:
                print(line(prediction))
            tally.add(batch)
    _tell_what_was_passed_over(source)
    tally.conclude()


def _write_table(arguments, version, source, threshold) -> None:
    tally = Tally()
    with _table(arguments) as table:
        kept, kept_errors = table.rows, table.errors
        photos = source.photos(table.take_done)
        # disable=None: no bar where stderr is no terminal.
        bar = tqdm(total=len(source), initial=min(kept, len(source)), unit="photo", disable=None)
        with bar, _model(arguments, version) as model:
            for batch in _classified(photos, model, arguments):
                table.write(table_row(prediction, threshold) for prediction in batch)
                tally.add(batch)
                bar.update(len(batch))
    classified = table.rows - table.errors
    before = f", {kept:,} of them before" if kept else ""
    print(f"{arguments.output}: {table.rows:,} photos, {classified:,} classified{before}")
    _tell_what_was_passed_over(source)
    tally.conclude(kept=kept, classified_before=kept - kept_errors)


def _tell_what_was_passed_over(source: PhotoSource) -> None:
    if source.passed_over:
        print(source.account(), file=sys.stderr)


@contextlib.contextmanager
def _table(arguments) -> Iterator[Table]:
    """Open the table, and say what it keeps where it comes to no good end."""
    table = None
    try:
        with open_table(arguments.output, resume=arguments.resume) as table:
            yield table
    except BaseException:
        if table and table.rows:
            print(f"{table.partial} keeps {table.rows:,} rows: --resume goes on", file=sys.stderr)
        raise


def _classified(photos: Iterator[Photo], model: Model, arguments) -> Iterator[list[Prediction]]:
    in_flight = arguments.in_flight if arguments.server else IN_FLIGHT_HERE
    return classify_all(batches(photos, arguments.batch_size), model, in_flight)


@contextlib.contextmanager
def _model(arguments, version: Path | None) -> Iterator[Model]:
    if arguments.server:
        retries = Retries(
            arguments.retries, arguments.server, lambda line: tqdm.write(line, file=sys.stderr)
        )
        try:
            with contextlib.closing(
                connect(arguments.server, arguments.name, retries, arguments.in_flight)
            ) as model:
                yield model
        finally:
            retries.stop()
        return
    # Imported here, so that --help and a wrong path are answered at once.
    load_tensorflow()
    from fashion_keras.serving.local_models import load_local

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


def _check(arguments) -> None:
    if not arguments.model and not arguments.server:
        raise UserError("nothing to classify with: give --model DIR, or --server URL --name NAME")
    if arguments.server:
        check_address(arguments.server)
        if not arguments.name:
            raise UserError(f"--server {arguments.server}: which of its models? Give --name NAME")
    if arguments.path_root and not arguments.path_root.is_dir():
        raise UserError(
            f"--path-root {arguments.path_root} is no folder: expected the one that the CSV's "
            "paths start from"
        )
    if arguments.output:
        check_table(arguments.output, "--output")
        if arguments.output.resolve() in (Path(photo).resolve() for photo in arguments.photos):
            raise UserError(
                f"--output {arguments.output} is an input too: name another file to write"
            )
    elif arguments.resume:
        raise UserError("--resume continues a table: give it by --output FILE")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fashion_keras.predict",
        description="Classify photos with a SavedModel made by fashion_keras.export, here or "
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
    parser.add_argument(
        "--top",
        type=positive_int,
        help=f"classes a printed line shows (default: {DEFAULT_TOP}, the second in brackets)",
    )
    return parser


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
    python -m fashion_keras.predict --model models/fashion a.jpg b.png
  a catalogue overnight, and on from where it was interrupted:
    python -m fashion_keras.predict --model models/fashion photos/ --output tags.parquet
    python -m fashion_keras.predict --model models/fashion photos/ --output tags.parquet --resume
  the photos that a CSV names, by a running TF Serving:
    python -m fashion_keras.predict --server http://localhost:8501 --name fashion \\
        products.csv --path-column photo --id-column sku --output tags.csv
"""

if __name__ == "__main__":
    sys.exit(main())
