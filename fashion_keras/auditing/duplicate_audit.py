"""The options of `fashion-keras audit` in; near-duplicates' files written, a summary out."""

from __future__ import annotations

import csv
import gzip
import os
from collections import Counter
from collections.abc import Set
from pathlib import Path

import numpy as np

from fashion_keras.auditing.pairs import MAX_DIFFERENCE as EMBEDDED_DIFFERENCE
from fashion_keras.auditing.pairs import (
    MIN_SIMILARITY,
    RecordedPhotos,
    conflicts,
    duplicates_report,
    has_near_duplicate_in,
    pair_rows,
    read_photos,
    similar_pairs,
)
from fashion_keras.auditing.sheets import (
    MOST_SHOWN,
    conflicts_sheet,
    distances_sheet,
    pairs_sheet,
    write_files,
)
from fashion_keras.cluster.engine import Cluster
from fashion_keras.data.near_duplicates import (
    COPIES,
    HASH_NAME,
    MAX_DIFFERENCE,
    MAX_DISTANCE,
    Pairs,
    find_pairs,
)
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.evaluation.intervals import bootstrap_intervals
from fashion_keras.metrics import confusion_matrix, scores
from fashion_keras.progress import Reporter
from fashion_keras.text import from_cell

CONFIDENCE = 0.95
_RESAMPLES = 2000
COLUMNS = ("id", "truth", "prediction")


def read_predictions(path: str | os.PathLike) -> tuple[list[str], list[str], list[str]]:
    """Return ids, truths and predictions of a `predictions.csv.gz` (or `.csv`) of `evaluate`.

    Raises `UserError` where the file is missing, damaged, or has other columns.
    """
    path = Path(path)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise UserError(
                    f"{path} has columns {', '.join(reader.fieldnames or ())}: expected "
                    f"{', '.join(COLUMNS)}, as fashion-keras evaluate writes them"
                )
            rows = [tuple(row[name] for name in COLUMNS) for row in reader]
            if any(None in row for row in rows):
                raise ValueError(f"cut short in line {reader.line_num}, evaluate again")
            rows = [tuple(map(from_cell, row)) for row in rows]
    except (OSError, EOFError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read the predictions {path}: {reason}") from None
    if not rows:
        raise UserError(f"{path} holds no predictions")
    ids, truth, prediction = zip(*rows, strict=True)
    return list(ids), list(truth), list(prediction)


def scores_with_and_without(
    ids: list[str],
    truth: list[str],
    prediction: list[str],
    duplicated: Set[str],
) -> dict:
    """Score all photos, those in `duplicated` alone, and the others alone; ready for JSON.

    Each part has `num_examples` and `accuracy` and `macro_f1` with percentile bootstrap intervals
    (None for a part without photos). `inflation` is the accuracy of all photos less that without
    the duplicated ones, with an interval from resampling all photos: what the near-duplicates
    add to the published score. Photos without a truth are left out.
    """
    known = [index for index, name in enumerate(truth) if name]
    if not known:
        raise UserError("the predictions hold no photo with a label")
    classes = sorted({truth[i] for i in known} | {prediction[i] for i in known})
    index = {name: place for place, name in enumerate(classes)}
    true = np.array([index[truth[i]] for i in known])
    said = np.array([index[prediction[i]] for i in known])
    twice = np.array([ids[i] in duplicated for i in known])

    def part(chosen: np.ndarray) -> dict | None:
        if not chosen.any():
            return None
        matrix = confusion_matrix(true[chosen], said[chosen], len(classes))
        found = scores(matrix)
        bounds = bootstrap_intervals(matrix, resamples=_RESAMPLES, confidence=CONFIDENCE, seed=0)
        return {
            "num_examples": int(chosen.sum()),
            **{
                name: {
                    "value": getattr(found, name),
                    "low": bounds[name][0],
                    "high": bounds[name][1],
                }
                for name in ("accuracy", "macro_f1")
            },
        }

    return {
        "all": part(np.ones(len(known), bool)),
        "with_near_duplicate_in_train": part(twice),
        "without": part(~twice),
        "inflation": _inflation(true == said, twice),
    }


def _inflation(right: np.ndarray, twice: np.ndarray) -> dict | None:
    if twice.all():
        return None
    counts = np.array([(right & ~twice).sum(), (~right & ~twice).sum(),
                       (right & twice).sum(), (~right & twice).sum()])  # fmt: skip
    drawn = np.random.default_rng(0).multinomial(len(right), counts / len(right), size=_RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(_difference(drawn), (tail, 1 - tail))
    value = float(_difference(counts[None])[0])
    return {"value": value, "low": float(low), "high": float(high)}


def _difference(counts: np.ndarray) -> np.ndarray:
    """Return accuracy of all less accuracy without the duplicated, for counts `[R, 4]`."""
    right, wrong, right_twice, _ = counts.T
    total = counts.sum(axis=1)
    alone = right + wrong
    without = np.divide(right, alone, out=np.full(len(counts), np.nan), where=alone > 0)
    return (right + right_twice) / total - without


REPORT_FILE = "audit.json"
_HEADLINE = "subCategory"


def audit_duplicates(
    options, info: DatasetInfo, predictions, report_to: Reporter, cluster: Cluster | None = None
) -> str:
    """Find near-duplicates of the records `options.data`, write `options.output`, summarise.

    `options` are those of `audit`; `predictions` is None or ids, truths and predictions of photos;
    `cluster` hashes the photos where there is one.
    """
    distance = MAX_DISTANCE if options.max_distance is None else options.max_distance
    difference = MAX_DIFFERENCE if options.max_difference is None else options.max_difference
    run = None
    if options.model:
        from fashion_keras.run import load_run

        run = load_run(options.model[0], info)
    label = options.label or (run.label if run else _default_label(info))
    with report_to as bar:
        photos, wide = _compared(options.data, info, distance, bar, cluster)
        pairs = wide[wide.difference <= difference]
        found = conflicts(photos)
        report = {
            "records": os.fspath(options.data),
            "records_split": info.split,
            "label": label,
            "rules": {"hash": HASH_NAME, "max_distance": distance, "max_difference": difference}
            | _copies(photos),
            **duplicates_report(photos, pairs),
            "in_any_colour": _in_train(photos, wide),
        }
        files: dict[str, list | bytes] = {
            "pairs.csv": pair_rows(photos, pairs),
            "conflicts.csv": found,
            "pairs.png": _cross_sheet(options.data, photos, pairs, label),
            "distances.png": distances_sheet(
                options.data, photos, wide, label=label, max_difference=difference
            ),
            "conflicts.png": conflicts_sheet(options.data, found, label=label),
        }
        if run:
            splits = [name for name, split in info.splits.items() if split.num_examples]
            from fashion_keras.features import embed

            embedded = embed(run, options.data, splits, progress=bar.update)
            ids, features = embedded.ids, embedded.at_length_one()
            extra = _by_embedding(options, photos, pairs, ids, features, label)
            report["by_embedding"], similar = extra
            files |= similar
    if predictions:
        report["scores"] = _scores(options, photos, pairs, wide, predictions)
    write_files(options.output, {REPORT_FILE: report, **files})
    return summary(report)


def _compared(
    records, info: DatasetInfo, distance: int, bar: Reporter, cluster: Cluster | None
) -> tuple[RecordedPhotos, Pairs]:
    """Return the records' photos, and the pairs of which the hashes are close."""
    total = sum(split.num_examples for split in info.splits.values())
    show = cluster.progress if cluster else bar.update
    photos = read_photos(
        records, cluster=cluster, progress=lambda done: show("hashing", done, total)
    )
    wide = find_pairs(
        photos.hashes,
        max_distance=distance,
        max_difference=1.0,
        kinds=photos.splits,
        progress=lambda done: bar.update("comparing", done, total),
    )
    return photos, wide


def summary(report: dict) -> str:
    """Return a few lines for the terminal from an audit's dict."""
    groups, same = report["groups"], report["identical"]["pixels"]
    lines = [
        f"{sum(report['photos'].values()):,} photos, {groups['photos']:,} of them in "
        f"{groups['groups']:,} groups of near-duplicates (the largest has {groups['largest']:,})",
        f"same pixels: {same['photos']:,} photos in {same['groups']:,} groups; with different "
        f"{report['label']}: {same['groups_with_conflicting'][report['label']]:,} groups",
        "pairs: " + ", ".join(f"{name} {count:,}" for name, count in report["pairs"].items()),
    ]
    if copies := report["rules"].get("copies"):
        lines.append(
            f"one photo is there {copies['largest']:,} times: of more than {copies['listed']} "
            "copies in a split, pairs are listed and counted with the first ones alone"
        )
    if report["unreadable"]:
        id, reason = next(iter(report["unreadable"].items()))
        lines.append(
            f"unreadable: {len(report['unreadable']):,} photos, in none of these counts; the "
            f"first: {id}: {reason}"
        )
    for split in ("validation", "test"):
        if split in report["photos"]:
            count = report["with_near_duplicate"][split]["in train"]
            total = report["photos"][split]
            lines.append(
                f"{split}: {count:,} of {total:,} photos ({count / total:.1%}) have a "
                "near-duplicate in train"
            )
    if "by_embedding" in report:
        extra = report["by_embedding"]
        lines.append(f"by embedding: {extra['pairs']:,} pairs, {extra['new_pairs']:,} of them new")
    if "scores" in report:
        for name, part in report["scores"]["near_duplicates"].items():
            if part and "accuracy" in part:
                score = part["accuracy"]
                lines.append(
                    f"accuracy, {name.replace('_', ' ')}: {score['value']:.4f} "
                    f"[{score['low']:.4f}, {score['high']:.4f}] of {part['num_examples']:,}"
                )
    return "\n".join(lines)


def _copies(photos: RecordedPhotos) -> dict:
    """Say where a photo is there so often that not all pairs of its copies are listed."""
    largest = max(Counter(photos.hashes.pixel_digests).values(), default=0)
    return {"copies": {"listed": COPIES, "largest": largest}} if largest > COPIES else {}


def _default_label(info: DatasetInfo) -> str:
    return _HEADLINE if _HEADLINE in info.labels else next(iter(info.labels))


def _in_train(photos: RecordedPhotos, pairs: Pairs) -> dict:
    """Count photos with the same shape in train whatever its colours, by split."""
    twice = has_near_duplicate_in(photos, pairs, "train")
    return {
        name: int(twice[photos.splits == name].sum())
        for name in ("validation", "test")
        if (photos.splits == name).any()
    }


def _cross_sheet(records, photos, pairs, label) -> bytes:
    some = pairs[photos.splits[pairs.first] != photos.splits[pairs.second]]
    title = f"Near-duplicates in two splits: {len(some):,} pairs"
    if len(some) > MOST_SHOWN:
        title += f", {MOST_SHOWN} of them shown"
    return pairs_sheet(records, photos, some, label=label, title=title)


def _by_embedding(options, photos, pairs, ids, features, label):
    least = MIN_SIMILARITY if options.min_similarity is None else options.min_similarity
    similar, cosine = similar_pairs(photos.hashes, ids, features, min_similarity=least)
    ours, known = (p.first * np.int64(len(photos.ids)) + p.second for p in (similar, pairs))
    new = np.isin(ours, known, invert=True)
    rows = pair_rows(photos, similar)
    for row, value in zip(rows, cosine, strict=True):
        row["cosine"] = round(float(value), 6)
    title = (
        f"Alike to the model (cosine from {least:g}) and in pixels, missed by hash: "
        f"{int(new.sum()):,} pairs"
    )
    report = {
        "model": os.fspath(options.model[0]),
        "min_similarity": least,
        "max_difference": EMBEDDED_DIFFERENCE,
        "pairs": len(similar),
        "new_pairs": int(new.sum()),
        "found_of_the_hash_pairs": len(similar) - int(new.sum()),
        "with_look_alike_in_train": _in_train(photos, similar),
    }
    sheet = pairs_sheet(
        options.data,
        photos,
        similar[new],
        label=label,
        title=title,
        similarity=cosine[new],
    )
    return report, {"similar.csv": rows, "similar.png": sheet}


def _scores(options, photos, pairs, wide, predictions) -> dict:
    ids, truth, predicted = predictions
    if foreign := set(ids) - set(photos.ids):
        raise UserError(
            f"{options.predictions} names {len(foreign):,} photos that {options.data} has not "
            f"({min(foreign)} …): give the records that were evaluated"
        )
    split_of = dict(zip(photos.ids, photos.splits.tolist(), strict=True))
    if any(split_of[id] == "train" for id in ids):
        raise UserError(
            f"{options.predictions} holds predictions of training photos: give those of test or "
            "validation"
        )
    result = {"predictions": os.fspath(options.predictions)}
    for name, some in (("near_duplicates", pairs), ("in_any_colour", wide)):
        twice = has_near_duplicate_in(photos, some, "train")
        duplicated = {photos.ids[index] for index in np.flatnonzero(twice)}
        result[name] = scores_with_and_without(ids, truth, predicted, duplicated)
    return result
