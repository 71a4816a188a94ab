"""Command: a catalogue of photos in, TFRecords out.

fashion-keras convert --source ARCHIVE --output tfrecords/small
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fashion_keras.cluster.engine import add_cluster, check_paths, connected
from fashion_keras.commands import run_command
from fashion_keras.data.schema import INFO_FILE, DatasetInfo
from fashion_keras.data.splits import FRACTIONS, STRATEGIES
from fashion_keras.data.work_folder import REPORT_FILE
from fashion_keras.errors import UserError
from fashion_keras.io import is_address, place
from fashion_keras.places import changes, local, named, with_addresses
from fashion_keras.progress import Reporter, Terminal, reporter

_EXAMPLES = """\
examples:
  the Kaggle archive, small or large, as downloaded:
    fashion-keras convert --source archive.zip --output tfrecords/small
  one's own catalogue, a folder with a CSV and photos:
    fashion-keras convert --source shop/ --csv products.csv \\
        --id-column sku --image-column photo --label-column category --output tfrecords/shop
  keep the products' text too, for a model that sees photo and title:
    fashion-keras convert --source shop/ --csv products.csv --image-column photo \\
        --text-column title --text-column description --label-column category \\
        --output tfrecords/shop
  several photos of a product, each a row: none of a product's photos in two splits:
    fashion-keras convert --source shop/ --csv products.csv --image-column photo \\
        --group-column handle --label-column category --output tfrecords/shop
  keep near-identical photos in one split, so that the test is honest:
    fashion-keras convert --source archive.zip --split grouped --output tfrecords/grouped
  act on what `fashion-keras audit` found and a person has confirmed:
    fashion-keras convert --source archive.zip --output tfrecords/corrected \\
        --exclude wrong.txt --relabel label_issues.csv
  on all machines of the Ray cluster that this one is part of (docs/scale.md):
    fashion-keras convert --source /shared/shop --output /shared/tfrecords/shop --cluster auto
  where clouds keep it (pip install "fashion-keras[cloud]"; docs/scale.md):
    fashion-keras convert --source s3://shop/archive.zip --output s3://shop/records
  check records that are there:
    fashion-keras convert --verify tfrecords/small
"""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = argparse.ArgumentParser(
        prog="fashion-keras convert",
        description="Convert a catalogue of product photos into TFRecords. Photos are read from "
        "the archive as it is; a conversion that was stopped goes on where it was.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--source", type=named, metavar="ARCHIVE", help="a .zip or a folder")
    result.add_argument("--output", type=named, metavar="DIR", help="where the records go")
    result.add_argument(
        "--verify", type=named, metavar="DIR", help="re-read and check records instead"
    )
    result.add_argument(
        "--split",
        choices=STRATEGIES,
        help="published: the split of the published results; stratified: every class in "
        "proportion; grouped: that, with near-identical photos kept together (default: published "
        "where the catalogue is that one and neither fractions nor seed are given, else "
        "stratified)",
    )
    result.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        default=FRACTIONS,
        metavar=("TRAIN", "VAL", "TEST"),
        help="of a stratified or grouped split (default: 0.7 0.15 0.15)",
    )
    result.add_argument(
        "--seed", type=int, default=0, help="of a stratified or grouped split (default: 0)"
    )
    result.add_argument(
        "--exclude",
        type=named,
        metavar="FILE",
        help="leave these products out: an id a line, or a CSV with a column id",
    )
    result.add_argument(
        "--relabel",
        type=named,
        metavar="FILE",
        help="a CSV with a column id and a column for each label to change; an empty cell leaves "
        "the label as it is, NA removes it",
    )
    result.add_argument(
        "--max-size",
        type=int,
        default=320,
        metavar="N",
        help="larger photos are shrunk to N pixels on the longer side (default: 320)",
    )
    result.add_argument("--shards", type=int, metavar="N", help="training shards")
    add_cluster(
        result, "read and write by the machines of a Ray cluster, which see ARCHIVE and DIR"
    )
    result.add_argument("--overwrite", action="store_true", help="replace other records at DIR")
    _add_own(result.add_argument_group("one's own catalogue"))
    return result


def _add_own(own) -> None:
    """Add the options that say what the columns of a shop's own CSV are."""
    own.add_argument("--csv", metavar="NAME", help="the CSV in the archive")
    own.add_argument("--id-column", metavar="NAME", help="(default: the photo's name)")
    own.add_argument("--image-column", metavar="NAME", help="paths of the photos")
    own.add_argument(
        "--label-column",
        metavar="NAME",
        action="append",
        help="what to learn; give it several times for several labels",
    )
    own.add_argument(
        "--text-column",
        metavar="NAME",
        action="append",
        help="text to keep beside the photo, such as the title; several times for several columns "
        "(default: Kaggle's productDisplayName in its layouts, else none)",
    )
    own.add_argument(
        "--group-column",
        metavar="NAME",
        help="keep rows that have the same value here in one split: the photos of a product, a "
        "brand, a shoot. A row without a label gets that of its group",
    )
    own.add_argument(
        "--split-column",
        metavar="NAME",
        help="which split a row goes to: train, validation or test stands there",
    )
    own.add_argument(
        "--time-column",
        metavar="NAME",
        help="train on the oldest products, test on the newest: a number, such as the year, or a "
        "date such as 2024-07-31 stands there",
    )
    own.add_argument(
        "--group-titles",
        action="store_true",
        help="keep products whose text reads the same in one split",
    )
    own.add_argument(
        "--merge-names",
        action="store_true",
        help="make class names that differ in case, spaces or Unicode form alone the most "
        "frequent of them",
    )


@dataclasses.dataclass(frozen=True)
class Records:
    """A folder of TFRecords, which every step takes where it takes a path to them.

    Attributes:
        path: the folder.
        info: class names, sizes and counts of every split, as `dataset_info.json` has them.
    """

    path: Path
    info: DatasetInfo

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        sizes = [f"{name} {split.num_examples:,}" for name, split in self.info.splits.items()]
        return with_addresses(f"{self.path}: {', '.join(sizes)}")


@changes("output", replaced=True)
def convert(
    source: str | os.PathLike,
    output: str | os.PathLike,
    *,
    csv: str | None = None,
    id_column: str | None = None,
    image_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    text_column: str | Sequence[str] | None = None,
    group_column: str | None = None,
    split_column: str | None = None,
    time_column: str | None = None,
    group_titles: bool = False,
    merge_names: bool = False,
    split: str | None = None,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    exclude: str | os.PathLike | None = None,
    relabel: str | os.PathLike | None = None,
    max_size: int = 320,
    shards: int | None = None,
    cluster: str | None = None,
    overwrite: bool = False,
    progress: bool | Reporter = True,
) -> Records:
    """Convert a catalogue of product photos into TFRecords, or go on with a stopped conversion.

    Args:
        source: the Kaggle archive as downloaded, or a folder or zip with a CSV and photos.
        output: the folder of records to write.
        csv: the CSV in the source. Defaults to the only one, or Kaggle's.
        id_column: the column of ids. Defaults to the photo's name.
        image_column: the column of the photos' paths. Defaults to `images/<id>`.
        label_column: what to learn, one column or several. Defaults to Kaggle's.
        text_column: text to keep, one column or several. Defaults to Kaggle's `productDisplayName`.
        group_column: rows with the same value stay in one split: products, brands, shoots.
        split_column: a column that says where each row goes: train, validation or test.
        time_column: train on the oldest, test on the newest by this column, a number or ISO date.
        group_titles: products of one title stay in one split.
        merge_names: make class names that look alike the most frequent of them.
        split: `published`, `stratified` or `grouped` (near-identical photos kept together).
            Defaults to published for the published catalogue, else stratified.
        fractions: shares of train, validation and test.
        seed: of the split.
        exclude: a file of ids to leave out.
        relabel: a CSV of corrected labels.
        max_size: larger photos are shrunk to so many pixels on the longer side.
        shards: files of the training split.
        cluster: a Ray cluster that does the work: `auto`, `HOST:PORT`, or `local[N]` processes.
        overwrite: replace other records at `output`.
        progress: False for no bars, or a `Reporter`.

    Raises `UserError`: the source, a column or an option is wrong; no row has a photo. Example:

        records = fk.convert("shop/", "tfrecords/shop", csv="products.csv", id_column="sku",
                             image_column="photo", label_column=["category", "colour"])
    """
    options = {**locals()}
    with reporter(options.pop("progress")) as report_to:
        return _convert(report_to, **options)


def _convert(
    report_to, *, output, cluster, overwrite, label_column, text_column, **options
) -> Records:
    from fashion_keras.data import conversion

    for name in ("max_size", "shards"):
        if options[name] is not None and options[name] < 1:
            raise UserError(f"--{name.replace('_', '-')} {options[name]}: expected at least 1")
    for name in ("source", "exclude", "relabel"):
        options[name] = named(options[name]) if options[name] else None
        if name != "source" and options[name] and is_address(options[name]):
            options[name] = os.fspath(local(options[name]))
    labels = _columns(label_column)
    request = conversion.Request(
        **options | {"fractions": tuple(options["fractions"])},
        split_label=labels[0] if labels else conversion.DEFAULT_LABEL,
        label_columns=labels,
        text_columns=_columns(text_column),
    )
    if cluster:
        check_paths(options["source"], output)
    with connected(cluster, report_to) as engine:
        info = conversion.convert(
            request,
            output,
            overwrite=overwrite,
            cluster=engine,
            progress=engine.progress if engine else report_to.update,
            say=report_to.say,
        )
    return Records(place(output), info)


def _columns(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return (given,) if isinstance(given, str) else tuple(given or ()) or None


def _verify(records: str) -> None:
    path = local(records)
    info = DatasetInfo.load(path)  # a wrong path is answered before TensorFlow is loaded
    info.fetch(path)
    from fashion_keras.quiet import load_tensorflow

    load_tensorflow()
    from fashion_keras.data.verification import verify

    with Terminal("records") as bar:
        count = verify(path, progress=bar.update)
    print(f"{records}: all {count:,} records are as {INFO_FILE} says")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command(_command, argv)


def _command(argv: Sequence[str] | None) -> None:
    options = vars(parser().parse_args(argv))
    if records := options.pop("verify"):
        _verify(records)
        return
    if not options["source"] or not options["output"]:
        raise UserError("--source ARCHIVE and --output DIR are needed (or --verify DIR)")
    print(convert(**options, progress=Terminal()))
    report = os.path.join(options["output"], REPORT_FILE)
    print(f"report of every row left out: {report}")


if __name__ == "__main__":
    sys.exit(main())
