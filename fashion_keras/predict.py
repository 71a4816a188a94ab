"""Photos, folders, zips or CSVs of paths in; each photo's labels, on screen or in a table.

fashion-keras predict --model DIR PHOTO|FOLDER|ZIP|CSV… [--output out.csv]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fashion_keras.cluster.engine import Cluster, add_cluster, check_paths, connected
from fashion_keras.commands import positive_int, run_command
from fashion_keras.errors import UserError
from fashion_keras.places import address_of, anywhere, changing, named, watched
from fashion_keras.progress import Reporter, Terminal, reporter
from fashion_keras.released import DEFAULT, is_released, released_note
from fashion_keras.run import SEES
from fashion_keras.serving.layout import ModelInfo, find_model, info_of
from fashion_keras.tagging import loading
from fashion_keras.tagging.batches import HEADLINE, Model, classify_all, heads_of, thresholds_of
from fashion_keras.tagging.by_cluster import Tagging, check_no_parts, opened_parts, tag_by_cluster
from fashion_keras.tagging.prediction import (
    LineFormat,
    Prediction,
    Tally,
    longest,
    table_row,
)
from fashion_keras.tagging.row_formats import Columns, Row
from fashion_keras.tagging.row_table import Table, check_table, open_table
from fashion_keras.tagging.server_api import Retries
from fashion_keras.tagging.sources import PathColumns, Photo, PhotoSource, batches

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_TOP = 2  # the class and its runner-up
BATCH_SIZE = 32  # photos: half as fast again on a CPU as 64, whose layers leave its cache
# Requests to a server; here, so that one batch is decoded while another is classified.
IN_FLIGHT, IN_FLIGHT_HERE = 4, 2
_CLASS_WIDTH = 16  # characters, where a server does not say what classes there are


@dataclasses.dataclass
class _Request:
    """What to classify with and where to: the arguments of `predict`."""

    photos: Sequence[str]
    model: str | os.PathLike | None
    server: str | None
    name: str | None
    cluster: str | None
    output: Path | str | None
    resume: bool
    labels: Sequence[str] | None
    threshold: float | Mapping[str, float] | None
    path_column: str
    id_column: str | None
    path_root: Path | str | None
    title_column: Sequence[str] | None
    batch_size: int
    in_flight: int
    retries: int

    def __post_init__(self):
        self.photos = [os.fspath(photo) for photo in self.photos]
        for name in ("labels", "title_column"):
            if isinstance(getattr(self, name), str):
                setattr(self, name, [getattr(self, name)])
        for name in ("output", "path_root"):
            value = getattr(self, name)
            setattr(self, name, anywhere(value) if value else None)
        if not self.model and not self.server:
            self.model = DEFAULT


def predict(
    photos: str | os.PathLike | Sequence[str | os.PathLike],
    model: str | os.PathLike | None = None,
    *,
    server: str | None = None,
    name: str | None = None,
    cluster: str | None = None,
    output: str | os.PathLike | None = None,
    resume: bool = False,
    labels: Sequence[str] | None = None,
    threshold: float | Mapping[str, float] | None = None,
    path_column: str = "path",
    id_column: str | None = None,
    path_root: str | os.PathLike | None = None,
    title_column: str | Sequence[str] | None = None,
    batch_size: int = BATCH_SIZE,
    in_flight: int = IN_FLIGHT,
    retries: int = 6,
    progress: bool | Reporter = True,
) -> pd.DataFrame | None:
    """Classify photos with a model, here or behind TF Serving.

    Args:
        photos: photos, folders, zips and CSVs of paths, one or several.
        model: a run, what `export` has written, or a model of the package, by default `fashion`.
            Beside `server` only its labels and thresholds are used.
        server: address of TF Serving: `http://HOST:8501` or `grpc://HOST:8500`.
        name: the model's name there.
        cluster: a Ray cluster that does the work: `auto`, `HOST:PORT`, or `local[N]` processes.
        output: a table to write in batches, `.csv`, `.jsonl` or `.parquet`, of any size.
        resume: keep the rows that an interrupted or finished call has written, do the rest.
        labels: those to write, in this order. Defaults to all, the headline first.
        threshold: from which score a class is accepted and not to be reviewed: a number for the
            headline, or a mapping from label to number. Defaults to the model's.
        path_column: of CSVs: the column of the photos' paths.
        id_column: of CSVs: the column of the ids. Defaults to `id`, where there is one.
        path_root: of CSVs: the folder or zip that paths start from. Defaults to the CSV's own.
        title_column: of CSVs: one or several of the product's title, beside its photo or alone.
        batch_size: photos at once.
        in_flight: requests to the server at once.
        retries: how often a server that does not answer is asked again.
        progress: False for no bars, or a `Reporter`.

    Returns:
        A row a photo, in the order of the inputs: `id`, `path`; for each label its class, in a
        column of its name, `<label>_score` and `<label>_decision` (`accept` or `review`), for the
        first also `<label>_runner_up` and `<label>_runner_up_score`; `error`. None with `output`.

    Raises:
        UserError: there is no such model, label, input or server, or no photo can be classified.

    Example:

        tags = fk.predict("photos/", "models/fashion", labels=["category", "colour"])
        tags[tags.category_decision == "review"]
    """
    options = {**locals()}
    report_to = reporter(options.pop("progress"))
    options["photos"] = [photos] if isinstance(photos, str | os.PathLike) else photos
    return _predict(_Request(**options), report_to)


def _predict(request: _Request, report_to: Reporter) -> pd.DataFrame | None:
    """Classify into the table that was asked for, or into a DataFrame."""
    with _opened(request, report_to) as work:
        if request.output:
            _write(work, report_to)
            return None
        import pandas as pd

        rows: list[tuple] = []
        tally = Tally()
        with report_to:
            for batch in work.classified(work.source.photos()):
                rows += [work.row(prediction).cells for prediction in batch]
                tally.add(batch)
                report_to.update("classifying", len(rows), len(work.source))
        _conclude(tally, work.source, report_to)
        return pd.DataFrame(rows, columns=list(Columns(work.labels).names))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_command, argv)


def _command(argv: Sequence[str] | None) -> None:
    options = vars(_parser().parse_args(argv))
    top = options.pop("top")
    options["threshold"] = dict(options["threshold"] or ())
    request, report_to = _Request(**options), Terminal()
    with _opened(request, report_to) as work:
        top = _checked_top(top, work)
        if request.output:
            _write(work, report_to)
        else:
            _print_lines(work, _line_format(work, top), report_to)


@dataclasses.dataclass(frozen=True)
class _Work:
    """What a request names, opened: its photos, its model and the labels that are written."""

    request: _Request
    source: PhotoSource
    version: Path | None
    info: ModelInfo | None
    server: Model | None
    cluster: Cluster | None
    labels: tuple[str, ...]
    thresholds: Mapping[str, Mapping[str, float]]  # by what is known of a product

    def row(self, prediction: Prediction) -> Row:
        return table_row(prediction, self.labels, self.thresholds[prediction.sees])

    def classified(self, photos: Iterator[Photo]) -> Iterator[list[Prediction]]:
        """Yield the photos' predictions in batches; loads a model of this machine first."""
        in_flight = self.request.in_flight if self.server else IN_FLIGHT_HERE
        grouped = batches(photos, self.request.batch_size)
        model = self.server
        if model is None:
            assert self.version is not None
            titles = bool(self.request.title_column)
            model = loading.load_local(self.version, self.labels, titles)
        return classify_all(grouped, model, in_flight)


@contextlib.contextmanager
def _opened(request: _Request, report_to: Reporter) -> Iterator[_Work]:
    """Check a request, and open what it names: the photos, and the model's version or server."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(watched(report_to))
        if request.output:
            request.output = stack.enter_context(changing(request.output))
        _check(request)
        version = find_model(request.model, small=True) if request.model else None
        info = info_of(version) if version else None
        if version and is_released(version):
            report_to.note(released_note(version))
        titles = tuple(request.title_column or ())
        columns = PathColumns(request.path_column, request.id_column, request.path_root, titles)
        source = stack.enter_context(PhotoSource(request.photos, columns))
        server = stack.enter_context(_server(request, info, report_to))
        cluster = stack.enter_context(connected(request.cluster, report_to))
        known = info.label_names if info else ()  # never empty without a server
        heads = server.heads if server else heads_of(known, request.labels)
        labels = tuple(head.label for head in heads)
        headline = info.label if info else HEADLINE
        fitted = {sees: info.thresholds(sees) if info else {} for sees in SEES}
        given = _given_thresholds(request)
        thresholds = {sees: thresholds_of(labels, headline, fitted[sees], given) for sees in SEES}
        yield _Work(request, source, version, info, server, cluster, labels, thresholds)


def _server(
    request: _Request, info: ModelInfo | None, report_to: Reporter
) -> contextlib.AbstractContextManager[Model | None]:
    if not request.server:
        return contextlib.nullcontext()
    assert request.name is not None  # `_check` has seen to it
    retries = Retries(request.retries, request.server, report_to.note)
    at = (request.server, request.name, retries, request.in_flight)
    known, titles = info.label_names if info else None, bool(request.title_column)
    return contextlib.closing(loading.connect(*at, known, request.labels, titles))


def _given_thresholds(request: _Request) -> Mapping[str | None, float]:
    given = request.threshold
    if given is None:
        return {}
    return dict(given.items()) if isinstance(given, Mapping) else {None: given}


def _print_lines(work: _Work, line: LineFormat, report_to: Reporter) -> None:
    tally = Tally()
    for batch in work.classified(work.source.photos()):
        for prediction in batch:
            print(line(prediction))
        tally.add(batch)
    _conclude(tally, work.source, report_to)


def _write(work: _Work, report_to: Reporter) -> None:
    if work.cluster:
        _write_by_cluster(work, work.cluster, report_to)
    else:
        _write_table(work, report_to)


def _write_by_cluster(work: _Work, cluster: Cluster, report_to: Reporter) -> None:
    request = work.request
    assert request.output is not None and work.version is not None  # `_check` has seen to it
    tagging = Tagging.of(
        work.version,
        labels=work.labels,
        titles=bool(request.title_column),
        thresholds=work.thresholds,
        batch_size=request.batch_size,
        output=request.output,
    )
    with (
        report_to,
        opened_parts(Path(request.output), resume=request.resume) as parts,
        _table(work, report_to) as table,
    ):
        kept, kept_errors = table.rows, table.errors
        try:
            tally = tag_by_cluster(tagging, work.source, table, parts, cluster)
        except BaseException:
            if parts.rows:
                report_to.note(f"{parts.folder} keeps {parts.rows:,} rows: --resume goes on")
            raise
    _tell(work, table, tally, report_to, kept, kept_errors)


def _write_table(work: _Work, report_to: Reporter) -> None:
    tally, source = Tally(), work.source
    with _table(work, report_to) as table, report_to:
        kept, kept_errors = table.rows, table.errors
        photos = source.photos(table.take_done)
        done = min(kept, len(source))
        report_to.update("classifying", done, len(source))
        for batch in work.classified(photos):
            table.write(map(work.row, batch))
            tally.add(batch)
            done += len(batch)
            report_to.update("classifying", done, len(source))
    _tell(work, table, tally, report_to, kept, kept_errors)


def _tell(work, table, tally, report_to, kept, kept_errors) -> None:
    classified = table.rows - table.errors
    before = f", {kept:,} of them before" if kept else ""
    output = work.request.output
    report_to.say(f"{output}: {table.rows:,} photos, {classified:,} classified{before}")
    _conclude(tally, work.source, report_to, kept=kept, classified_before=kept - kept_errors)


def _conclude(tally: Tally, source: PhotoSource, report_to: Reporter, **before: int) -> None:
    if source.passed_over:
        report_to.note(source.account())
    tally.conclude(report_to.warn, **before)


@contextlib.contextmanager
def _table(work: _Work, report_to: Reporter) -> Iterator[Table]:
    """Open the table, and say what it keeps where it comes to no good end."""
    output, resume = work.request.output, work.request.resume
    assert output is not None
    table = None
    try:
        with open_table(output, Columns(work.labels), resume=resume) as table:
            yield table
    except BaseException:
        if table and table.rows:
            report_to.note(f"{table.partial} keeps {table.rows:,} rows: --resume goes on")
        raise


def _line_format(work: _Work, top: int) -> LineFormat:
    paths = (path for _, path in work.source.names())
    width = longest(work.info.labels[work.labels[0]]) if work.info else _CLASS_WIDTH
    return LineFormat(work.labels, longest(paths), width, top, work.thresholds)


def _checked_top(top: int | None, work: _Work) -> int:
    if work.info is None:
        return top or DEFAULT_TOP
    available = min(work.info.top, len(work.info.labels[work.labels[0]]))
    if top is None:
        return min(DEFAULT_TOP, available)
    if top > available:
        raise UserError(f"--top {top}: {work.version} gives a photo {available} classes at most")
    return top


def _check(request: _Request) -> None:
    if request.server:
        loading.check_address(request.server)
        if not request.name:
            raise UserError(f"--server {request.server}: which of its models? Give --name NAME")
    if request.cluster and (request.server or not request.output):
        raise UserError(
            "--cluster has its machines hold the model and write a table: give --output FILE, "
            "and no --server"
        )
    if request.cluster:
        check_paths(*request.photos, request.model, request.path_root, request.output)
    if isinstance(request.path_root, Path) and not request.path_root.exists():
        raise UserError(
            f"--path-root {request.path_root} is not there: expected the folder or zip that the "
            "CSV's paths start from"
        )
    if request.title_column and not any(photo.lower().endswith(".csv") for photo in request.photos):
        raise UserError("--title-column is of a CSV: name one among the inputs")
    if request.output:
        output = Path(request.output)
        check_table(output, "--output")
        if not request.cluster:
            check_no_parts(output)
        if address_of(output) in request.photos or output.resolve() in (
            Path(photo).resolve() for photo in request.photos
        ):
            raise UserError(
                f"--output {request.output} is an input too: name another file to write"
            )
    elif request.resume:
        raise UserError("--resume continues a table: give it by --output FILE")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fashion-keras predict",
        description="Classify photos, and titles, with a model here or behind TF Serving. Ends "
        "with 0 if at least one photo was classified; those that cannot be read are listed with a "
        "reason.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "photos",
        nargs="+",
        type=named,
        metavar="PHOTO|FOLDER|ZIP|CSV",
        help="what to classify, in this order",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        type=anywhere,
        metavar="DIR",
        help="a run; a version folder of export's, or its parent (then the highest version): a "
        f"SavedModel, LiteRT or ONNX; the name of a model that comes with the package (default: "
        f"{DEFAULT}). Beside --server, only its labels and thresholds are used",
    )
    model.add_argument(
        "--server", metavar="URL", help="TF Serving: http://HOST:8501 or grpc://HOST:8500"
    )
    model.add_argument("--name", help="the model's name on the server")
    machines = "classify by the machines of a Ray cluster, which see photos, model and --output"
    add_cluster(model, machines)
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
        type=anywhere,
        metavar="FILE",
        help="write rows there instead of printing lines: .csv, .jsonl or .parquet",
    )
    table.add_argument(
        "--resume",
        action="store_true",
        help="keep the rows that an interrupted or finished run has written, do the rest",
    )
    table.add_argument(
        "--label",
        action="append",
        dest="labels",
        metavar="NAME",
        help="a label to write; repeat it for several, in their order (default: all of the "
        "model's, the headline first)",
    )
    table.add_argument(
        "--threshold",
        action="append",
        type=_threshold,
        metavar="[LABEL=]SHARE",
        help="from which score a label's class is accepted and not to be reviewed, of the headline "
        "where no label is named; repeat it for several (default: the model's, where calibrate has "
        "fitted some)",
    )
    paths = parser.add_argument_group("CSVs of paths")
    paths.add_argument("--path-column", default="path", metavar="COLUMN", help="(path)")
    paths.add_argument(
        "--id-column", metavar="COLUMN", help="(id, where there is one; else the file's name)"
    )
    paths.add_argument(
        "--path-root",
        type=anywhere,
        metavar="DIR",
        help="folder or zip that relative paths start from (the CSV's own folder)",
    )
    paths.add_argument(
        "--title-column",
        action="append",
        metavar="COLUMN",
        help="the product's title, for a model that takes titles; repeat it for several columns. A "
        "row may have a photo, a title or both",
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _threshold(text: str) -> tuple[str | None, float]:
    label, _, share = text.rpartition("=")
    try:
        number = float(share)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{share!r} is not a number from 0 to 1")
    return label or None, number


_EXAMPLES = """\
examples:
  two photos, on screen:
    fashion-keras predict --model models/fashion a.jpg b.png
  a CSV of photos and titles:
    fashion-keras predict --model models/fashion products.csv --path-column photo \\
        --title-column title --output tags.csv
  a catalogue overnight, and on from where it was interrupted:
    fashion-keras predict --model models/fashion photos/ --output tags.parquet
    fashion-keras predict --model models/fashion photos/ --output tags.parquet --resume
  two labels of a model that has more, each with a threshold of its own:
    fashion-keras predict --model models/fashion photos/ --output tags.csv \\
        --label articleType --label baseColour --threshold baseColour=0.9
  50 million photos, on all machines of the Ray cluster that this one is part of (docs/scale.md):
    fashion-keras predict --model /shared/models/fashion /shared/photos/ \\
        --output /shared/tags.parquet --cluster auto
  where clouds keep it (pip install "fashion-keras[cloud]"; docs/scale.md):
    fashion-keras predict --model s3://shop/models/fashion/1 s3://shop/photos \\
        --output s3://shop/tags.parquet
  the photos that a CSV names, by a running TF Serving:
    fashion-keras predict --server http://localhost:8501 --name fashion \\
        products.csv --path-column photo --id-column sku --output tags.csv
"""

if __name__ == "__main__":
    sys.exit(main())
