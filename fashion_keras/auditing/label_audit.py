"""The options of `fashion-keras audit --labels` in; the ranking written, a summary out."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from fashion_keras.auditing.cross_fitting import cross_fit, predict_unseen
from fashion_keras.auditing.pairs import photo_bytes, read_photos
from fashion_keras.auditing.sheets import Tile, tile_sheet, write_files
from fashion_keras.config import Config
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.progress import Reporter
from fashion_keras.run import check_records, load_run


def require_cleanlab() -> None:
    """Raise `UserError` unless cleanlab is installed."""
    try:
        import cleanlab  # noqa: F401
    except ImportError:
        raise UserError(
            "ranking labels needs cleanlab: pip install 'fashion-keras[audit]'"
        ) from None


def rank_label_issues(
    ids: Sequence[str],
    splits: Sequence[str],
    truth: np.ndarray,
    probabilities: np.ndarray,
    label: str,
    classes: Sequence[str],
) -> list[dict]:
    """List the photos whose label is probably wrong, the likeliest first.

    Confident learning (Northcutt, Jiang & Chuang, JAIR 70, 2021) as cleanlab does it: a photo is
    listed where its probabilities, against each class's mean self-confidence, speak for another
    class; the order is that of the given label's probability.

    Args:
        ids: product ids, N.
        splits: the split of each.
        truth: given class indices `[N]`, -1 where there is none: that photo is not looked at.
        probabilities: `[N, C]`, of models that did not train on the photo.
        label: the label's column, which names the column of suggestions.
        classes: the `C` class names.

    Returns:
        A dict a photo: `rank`, `id`, `split`, `given`, a key called as the label with the class
        suggested, `p_given`, `p_suggested`. The ids with that column are what
        `convert --relabel` reads.
    """
    from cleanlab.filter import find_label_issues

    known = np.flatnonzero(np.asarray(truth) >= 0)
    if not len(known):
        raise UserError(f"no photo has a value for {label!r}: there is no label to doubt")
    given = np.asarray(truth)[known]
    # float32 sums to 1 only roughly, and cleanlab minds.
    sure = probabilities[known].astype(np.float64)
    sure /= sure.sum(axis=1, keepdims=True)
    if len(np.unique(given)) < 2:
        raise UserError(f"every photo has the same {label}: there is no label to doubt")
    with warnings.catch_warnings():  # of classes too rare for it to flag all of
        warnings.simplefilter("ignore", UserWarning)
        doubtful = np.flatnonzero(find_label_issues(given, sure, n_jobs=1))
    self_confidence = sure[doubtful, given[doubtful]]
    ranked = doubtful[np.argsort(self_confidence, kind="stable")]
    rows = []
    for rank, place in enumerate(ranked, start=1):
        index, best = known[place], int(sure[place].argmax())
        rows.append(
            {
                "rank": rank,
                "id": ids[index],
                "split": splits[index],
                "given": classes[given[place]],
                label: classes[best],
                "p_given": round(float(sure[place, given[place]]), 6),
                "p_suggested": round(float(sure[place, best]), 6),
            }
        )
    return rows


REPORT_FILE, ISSUES_FILE, SHEET_FILE = "labels.json", "label_issues.csv", "label_issues.png"
FOLDS = "folds"
_SHOWN = 96


def audit_labels(options, info: DatasetInfo, config: Config | None, report_to: Reporter) -> str:
    """Rank the doubtful labels of `options.data`, write `options.output`, summarise.

    With `config` the training split, by cross-fitting; else the splits that the runs
    `options.model` did not train on.
    """
    if config:
        label, how = config.data.label, f"cross-fitted in {options.folds} folds"
        sample = _by_folds(options, info, config, report_to)
    else:
        label, sample = _by_runs(options, info, report_to)
        how = "by runs that trained on neither of them: " + ", ".join(map(str, options.model))
    classes = info.vocabulary(label)
    rows = rank_label_issues(
        sample.ids, sample.splits, sample.truth, sample.probabilities, label, classes
    )
    looked_at = Counter(
        split for split, index in zip(sample.splits, sample.truth, strict=True) if index >= 0
    )
    report = {
        "records": os.fspath(options.data),
        "label": label,
        "method": "confident learning (cleanlab find_label_issues, ranked by self-confidence)",
        "probabilities": how,
        "models": [os.fspath(path) for path in options.model],
        "photos": dict(looked_at),
        "issues": len(rows),
        "issues_by_given": dict(Counter(row["given"] for row in rows).most_common()),
        "issues_by_change": [
            {"given": given, "suggested": suggested, "photos": count}
            for (given, suggested), count in Counter(
                (row["given"], row[label]) for row in rows
            ).most_common()
        ],
    }
    files: dict[str, dict | list | bytes] = {
        REPORT_FILE: report,
        ISSUES_FILE: rows,
        SHEET_FILE: _sheet(options.data, rows, label),
    }
    write_files(options.output, files)
    total = sum(looked_at.values())
    lines = [
        f"{label}: {len(rows):,} of {total:,} labels are doubtful ({len(rows) / total:.1%}); "
        f"{', '.join(f'{name} {count:,} photos' for name, count in looked_at.items())}, {how}",
        *(
            f"  {row['id']}: {row['given']} → {row[label]}? ({row['p_suggested']:.2f})"
            for row in rows[:10]
        ),
        f"Look at {SHEET_FILE}; delete the rows of {ISSUES_FILE} that you disagree with, and "
        "give it to fashion-keras convert --relabel",
    ]
    return "\n".join(lines)


def _by_folds(options, info, config, report_to):
    """Return the training split's probabilities, each by a model that did not see the photo."""
    if options.label not in (None, config.data.label):
        raise UserError(
            f"--label {options.label}, but the config learns {config.data.label}: change "
            "data.label there"
        )
    with report_to as bar:
        total = sum(split.num_examples for split in info.splits.values())
        photos = read_photos(options.data, progress=lambda done: bar.update("hashing", done, total))
    return cross_fit(
        config,
        options.data,
        photos,
        options.output / FOLDS,
        options.folds,
        say=report_to.say,
        progress=report_to.bars,
    )


def _by_runs(options, info, report_to):
    """Return the label, and probabilities of the splits that the runs did not train on."""
    runs = [load_run(path, info) for path in options.model]
    label = options.label or runs[0].label
    for run in runs:
        check_records(run.path if run.path.is_dir() else run.path.parent, info, options.data)
        if label not in run.labels:
            raise UserError(f"{run.path} has no head {label!r}: it has {', '.join(run.labels)}")
    splits = options.splits or [
        name for name in ("validation", "test") if info.splits[name].num_examples
    ]
    return label, predict_unseen(runs, options.data, splits, label, progress=report_to.bars)


def _sheet(records, rows, label) -> bytes:
    shown = rows[:_SHOWN]
    found = photo_bytes(records, {row["id"] for row in shown})
    tiles = [
        Tile(
            [found[row["id"]]],
            [
                f"{row['rank']}. id {row['id']}, {row['split']}",
                f"given: {row['given']} {row['p_given']:.2f}",
                f"model: {row[label]} {row['p_suggested']:.2f}",
            ],
        )
        for row in shown
    ]
    title = f"{len(rows):,} doubtful labels of {label}"
    title += f", the {_SHOWN} most doubtful" if len(rows) > _SHOWN else ""
    return tile_sheet(title, tiles, columns=8)
