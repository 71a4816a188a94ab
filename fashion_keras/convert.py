"""Command: a catalogue of photos in, TFRecords out.

python -m fashion_keras.convert --source ARCHIVE --output tfrecords/small
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from fashion_keras.commands import run_command
from fashion_keras.data.splits import FRACTIONS, STRATEGIES
from fashion_keras.places import place_text

_EXAMPLES = """\
examples:
  the Kaggle archive, small or large, as downloaded:
    python -m fashion_keras.convert --source archive.zip --output tfrecords/small
  one's own catalogue, a folder with a CSV and photos:
    python -m fashion_keras.convert --source shop/ --csv products.csv \\
        --id-column sku --image-column photo --label-column category --output tfrecords/shop
  several photos of a product, each a row: none of a product's photos in two splits:
    python -m fashion_keras.convert --source shop/ --csv products.csv --image-column photo \\
        --group-column handle --label-column category --output tfrecords/shop
  keep near-identical photos in one split, so that the test is honest:
    python -m fashion_keras.convert --source archive.zip --split grouped --output tfrecords/grouped
  act on what `python -m fashion_keras.audit` found and a person has confirmed:
    python -m fashion_keras.convert --source archive.zip --output tfrecords/corrected \\
        --exclude wrong.txt --relabel label_issues.csv
  check records that are there:
    python -m fashion_keras.convert --verify tfrecords/small
"""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = argparse.ArgumentParser(
        prog="python -m fashion_keras.convert",
        description="Convert a catalogue of product photos into TFRecords. Photos are read from "
        "the archive as it is; a conversion that was stopped goes on where it was.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--source", type=place_text, metavar="ARCHIVE", help="a .zip or a folder")
    result.add_argument("--output", type=place_text, metavar="DIR", help="where the records go")
    result.add_argument(
        "--verify", type=place_text, metavar="DIR", help="re-read and check records instead"
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
        type=place_text,
        metavar="FILE",
        help="leave these products out: an id a line, or a CSV with a column id",
    )
    result.add_argument(
        "--relabel",
        type=place_text,
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
    result.add_argument("--overwrite", action="store_true", help="replace other records at DIR")
    own = result.add_argument_group("one's own catalogue")
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
        "--group-column",
        metavar="NAME",
        help="keep rows that have the same value here in one split: the photos of a product, a "
        "brand, a shoot. A row without a label gets that of its group",
    )
    own.add_argument(
        "--merge-names",
        action="store_true",
        help="make class names that differ in case, spaces or Unicode form alone the most "
        "frequent of them",
    )
    return result


def convert(argv: Sequence[str] | None) -> None:
    """Parse `argv`, convert or verify, and print what was done."""
    from fashion_keras.errors import UserError

    options = parser().parse_args(argv)
    if options.verify:
        _verify(options.verify)
        return
    if not options.source or not options.output:
        raise UserError("--source ARCHIVE and --output DIR are needed (or --verify DIR)")
    for name in ("max_size", "shards"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} {value}: expected at least 1")
    from fashion_keras.data import conversion
    from fashion_keras.progress import Terminal

    labels = tuple(options.label_column) if options.label_column else None
    request = conversion.Request(
        source=options.source,
        split=options.split,
        split_label=labels[0] if labels else "subCategory",
        fractions=tuple(options.fractions),
        seed=options.seed,
        max_size=options.max_size,
        shards=options.shards,
        csv=options.csv,
        id_column=options.id_column,
        image_column=options.image_column,
        label_columns=labels,
        exclude=options.exclude,
        relabel=options.relabel,
        group_column=options.group_column,
        merge_names=options.merge_names,
    )
    with Terminal() as bar:
        info = conversion.convert(
            request, options.output, overwrite=options.overwrite, progress=bar.update, say=bar.say
        )
    sizes = ", ".join(f"{name} {split.num_examples:,}" for name, split in info.splits.items())
    print(f"{options.output}: {sizes}")
    report = os.path.join(options.output, conversion.REPORT_FILE)
    print(f"report of every row left out: {report}")


def _verify(records: str) -> None:
    from fashion_keras.data.schema import INFO_FILE, DatasetInfo
    from fashion_keras.progress import Terminal

    DatasetInfo.load(records)  # a wrong path is answered before TensorFlow is loaded
    from fashion_keras.quiet import load_tensorflow

    load_tensorflow()
    from fashion_keras.data.verification import verify

    with Terminal("records") as bar:
        count = verify(records, progress=bar.update)
    print(f"{records}: all {count:,} records are as {INFO_FILE} says")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command(convert, argv)


if __name__ == "__main__":
    sys.exit(main())
