"""Measure what a product's title alone says: a linear model on its words, a row a label.

python scripts/title_baseline.py --source fashion-product-images-small.zip --output titles/

TF-IDF of words, word pairs and the 3 to 5 characters within words, and a linear support vector
machine a label (Joachims, "Text categorization with support vector machines", 1998). It is what a
model of photos and titles has to beat. Everything is fitted on the training products alone.

Of titles that training knows, most of the answers stand in training already. `--unseen` measures
what a shop meets later:

titles  the same model, scored on products whose title no training product has.
brands  brands (a title's first word) are drawn by a hash: 15% of them for the test, 15% for
        validation. Training sees none of them, and all their products are scored.
year    test is the newest year with 100 products or more, validation the one before it. Training
        is what is older.
"""

from __future__ import annotations

import argparse
import csv
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from io import StringIO
from pathlib import Path

import numpy as np
from scripting import script_parser

from fashion_keras.commands import run_command
from fashion_keras.data.archive import open_archive
from fashion_keras.data.catalog import Product
from fashion_keras.data.catalog_reader import read_catalog
from fashion_keras.data.schema import LABEL_COLUMNS, NAME_COLUMN, DatasetInfo
from fashion_keras.data.splits import PUBLISHED_LABEL, make_splits
from fashion_keras.errors import UserError
from fashion_keras.evaluation.intervals import bootstrap_intervals
from fashion_keras.io import place, write_json, write_text
from fashion_keras.metrics import confusion_matrix, scores
from fashion_keras.progress import Terminal
from fashion_keras.quiet import load_tensorflow

YEAR = "year"
YEAR_PRODUCTS = 100  # a year of fewer is too few to score
BRAND_PERCENT = 15  # of the brands, for test and for validation each
SCORES = ("accuracy", "macro_f1")


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = script_parser(__doc__, epilog_from=4)
    source = result.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--source", metavar="ARCHIVE", help="the Kaggle archive, a .zip or a folder"
    )
    source.add_argument("--data", metavar="DIR", help="records, with their split")
    result.add_argument(
        "--output",
        type=place,
        metavar="DIR",
        help="write NAME.json, NAME.csv and NAME-predictions.csv there",
    )
    result.add_argument(
        "--split",
        choices=("published", "stratified"),
        default="published",
        help="of --source, as convert makes it (default: published)",
    )
    result.add_argument(
        "--score",
        choices=("validation", "test"),
        default="validation",
        help="what is scored: choose on validation, look at test once (default: validation)",
    )
    result.add_argument(
        "--unseen",
        choices=("titles", "brands", YEAR),
        help="score products that are new in this way (default: all of the split)",
    )
    result.add_argument(
        "--features",
        choices=("words", "words+characters"),
        default="words+characters",
        help="what of the title (default: words+characters)",
    )
    result.add_argument("--label", action="append", metavar="NAME", help="(default: all seven)")
    result.add_argument(
        "--text-column",
        action="append",
        metavar="NAME",
        help=f"the title; of several, one after the other (default: {NAME_COLUMN})",
    )
    return result


def brand(title: str) -> str:
    """Return a title's first word in lower case, "" where there is none."""
    return (title.lower().split() or [""])[0]


def brand_split(title: str) -> str:
    """Return the split that a brand's products are in, where brands are to be unseen.

    A product without a title has no brand: training has it.
    """
    name = brand(title)
    bucket = zlib.crc32(name.encode()) % 100 if name else 100
    if bucket < BRAND_PERCENT:
        return "test"
    return "validation" if bucket < 2 * BRAND_PERCENT else "train"


def from_archive(options, labels: Sequence[str]) -> dict[str, list[Product]]:
    """Return the products of each split of a catalogue, which is read as `convert` reads it."""
    year = [YEAR] if options.unseen == YEAR else []
    needed = [PUBLISHED_LABEL] if options.split == "published" else []
    columns = list(dict.fromkeys([*labels, *year, *needed]))
    with open_archive(options.source) as archive:
        catalog = read_catalog(archive, label_columns=columns, text_columns=options.text_column)
    products = {product.id: product for product in catalog.products}
    splits = make_splits(catalog, options.split, label=labels[0])
    return {name: [products[id] for id in ids] for name, ids in splits.items()}


def from_records(options, labels: Sequence[str]) -> dict[str, list[Product]]:
    """Return the products of each split of records, without their photos."""
    info = DatasetInfo.load(options.data)
    wanted = list(dict.fromkeys([*labels, *([YEAR] if options.unseen == YEAR else [])]))
    if missing := [name for name in options.text_column if name not in info.texts]:
        raise UserError(
            f"{options.data} holds no text of {missing[0]!r}, only of "
            f"{', '.join(info.texts) or 'nothing'}: convert the catalogue with --text-column"
        )
    load_tensorflow()
    from fashion_keras.data.tfrecord import read_records

    found = {}
    for split in info.splits:
        records = read_records(options.data, info, split, wanted, titles=True, parallel_reads=1)
        found[split] = []
        for record in records.as_numpy_iterator():
            index = dict(zip(wanted, record["index"], strict=True))
            labels = {k: info.labels[k][i] if i >= 0 else None for k, i in index.items()}
            texts = dict(zip(info.texts, map(bytes.decode, record["title"]), strict=True))
            name = texts.get(NAME_COLUMN, "")
            found[split].append(
                Product(record["id"].decode(), name, labels, None, False, None, texts)
            )
    return found


def chosen(
    splits: Mapping[str, Sequence[Product]], title: Callable[[Product], str], score: str, unseen
) -> tuple[list[Product], list[Product]]:
    """Return the products to train on and those to score; `UserError` where there are none.

    `title` returns a product's text. For validation none of the test's products is used, whatever
    is unseen.
    """
    train, scored = list(splits["train"]), list(splits[score])
    everything = [product for products in splits.values() for product in products]
    if unseen == "titles":
        known = {title(product).lower() for product in train}
        scored = [product for product in scored if title(product).lower() not in known]
    elif unseen == "brands":
        held_out = ("test",) if score == "test" else ("test", "validation")
        train = [product for product in train if brand_split(title(product)) not in held_out]
        scored = [product for product in everything if brand_split(title(product)) == score]
    elif unseen == YEAR:
        counts = Counter(product.labels[YEAR] for product in everything)
        years = sorted(counts.keys() - {None}, key=lambda year: (len(year), year))
        large = [year for year in years if counts[year] >= YEAR_PRODUCTS]
        if len(large) < 3:
            raise UserError(
                f"--unseen {YEAR}: {len(large)} years have {YEAR_PRODUCTS} products, expected three"
            )
        newest = large[-1] if score == "test" else large[-2]
        older = years[: years.index(newest)]
        train = [product for product in everything if product.labels[YEAR] in older]
        scored = [product for product in everything if product.labels[YEAR] == newest]
    if not train or not scored:
        raise UserError("no product to train on, or none to score: choose another --unseen")
    return train, scored


def titles_as_features(train: Sequence[str], scored: Sequence[str], features: str):
    """Return sparse TF-IDF matrices of the titles, fitted on the training titles."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    kinds = [TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+")]
    if features == "words+characters":
        kinds.append(TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True))
    fitted = [hstack([kind.fit_transform(train) for kind in kinds]).tocsr()]
    return fitted[0], hstack([kind.transform(scored) for kind in kinds]).tocsr()


def predicted(train, truth: Sequence[str], scored) -> np.ndarray:
    """Fit the linear model and return the class name of each row to score."""
    from sklearn.svm import LinearSVC

    return LinearSVC(C=1.0, random_state=0).fit(train, truth).predict(scored)


def scored_label(truth: Sequence[str], prediction: Sequence[str], learnt: Collection[str]) -> dict:
    """Return accuracy and macro-F1 with their 95% bootstrap intervals, and the products' number.

    `learnt` are the classes that training has: products of others are counted, and are wrong.
    Classes that neither the products nor the predictions have are left out, as scikit-learn does.
    """
    classes = sorted({*truth, *prediction})
    index = {name: number for number, name in enumerate(classes)}
    pairs = ([index[name] for name in names] for names in (truth, prediction))
    matrix = confusion_matrix(*(np.array(numbers) for numbers in pairs), len(classes))
    values, intervals = scores(matrix).values, bootstrap_intervals(matrix)
    found = {key: {"value": values[key], "interval": list(intervals[key])} for key in SCORES}
    new = sum(name not in learnt for name in truth)
    return {"products": len(truth), "of_unseen_classes": new, **found}


def measure(options, say, progress) -> tuple[dict, list[list[str]]]:
    """Return every label's scores as JSON has them, and a row a product with each prediction."""
    labels = options.label or list(LABEL_COLUMNS)
    splits = (from_records if options.data else from_archive)(options, labels)

    def title(product: Product) -> str:
        return " ".join(filter(None, map(product.text, options.text_column)))

    train, scored = chosen(splits, title, options.score, options.unseen)
    titles = [title(product) for product in scored]
    without = sum(not text for text in titles)
    say(
        f"{len(train):,} products to train on, {len(scored):,} to score, {without:,} of them "
        "without a title"
    )
    if without == len(scored):
        raise UserError("no product to score has a title: name the column with --text-column")
    rows, asked = titles_as_features([title(p) for p in train], titles, options.features)
    result, table = {}, [["id", *(p.id for p in scored)]]
    for number, label in enumerate(labels):
        truth = np.array([product.labels[label] for product in train], object)
        known = truth != None  # noqa: E711, of an array
        if len(set(truth[known])) < 2:
            raise UserError(f"label {label!r} has fewer than two classes to learn: leave it out")
        found = predicted(rows[known], truth[known].tolist(), asked)
        true = [product.labels[label] for product in scored]
        pairs = [pair for pair in zip(true, found, strict=True) if pair[0] is not None]
        if pairs:
            result[label] = scored_label(*zip(*pairs, strict=True), set(truth[known]))
            say(_line(label, result[label]))
        table.append([f"{label} truth", *(name or "" for name in true)])
        table.append([f"{label} prediction", *found])
        progress("labels", number + 1, len(labels))
    settings = {key: getattr(options, key) for key in ("split", "score", "unseen", "features")}
    counts = {"train": len(train), "scored": len(scored), "without_title": without}
    return {**settings, **counts, "labels": result}, list(zip(*table, strict=True))


def _line(label: str, found: dict) -> str:
    parts = [
        "{} {:.4f} ({:.4f} to {:.4f})".format(
            key.replace("macro_f1", "macro-F1"), found[key]["value"], *found[key]["interval"]
        )
        for key in SCORES
    ]
    new = found["of_unseen_classes"]
    return f"{label:<16} {'   '.join(parts)}   {found['products']:,} products" + (
        f", {new:,} of classes that training has not" if new else ""
    )


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write(folder: Path, result: dict, predictions: Sequence[Sequence[str]]) -> None:
    name = "-".join(filter(None, [result["split"], result["unseen"], result["score"]]))
    rows = [
        ["label", "products", *(f"{key}{end}" for key in SCORES for end in ("", "_low", "_high"))]
    ]
    for label, found in result["labels"].items():
        numbers = [
            number for key in SCORES for number in (found[key]["value"], *found[key]["interval"])
        ]
        rows.append([label, found["products"], *(f"{number:.6f}" for number in numbers)])
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}.json", result, indent=1)
    write_text(folder / f"{name}.csv", _csv(rows))
    write_text(folder / f"{name}-predictions.csv", _csv(predictions))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""

    def command(argv):
        options = parser().parse_args(argv)
        options.text_column = options.text_column or [NAME_COLUMN]
        if options.data:
            options.split = "records"
        with Terminal("labels") as report_to:
            result, predictions = measure(options, report_to.say, report_to.update)
        if options.output:
            _write(options.output, result, predictions)
            print(f"written to {options.output}")

    return run_command(command, argv)


if __name__ == "__main__":
    sys.exit(main())
