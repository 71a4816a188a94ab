"""`evaluation.json` and `history.csv` of a run in; what they say, checked, out; no TensorFlow."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Mapping
from typing import Any, Required

from typing_extensions import TypedDict  # pydantic brings it, and takes no other before Python 3.12

from fashion_keras.metrics import METRICS
from fashion_keras.reading import Share, Whole, damaged, read_json, read_text, validated

_MEND = "evaluate the run again"
# What is written beside these is of no use to whoever reads it back, and not looked at.
_CONFIG = {"strict": True, "allow_inf_nan": False}

_Class = TypedDict(
    "_Class",
    {
        "class": Required[str],
        "support": Whole,
        "predicted": Whole,
        "precision": float,
        "recall": float,
        "f1": float,
        "train_support": Whole | None,
    },
    total=False,
)


@dataclasses.dataclass(frozen=True)
class _Score:
    __pydantic_config__ = _CONFIG

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class _Interval:
    __pydantic_config__ = _CONFIG

    confidence: Share


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Head:
    __pydantic_config__ = _CONFIG

    num_examples: Whole
    num_classes: Whole = 0
    num_classes_present: Whole = 0
    per_class: tuple[_Class, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Evaluation(_Head):
    split: str
    label: str
    per_class: tuple[_Class, ...]
    interval: _Interval = _Interval(0.95)
    rules: dict[str, str] = dataclasses.field(default_factory=dict)
    heads: dict[str, _Head] = dataclasses.field(default_factory=dict)
    made_from: dict[str, str] = dataclasses.field(default_factory=dict)
    records_source: dict[str, object] = dataclasses.field(default_factory=dict)
    records_split: dict[str, object] = dataclasses.field(default_factory=dict)


_OF_RUN = {"interval", "rules", "heads"}
_OF_HEAD = {"num_classes", "num_classes_present", "per_class", *(m.key for m in METRICS)}
_OF_CLASS = set(_Class.__annotations__)


def read_evaluation(path: str | os.PathLike) -> dict[str, Any]:
    """Return what `evaluation.json` holds; `UserError` where a value is not what it should be.

    Split, label, number of photos and the classes are there; another version may lack the rest.
    """
    found = read_json(path, _MEND)
    try:
        validated(_Evaluation, found)
        for head in (found, *found.get("heads", {}).values()):
            keys = [metric.key for metric in METRICS if metric.key in head]
            validated(dict[str, _Score], {key: head[key] for key in keys})
    except ValueError as error:
        raise damaged(path, error, _MEND) from None
    return found


def is_whole(evaluation: Mapping[str, Any]) -> bool:
    """Return whether nothing is missing in what `read_evaluation` returned."""
    heads = [evaluation, *evaluation.get("heads", {}).values()]
    of_run = evaluation.keys() >= _OF_RUN and "interval" in evaluation["rules"]
    return of_run and all(
        head.keys() >= _OF_HEAD and all(row.keys() >= _OF_CLASS for row in head["per_class"])
        for head in heads
        if head["num_examples"]
    )


def read_history(path: str | os.PathLike) -> tuple[dict[str, float], ...]:
    """Return the rows of `history.csv` without empty cells; `UserError` where it is damaged."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True))
        if any(None in row for row in rows):
            raise ValueError("a row has more cells than the header")
        return tuple({name: float(cell) for name, cell in row.items() if cell} for row in rows)
    except (ValueError, csv.Error) as error:
        raise damaged(path, error, "restore it, or do without its curves: remove it") from None
