"""Keep what a run says of a split by photo, by title and by both, and make tables of it.

python scripts/titles_results.py keep runs/efficientnetlite0-title tfrecords/small published
python scripts/titles_results.py            # prints the tables of docs/titles.md

`keep` predicts the test split, so look once, when all is chosen; `--split validation` before. It
writes docs/results/titles/NAME.parquet: a row a product with its labels, every answer, whether its
threshold accepts it, and what a linear model of the title says that is fitted to the same products
(scripts/title_baseline.py). The tables are made of these files alone.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scripting import script_parser
from title_baseline import predicted, titles_as_features

from fashion_keras.commands import run_command
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.decision.automation import proportion_interval
from fashion_keras.evaluation.intervals import bootstrap_intervals, paired_bootstrap
from fashion_keras.metrics import confusion_matrix, scores
from fashion_keras.quiet import load_tensorflow
from fashion_keras.run import SEES, Run, load_run

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results" / "titles"
LABELS = (
    *("subCategory", "articleType", "masterCategory", "gender"),
    *("baseColour", "season", "usage"),
)
LINEAR = "linear"
WAYS = (*SEES, LINEAR)
COMPARED = ("subCategory", "articleType")
# What is scored: the stored file, which of its rows, and what to call them.
PARTS = (
    ("published", "all", "published split"),
    ("published", "new", "its titles that training has not"),
    ("brands", "all", "brands that training has not"),
    ("years", "known", "2016 to 2019, classes that training has"),
)


def keep(run: Run, data: Path, split: str) -> pd.DataFrame:
    """Return a row a product with its labels and every answer."""
    from fashion_keras.evaluation.predictions import predict

    info = DatasetInfo.load(data)
    found = {sees: predict(run, data, split, sees=sees, progress=True) for sees in SEES}
    photo = found["photo"]
    titles = {name: _titles(data, info, name) for name in ("train", split)}
    known = set(titles["train"].values())
    assert [*titles[split]] == photo.ids
    columns: dict[str, object] = {
        "id": photo.ids,
        "known_title": [title in known for title in titles[split].values()],
    }
    for label, classes in run.labels.items():
        names = np.array([*classes, None], object)
        columns[f"{label}.truth"] = names[photo.truth[label]]
        counts = info.splits["train"].class_counts[label]
        columns[f"{label}.known"] = [i >= 0 and counts[i] > 0 for i in photo.truth[label]]
        for sees, predictions in found.items():
            decision = run.decision_for(sees)
            accept = decision.accept.get(label) if decision else None
            sure = predictions.probabilities(label).max(axis=1)
            columns[f"{label}.{sees}"] = names[predictions.prediction(label)]
            columns[f"{label}.{sees}.accepted"] = sure >= (accept.threshold if accept else 2)
    linear = _linear(data, info, split, list(run.labels), titles)
    table = pd.DataFrame(columns | {f"{label}.{LINEAR}": said for label, said in linear.items()})
    text = [name for name in table if not name.endswith(("known", "known_title", "accepted", "id"))]
    return table.astype(dict.fromkeys(text, "category"))


def _titles(data, info, split) -> dict[str, str]:
    """Return each product's title by its id, in lower case."""
    from fashion_keras.data.title_terms import read_texts

    return {id: " ".join(found).lower() for id, found in read_texts(data, info, split).items()}


def _linear(data, info, split, labels, titles) -> dict[str, list[str]]:
    """Return what scikit-learn's linear model of the title says of each label."""
    from fashion_keras.data.title_terms import read_terms

    said = {name: [*found.values()] for name, found in titles.items()}
    rows, asked = titles_as_features(said["train"], said[split], "words+characters")
    truth = read_terms(data, info, "train", labels).truth
    result = {}
    for label in labels:
        known = truth[label] >= 0
        names = np.array(info.vocabulary(label), object)
        found = predicted(rows[known], names[truth[label][known]].tolist(), asked)
        result[label] = list(found)
        print(f"{label}: linear model of the title fitted", flush=True)
    return result


def rows_of(table: pd.DataFrame, label: str, part: str) -> pd.DataFrame:
    """Return the products of a part that have the label."""
    rows = table[table[f"{label}.truth"].notna()]
    if part == "new":
        return rows[~rows.known_title]
    return rows[rows[f"{label}.known"]] if part == "known" else rows


def indices(rows: pd.DataFrame, label: str) -> tuple[dict[str, np.ndarray], int]:
    """Return truth and answers as class numbers, and how many classes there are."""
    names = [f"{label}.{way}" for way in ("truth", *WAYS)]
    classes = sorted({name for column in names for name in rows[column].unique()})
    number = {name: index for index, name in enumerate(classes)}
    found = {c.rpartition(".")[2]: rows[c].map(number).to_numpy(int) for c in names}
    return found, len(classes)


def parts_of(tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, pd.DataFrame, str]]:
    """Return what each of `PARTS` is called, its kept table, and which of its rows it is."""
    return [(called, tables[name], part) for name, part, called in PARTS if name in tables]


def scored(rows: pd.DataFrame, label: str) -> list[tuple[str, str]]:
    """Return accuracy and macro-F1, each with its 95% interval, of each way."""
    found, count = indices(rows, label)
    result = []
    for way in WAYS:
        matrix = confusion_matrix(found["truth"], found[way], count)
        values, intervals = scores(matrix).values, bootstrap_intervals(matrix)
        accuracy, macro_f1 = (
            "{:.{n}f} [{:.{n}f}, {:.{n}f}]".format(values[key], *intervals[key], n=digits)
            for key, digits in (("accuracy", 4), ("macro_f1", 3))
        )
        result.append((accuracy, macro_f1))
    return result


def scores_table(tables: Mapping[str, pd.DataFrame], label: str) -> str:
    """Return accuracy and macro-F1, with 95% intervals, of each part and way."""
    lines = [
        f"| {label} | products | photo | title | both | linear model of the title |",
        "| --- | ---: | --- | --- | --- | --- |",
    ]
    for called, table, part in parts_of(tables):
        rows = rows_of(table, label, part)
        cells = [" / ".join(both) for both in scored(rows, label)]
        lines.append(f"| {called} | {len(rows):,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def gains_table(tables: Mapping[str, pd.DataFrame]) -> str:
    """Return how much accuracy both have more than each alone, with paired intervals."""
    lines = [
        "| both less … | label | photo | title | linear model of the title |",
        "| --- | --- | --- | --- | --- |",
    ]
    for called, table, part in parts_of(tables):
        for label in COMPARED:
            found, count = indices(rows_of(table, label, part), label)
            ways = ("both", "photo", "title", LINEAR)
            drawn = paired_bootstrap(found["truth"], [found[way] for way in ways], count)
            cells = []
            for column, way in enumerate(ways[1:], start=1):
                gain = drawn["accuracy"][:, 0] - drawn["accuracy"][:, column]
                right = [np.mean(found[which] == found["truth"]) for which in ("both", way)]
                low, high = np.quantile(gain, (0.025, 0.975))
                cells.append(f"{right[0] - right[1]:+.4f} [{low:+.4f}, {high:+.4f}]")
            lines.append(f"| {called} | {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def accepted(rows: pd.DataFrame, label: str) -> tuple[str, str, str] | None:
    """Return which share needs no person by both, which of that is wrong, and its 95% interval."""
    taken = rows[rows[f"{label}.both.accepted"]]
    if not len(taken):
        return None
    truth, said = (taken[f"{label}.{way}"].astype(str) for way in ("truth", "both"))
    wrong = int((truth != said).sum())
    low, high = proportion_interval(wrong, len(taken))
    shares = f"{len(taken) / len(rows):.1%}", f"{wrong / len(taken):.2%}"
    return *shares, f"[{low:.2%}, {high:.2%}]"


def accepted_table(tables: Mapping[str, pd.DataFrame]) -> str:
    """Return what needs no person by both, of each part and label."""
    lines = [
        "| needs no person, by both | " + " | ".join(LABELS) + " |",
        "| --- |" + " --- |" * len(LABELS),
    ]
    for called, table, part in parts_of(tables):
        found = [accepted(rows_of(table, label, part), label) for label in LABELS]
        cells = ["{}, {} {} wrong".format(*one) if one else "none" for one in found]
        lines.append(f"| {called} | {' | '.join(cells)} |")
    return "\n".join(lines)


def readme_table(tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the table of README.md: the accuracy of the first label, and what is accepted."""
    lines = [
        "| Kaggle's test products | photo | title | both | linear, title | accepted |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for called, table, part in parts_of(tables):
        rows = rows_of(table, LABELS[0], part)
        cells = [accuracy for accuracy, _ in scored(rows, LABELS[0])]
        taken = accepted(rows, LABELS[0])
        cells.append("{}, {} wrong".format(*taken) if taken else "none")
        lines.append(f"| {called} | {' | '.join(cells)} |")
    return "\n".join(lines)


def stored() -> dict[str, pd.DataFrame]:
    """Return the kept tables by name."""
    return {path.stem: pd.read_parquet(path) for path in sorted(RESULTS.glob("*.parquet"))}


def all_tables(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the tables of docs/titles.md."""
    by_label = [scores_table(tables, label) for label in LABELS]
    return [*by_label, gains_table(tables), accepted_table(tables)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""

    def command(argv):
        parser = script_parser(__doc__, epilog_from=2)
        kept = parser.add_subparsers(dest="step").add_parser("keep", help="predict and keep")
        kept.add_argument("run", type=Path)
        kept.add_argument("data", type=Path)
        kept.add_argument("name", help="what to call it, such as published")
        kept.add_argument("--split", default="test", choices=("validation", "test"))
        options = parser.parse_args(argv)
        if options.step == "keep":
            load_tensorflow()
            table = keep(load_run(options.run), options.data, options.split)
            if options.split == "validation":  # to look at, not to keep
                print("\n\n".join(all_tables({options.name: table})))
                return
            RESULTS.mkdir(parents=True, exist_ok=True)
            table.to_parquet(RESULTS / f"{options.name}.parquet", compression="zstd")
        print("\n\n".join([*all_tables(stored()), readme_table(stored())]))

    return run_command(command, argv)


if __name__ == "__main__":
    sys.exit(main())
