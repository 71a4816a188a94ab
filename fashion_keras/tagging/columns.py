"""Labels in; the columns of a table of their predictions out. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# What follows a label's own name in the names of its columns, and what they hold.
_PARTS = {"": str, "_score": float, "_decision": str}
_RUNNER_UP = {"_runner_up": str, "_runner_up_score": float}
_EARLIER = ("id", "path", "class", "score", "runner_up", "runner_up_score", "decision", "error")
_AGAIN = "label_"


class Row(NamedTuple):
    """A row of a table: `tags` are the cells of all labels; what there is not is None."""

    id: str
    path: str
    tags: tuple[str | float | None, ...]
    error: str | None = None

    @property
    def cells(self) -> tuple[str | float | None, ...]:
        """All cells, in the order of the columns."""
        return (self.id, self.path, *self.tags, self.error)


class Columns:
    """The columns of a table: `id`, `path`, those of each label, `error`.

    A label has its class, `_score` and `_decision`; the first one its runner-up too. A label whose
    columns would be called as others are before it gets `label_` before its name.

    Attributes:
        labels: in their order.
        names: of all columns.
        kinds: what each column holds, `str` or `float`.
    """

    def __init__(self, labels: Sequence[str]):
        self.labels = tuple(labels)
        kinds: dict[str, type] = {"id": str, "path": str}
        for number, label in enumerate(labels):
            parts = _PARTS if number else _PARTS | _RUNNER_UP
            while any(f"{label}{part}" in {*kinds, "error"} for part in parts):
                label = f"{_AGAIN}{label}"
            kinds |= {f"{label}{part}": kind for part, kind in parts.items()}
        kinds["error"] = str
        self.names, self.kinds = tuple(kinds), tuple(kinds.values())

    def row(self, cells: Sequence[str | float | None]) -> Row:
        """Return the row of cells in the columns' order; `ValueError` where they are no row."""
        if len(cells) != len(self.names):
            raise ValueError(f"{len(cells)} cells, expected {len(self.names)}")
        id, path, *tags, error = cells
        if not isinstance(id, str) or not isinstance(path, str) or isinstance(error, float):
            raise ValueError("id, path or error is no text")
        return Row(id, path, tuple(tags), error)


def labels_in(names: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of a table with these columns; `ValueError` where predict made no such.

    Of a table that an earlier version wrote there are none.
    """
    names = tuple(names)
    first, others = 2, 2 + len(_PARTS | _RUNNER_UP)
    labels = names[first : first + 1] + names[others : -1 : len(_PARTS)]
    if names != _EARLIER and Columns(labels).names != names:
        raise ValueError(f"its columns are {', '.join(names)}"[:160])
    return () if names == _EARLIER else labels
