"""The options of `fashion_keras.audit` in; near-duplicates' files written, a summary out."""

from __future__ import annotations

import os

import numpy as np

from fashion_keras.auditing.duplicate_sheets import conflicts_sheet, distances_sheet, pairs_sheet
from fashion_keras.auditing.duplicates import (
    conflicts,
    duplicates_report,
    has_near_duplicate_in,
    pair_rows,
)
from fashion_keras.auditing.embeddings import MAX_DIFFERENCE as EMBEDDED_DIFFERENCE
from fashion_keras.auditing.embeddings import MIN_SIMILARITY, similar_pairs
from fashion_keras.auditing.files import write_files
from fashion_keras.auditing.leakage import scores_with_and_without
from fashion_keras.auditing.photos import RecordedPhotos, read_photos
from fashion_keras.data.near_duplicates import MAX_DIFFERENCE, MAX_DISTANCE, Pairs, find_pairs
from fashion_keras.data.photo_hash import HASH_NAME
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.progress import Reporter

REPORT_FILE = "audit.json"
_HEADLINE = "subCategory"


def audit_duplicates(options, info: DatasetInfo, predictions, report_to: Reporter) -> str:
    """Find near-duplicates of the records `options.data`, write `options.output`, summarise.

    `options` are those of `audit`; `predictions` is None or ids, truths and predictions of photos.
    """
    distance = MAX_DISTANCE if options.max_distance is None else options.max_distance
    difference = MAX_DIFFERENCE if options.max_difference is None else options.max_difference
    total = sum(split.num_examples for split in info.splits.values())
    workers = min(2, os.cpu_count() or 1)
    run = None
    if options.model:
        from fashion_keras.run import load_run

        run = load_run(options.model[0], info)
    label = options.label or (run.label if run else _default_label(info))
    with report_to as bar:
        photos = read_photos(
            options.data,
            workers=workers,
            progress=lambda done: bar.update("hashing", done, total),
        )
        wide = find_pairs(
            photos.hashes,
            max_distance=distance,
            max_difference=1.0,
            workers=workers,
            progress=lambda done: bar.update("comparing", done, total),
        )
        pairs = _within(wide, wide.difference <= difference)
        found = conflicts(photos)
        report = {
            "records": os.fspath(options.data),
            "records_split": info.split,
            "label": label,
            "rules": {"hash": HASH_NAME, "max_distance": distance, "max_difference": difference},
            **duplicates_report(photos, pairs),
            "in_any_colour": _in_train(photos, wide),
        }
        files = {
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


def _default_label(info: DatasetInfo) -> str:
    return _HEADLINE if _HEADLINE in info.labels else next(iter(info.labels))


def _within(pairs: Pairs, kept: np.ndarray) -> Pairs:
    return Pairs(
        pairs.first[kept], pairs.second[kept], pairs.distance[kept], pairs.difference[kept]
    )


def _in_train(photos: RecordedPhotos, pairs: Pairs) -> dict:
    """Count photos with the same shape in train whatever its colours, by split."""
    twice = has_near_duplicate_in(photos, pairs, "train")
    return {
        name: int(twice[photos.splits == name].sum())
        for name in ("validation", "test")
        if (photos.splits == name).any()
    }


def _cross_sheet(records, photos, pairs, label) -> bytes:
    across = photos.splits[pairs.first] != photos.splits[pairs.second]
    some = _within(pairs, across)
    title = f"Near-duplicates in two splits: {len(some):,} pairs"
    if len(some) > 60:
        title += ", 60 of them shown"
    return pairs_sheet(records, photos, some, label=label, title=title)


def _by_embedding(options, photos, pairs, ids, features, label):
    least = MIN_SIMILARITY if options.min_similarity is None else options.min_similarity
    similar, cosine = similar_pairs(photos.hashes, ids, features, min_similarity=least)
    known = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    new = np.array(
        [
            pair not in known
            for pair in zip(similar.first.tolist(), similar.second.tolist(), strict=True)
        ],
        bool,
    )
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
        _within(similar, new),
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
