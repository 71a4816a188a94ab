"""The options of `fashion-keras audit --titles` in; photos that belie their titles, ranked, out."""

from __future__ import annotations

import dataclasses
import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from scipy.special import softmax

from fashion_keras.auditing.pairs import photo_bytes
from fashion_keras.auditing.sheets import Tile, tile_sheet, write_files
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.title_terms import MOST_CHARACTERS, read_texts
from fashion_keras.decision.parts import class_shares, disagreement
from fashion_keras.errors import UserError
from fashion_keras.evaluation.predictions import predict
from fashion_keras.progress import Reporter
from fashion_keras.run import Run, check_split, load_run
from fashion_keras.text import command, printable

REPORT_FILE, RANKING_FILE, SHEET_FILE = "titles.json", "titles.csv", "titles.png"
_SHOWN, _LISTED = 60, 10
_MOST_DRAWN, _TITLE_WIDTH = 200, 38  # characters of a title on the sheet, and in a line of it


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a run says of a split's products by the photo alone and by the title alone.

    `ids` and `texts` are of each product that has a text, `without_text` counts the others.
    `truth` maps a label to class indices, int64 `[N]`, -1 where there is none; `photo` and `title`
    map it to probabilities `[N, C]`.
    """

    split: str
    ids: list[str]
    texts: list[str]
    truth: Mapping[str, np.ndarray]
    photo: Mapping[str, np.ndarray]
    title: Mapping[str, np.ndarray]
    without_text: int


def shares_of(info: DatasetInfo, labels: Iterable[str]) -> dict[str, np.ndarray]:
    """Return each class's share of the training products by label."""
    return {k: class_shares(info.splits["train"].class_counts[k]) for k in labels}


def read_answers(
    run: Run,
    records: str | os.PathLike,
    split: str,
    labels: Iterable[str],
    *,
    progress: bool = False,
) -> Answers:
    """Ask a run for the photo, and for the title, of every product of a split that has a text.

    Raises `UserError` as `predict` does.
    """
    by_title = predict(run, records, split, sees="title", progress=progress)
    by_photo = predict(run, records, split, progress=progress)
    assert by_photo.ids == by_title.ids and by_title.has_text is not None
    texts = [
        " / ".join(text[:MOST_CHARACTERS] for text in some if text)
        for some in read_texts(records, DatasetInfo.load(records), split).values()
    ]
    said = np.flatnonzero(by_title.has_text)
    return Answers(
        split,
        [by_title.ids[i] for i in said],
        [texts[i] for i in said],
        {k: by_title.truth[k][said] for k in labels},
        {k: _probabilities(by_photo.logits[k][said]) for k in labels},
        {k: _probabilities(by_title.logits[k][said]) for k in labels},
        len(texts) - len(said),
    )


def _probabilities(logits: np.ndarray) -> np.ndarray:
    return softmax(logits.astype(np.float64), axis=1)


def rank_products(
    found: Iterable[Answers],
    classes: Mapping[str, Sequence[str]],
    shares: Mapping[str, np.ndarray],
) -> list[dict]:
    """List the products from the one whose photo and title disagree most, a dict each.

    `classes` are the names of each label to compare, `shares` theirs of all products. The score
    is the sum of the labels' `disagreement`. Keys: `rank`, `id`, `split`, `score`, `title`,
    `differs_in` (the label that adds most to the score), and for each label its own value under
    its name, `<label>_by_photo`, `<label>_p_photo`, `<label>_by_title`, `<label>_p_title`: class
    and probability.
    """
    rows = [row for answers in found for row in _rows(answers, classes, shares)]
    rows.sort(key=lambda row: -row["score"])
    for rank, row in enumerate(rows, start=1):
        row["rank"] = rank
    return rows


def _rows(answers: Answers, classes, shares) -> Iterator[dict]:
    apart = np.stack([disagreement(answers.photo[k], answers.title[k], shares[k]) for k in classes])
    scores, furthest = apart.sum(axis=0), apart.argmax(axis=0)
    for index, (id, text) in enumerate(zip(answers.ids, answers.texts, strict=True)):
        row = {
            "rank": 0,
            "id": id,
            "split": answers.split,
            "score": round(float(scores[index]), 4),
            "title": text,
            "differs_in": [*classes][furthest[index]],
        }
        for label, names in classes.items():
            own = answers.truth[label][index]
            row[label] = names[own] if own >= 0 else ""
            for kind, said in (("photo", answers.photo), ("title", answers.title)):
                best = int(said[label][index].argmax())
                row[f"{label}_by_{kind}"] = names[best]
                row[f"{label}_p_{kind}"] = round(float(said[label][index, best]), 4)
        yield row


def audit_titles(options, info: DatasetInfo, report_to: Reporter) -> str:
    """Rank the products of `options.data`, write `options.output`, summarise."""
    (model,) = options.model
    check_split(model, info, options.data)
    run = load_run(model, info)
    labels = _labels(run, options.label)
    if "train" in options.splits:
        report_to.warn(
            "the run knows its training products by heart: photo and title both answer with the "
            "label, also where it is wrong"
        )
    found = [
        read_answers(run, options.data, split, labels, progress=report_to.bars)
        for split in options.splits
    ]
    rows = rank_products(found, labels, shares_of(info, labels))
    if not rows:
        raise UserError(f"{options.data}: no product of {' or '.join(options.splits)} has a text")
    report = {
        "records": os.fspath(options.data),
        "model": os.fspath(model),
        "made_from": run.fingerprints() | run.fingerprints("title"),
        "score": "how much likelier photo and title are of two products than of one, log10, "
        f"summed over {', '.join(labels)}",
        "products": {answers.split: len(answers.ids) for answers in found},
        "without_text": sum(answers.without_text for answers in found),
        "rather_two_products": sum(row["score"] > 0 for row in rows),
        "other_class": {k: _other_class(rows, k) for k in labels},
    }
    files: dict[str, dict | list | bytes] = {
        REPORT_FILE: report,
        RANKING_FILE: rows,
        SHEET_FILE: _sheet(options.data, rows),
    }
    write_files(options.output, files)
    return "\n".join(_summary(report, rows))


def _labels(run: Run, label: str | None) -> dict[str, tuple[str, ...]]:
    """Return the classes of each label to compare; `UserError` where the run cannot."""
    for sees in ("photo", "title"):
        if run.decision_for(sees) is None:
            again = command("calibrate", "--model", run.path, "--data", "DIR")
            raise UserError(
                f"{run.path}: its answers by the {sees} are not calibrated. Run\n{again}"
            )
    if label is None:
        return run.labels
    if label not in run.labels:
        raise UserError(f"{run.path} has no head {label!r}: it has {', '.join(run.labels)}")
    return {label: run.labels[label]}


def _other_class(rows, label) -> int:
    return sum(row[f"{label}_by_photo"] != row[f"{label}_by_title"] for row in rows)


def _summary(report, rows) -> list[str]:
    counts = ", ".join(f"{split} {count:,}" for split, count in report["products"].items())
    without = report["without_text"]
    left_out = f"{without:,} left out: no text" if without else "none left out"
    return [
        f"photo and title of {len(rows):,} products compared ({counts}); {left_out}",
        f"{report['rather_two_products']:,} are rather of two products than of one (score above 0)",
        "they name another class: "
        + ", ".join(f"{k} {n / len(rows):.1%}" for k, n in report["other_class"].items()),
        *(
            f"  {row['id']} ({row['score']:.2f}), {_short(row['title'], 60)}: {row['differs_in']} "
            f"{', '.join(_answers(row))}"
            for row in rows[:_LISTED]
        ),
        f"Look at {SHEET_FILE}; all are in {RANKING_FILE}",
    ]


def _answers(row) -> list[str]:
    """Return the photo's and the title's answer of the label in which they are furthest apart."""
    label = row["differs_in"]
    return [
        f"{kind} {row[f'{label}_by_{kind}']} {row[f'{label}_p_{kind}']:.2f}"
        for kind in ("photo", "title")
    ]


def _short(text: str, width: int) -> str:
    text = printable(" ".join(text.split()))
    return text if len(text) <= width else f"{text[: width - 2].rstrip()} …"


def _sheet(records, rows) -> bytes:
    shown = rows[:_SHOWN]
    found = photo_bytes(records, {row["id"] for row in shown})
    tiles = []
    for row in shown:
        title = textwrap.wrap(
            _short(row["title"], _MOST_DRAWN), _TITLE_WIDTH, max_lines=2, placeholder=" …"
        )
        title += [""] * (2 - len(title))
        tiles.append(
            Tile(
                [found[row["id"]]],
                [
                    f"{row['rank']}. id {row['id']}, {row['split']}, {row['score']:.2f}",
                    *title,
                    f"{row['differs_in']}: {row[row['differs_in']] or '–'}",
                    *_answers(row),
                ],
            )
        )
    heading = "Photo and title that fit together least: title, a label's value, the two answers"
    return tile_sheet(heading, tiles, width=230)
