"""Out-of-sample probabilities and the given labels in, labels that are probably wrong out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from fashion_keras.errors import UserError


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
