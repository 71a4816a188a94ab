"""The options of `fashion-keras audit --labels` in; the ranking written, a summary out.

Labels are doubted by the probabilities of a model that never saw the photo: a run's of other
splits, or of cross-fitting.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from fashion_keras.auditing.pairs import RecordedPhotos, photo_bytes, read_photos
from fashion_keras.auditing.sheets import Tile, tile_sheet, write_files
from fashion_keras.config import Config, load_config
from fashion_keras.data import schema
from fashion_keras.data.near_duplicates import find_pairs, group_numbers
from fashion_keras.data.product_groups import joined_groups
from fashion_keras.data.schema import DatasetInfo, SplitInfo
from fashion_keras.data.tfrecord import feature_spec, shard_name, write_shard
from fashion_keras.errors import UserError
from fashion_keras.evaluation.predictions import predict
from fashion_keras.progress import Reporter
from fashion_keras.run import CONFIG_FILE, check_records, load_run, save_config, save_records


def assign_folds(
    classes: Sequence[str], groups: Sequence[int], folds: int, *, seed: int = 0
) -> np.ndarray:
    """Return a fold, 0 … folds−1, for each photo: int `[N]`.

    Every class in proportion, and every group (near-duplicates, a product's photos) in one fold,
    for a model that has seen a photo's twin with its label is no judge of the photo
    (scikit-learn's `StratifiedGroupKFold`). Raises `UserError` where there are fewer groups than
    folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if len(set(groups)) < folds:
        raise UserError(
            f"--folds {folds}: the training split has only {len(set(groups))} photos, or groups "
            "of photos that belong together"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    result = np.zeros(len(classes), int)
    with warnings.catch_warnings():  # of classes with fewer photos than folds
        warnings.simplefilter("ignore", UserWarning)
        places = np.zeros(len(classes))
        for fold, (_, held_out) in enumerate(splitter.split(places, classes, groups)):
            result[held_out] = fold
    return result


def folds_of(photos: RecordedPhotos, label: str, folds: int) -> dict[str, int]:
    """Return the fold of each training photo by its id, see `assign_folds`.

    Near-duplicates are in one fold, and so is what `convert --group-column` kept in one split.
    """
    near = group_numbers(len(photos.ids), find_pairs(photos.hashes)).tolist()
    own = {id: group for id, group in zip(photos.ids, photos.groups, strict=True) if group}
    together = joined_groups(dict(zip(photos.ids, near, strict=True)), own)
    number = {group: i for i, group in enumerate(dict.fromkeys(together.values()))}
    inside = np.flatnonzero(photos.splits == "train")
    ids = [photos.ids[index] for index in inside]
    classes = photos.labels[label][inside].tolist()
    found = assign_folds(classes, [number[together[id]] for id in ids], folds)
    return dict(zip(ids, found.tolist(), strict=True))


def write_fold(
    records: str | os.PathLike, output: str | os.PathLike, fold_of: Mapping[str, int], fold: int
) -> None:
    """Write records of which `test` is one fold of the training split and `train` the others.

    `validation` stays as it is: it chooses the epoch. `fold_of` maps the training photos' ids
    to folds.
    """
    info, output = DatasetInfo.load(records), Path(output)
    info.fetch(records, "train", "validation")
    output.mkdir(parents=True, exist_ok=True)
    labels = list(info.labels)
    parts = {
        "train": ("train", lambda id: fold_of[id] != fold),
        "validation": ("validation", lambda id: True),
        "test": ("train", lambda id: fold_of[id] == fold),
    }
    splits: dict[str, SplitInfo] = {}
    for split, (source, belongs) in parts.items():
        counts: dict[str, Counter[int]] = {label: Counter() for label in labels}

        def examples(source=source, belongs=belongs, counts=counts):
            for serialised, id, indices in _read(info.shard_paths(records, source), labels):
                if belongs(id):
                    for label, index in zip(labels, indices, strict=True):
                        counts[label][index] += 1
                    yield serialised

        shard = write_shard(output / shard_name(split, 0, 1), examples())
        by_class = {
            label: tuple(counts[label][index] for index in range(len(names)))
            for label, names in info.labels.items()
        }
        splits[split] = SplitInfo(shard.num_examples, (shard,), by_class)
    described = {"strategy": "fold", "fold": fold, "of": dict(info.split)}
    dataclasses.replace(info, splits=splits, split=described).save(output)


def _read(paths: Sequence[str], labels: Sequence[str]):
    """Yield each record's bytes, id and label indices, in the shards' order."""
    spec = feature_spec(labels)
    for batch in tf.data.TFRecordDataset(list(paths)).batch(256):
        parsed = tf.io.parse_example(batch, spec)
        indices = np.stack([parsed[schema.label_index_key(k)].numpy() for k in labels], axis=1)
        ids = [id.decode() for id in parsed[schema.ID].numpy()]
        yield from zip(batch.numpy(), ids, indices.tolist(), strict=True)


@dataclasses.dataclass(frozen=True)
class OutOfSample:
    """Photos with a label, and what models that did not train on them say.

    `truth` are class indices int64 `[N]` (-1: no label), `probabilities` `[N, C]`.
    """

    ids: list[str]
    splits: list[str]
    truth: np.ndarray
    probabilities: np.ndarray


def predict_unseen(
    runs: list, records: str | os.PathLike, splits: list[str], label: str, *, progress: bool
) -> OutOfSample:
    """Predict splits that the runs did not train on; of several runs, the mean probability.

    `runs` are of `load_run`. Which photos a run has seen is not known to this function: give it
    no training split.
    """
    parts = []
    for split in splits:
        every = [predict(run, records, split, progress=progress) for run in runs]
        mean = np.mean([one.probabilities(label) for one in every], axis=0)
        first = every[0]
        parts.append(OutOfSample(first.ids, [split] * len(first.ids), first.truth[label], mean))
    return _joined(parts)


def cross_fit(
    config: Config,
    records: str | os.PathLike,
    photos: RecordedPhotos,
    workdir: str | os.PathLike,
    folds: int,
    *,
    say: Callable[[str], None] = print,
    progress: bool = False,
) -> OutOfSample:
    """Train `folds` models in `workdir`, each on all but one fold of the training split.

    What `folds_of` says belongs together is in one fold. A fold that is done is not trained
    again, and one that was stopped goes on from its last checkpoint. Raises `UserError` where
    `workdir` holds folds of other records, of another config or number of folds.
    """
    workdir = Path(workdir)
    if unreadable := photos.hashes.unreadable:
        id, reason = next(iter(unreadable.items()))
        raise UserError(
            f"{records}: {len(unreadable):,} photos cannot be decoded, the first {id} ({reason}).\n"
            "Nothing can be trained on them: convert the catalogue again"
        )
    fold_of = folds_of(photos, config.data.label, folds)
    parts = []
    for fold in range(folds):
        say(f"fold {fold + 1} of {folds}")
        run = workdir / f"fold-{fold + 1}-of-{folds}"
        fold_records = workdir / "records" / run.name
        parts.append(_one_fold(config, records, fold_records, run, fold_of, fold, say, progress))
    shutil.rmtree(workdir / "records")  # the runs are kept: `--model` can take them
    return _joined(parts)


def _one_fold(config, records, fold_records, run, fold_of, fold, say, progress) -> OutOfSample:
    from fashion_keras.training.trainer import train

    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, records=os.fspath(fold_records))
    )
    write_fold(records, fold_records, fold_of, fold)
    info = DatasetInfo.load(fold_records)
    _prepare(run, config, info, fold_records)
    train(config, fold_records, run, say=say)
    trained = load_run(run)
    found = predict_unseen([trained], fold_records, ["test"], config.data.label, progress=progress)
    return dataclasses.replace(found, splits=["train"] * len(found.ids))


def _prepare(run: Path, config: Config, info: DatasetInfo, fold_records: Path) -> None:
    """Make a fold's run, or check that the one that is there is of this config and these photos."""
    if not (run / CONFIG_FILE).is_file():
        run.mkdir(parents=True, exist_ok=True)
        save_config(run, config)
        save_records(run, info)
        return
    if load_config(run / CONFIG_FILE) != config:
        raise UserError(
            f"{run} was trained with another config: give the one it began with, or another "
            "--output"
        )
    check_records(run, info, fold_records)


def _joined(parts: list[OutOfSample]) -> OutOfSample:
    return OutOfSample(
        [id for part in parts for id in part.ids],
        [split for part in parts for split in part.splits],
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
    )


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
    return label, predict_unseen(runs, options.data, options.splits, label, progress=report_to.bars)


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
