"""Scores of every class in; how classes with few and with many training photos fare, out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Training photos of a class: from, up to but without.
_TAIL = ((0, 10), (10, 100), (100, 1000), (1000, None))


def long_tail(per_class: Sequence[dict]) -> list[dict] | None:
    """Group the classes that the split has photos of by their number of training photos.

    `mean_f1` weighs classes alike, `recall` photos alike; both are None in an empty group. None
    where training photos were not counted.
    """
    if any(row["train_support"] is None for row in per_class):
        return None
    groups = []
    for low, high in _TAIL:
        rows = [
            row
            for row in per_class
            if row["support"] and low <= row["train_support"] < (high or np.inf)
        ]
        photos = sum(row["support"] for row in rows)
        hits = sum(row["recall"] * row["support"] for row in rows)
        groups.append(
            {
                "train_from": low,
                "train_below": high,
                "classes": len(rows),
                "photos": photos,
                "mean_f1": float(np.mean([row["f1"] for row in rows])) if rows else None,
                "recall": hits / photos if photos else None,
            }
        )
    return groups
