"""Predictions in; lines on screen, rows of a table, and how many failed and why, out.

Imports no TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from fashion_keras.errors import UserError
from fashion_keras.tagging.row_formats import Row
from fashion_keras.text import printable

MAX_PATH_WIDTH = 60
ACCEPT, REVIEW = "accept", "review"
_WIDTH, _INDENT = 100, "    "  # of the lines that follow a photo's first
_NOTHING = ((None, None), (None, None))
_NONE: Mapping[str, float] = MappingProxyType({})


class Ranking(NamedTuple):
    """A label's classes, best first, with their scores in [0, 1]."""

    classes: tuple[str, ...]
    scores: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a product's labels are, by label; or `error` and no labels.

    `sees` is what they come from, of `run.SEES`.
    """

    path: str
    labels: Mapping[str, Ranking] = dataclasses.field(default_factory=dict)
    error: str = ""
    id: str = ""
    sees: str = "photo"

    def decision(self, label: str, threshold: float | None) -> str | None:
        """Return `accept` where the label's score is at least `threshold`, else `review`.

        Also for a photo that could not be classified; None where there is no threshold.
        """
        if threshold is None:
            return None
        return ACCEPT if not self.error and self.labels[label].scores[0] >= threshold else REVIEW


def table_row(
    prediction: Prediction, labels: Sequence[str], thresholds: Mapping[str, float] = _NONE
) -> Row:
    """Return a prediction's row, as `Columns(labels)` has it, its scores with 6 digits."""
    tags: list[str | float | None] = []
    for label in labels:
        ranking = Ranking((), ()) if prediction.error else prediction.labels[label]
        pairs = list(zip(ranking.classes, ranking.scores, strict=True))[:2]
        best, runner_up = (*((name, round(score, 6)) for name, score in pairs), *_NOTHING)[:2]
        tags += [*best, prediction.decision(label, thresholds.get(label))]
        if label == labels[0]:
            tags += runner_up
    id, path, error = map(written, (prediction.id, prediction.path, prediction.error))
    return Row(id, path, tuple(tags), error or None)


def written(text: str) -> str:
    r"""Return `text` as a table holds it: what is no valid Unicode as `\udce9`, readable.

    Names from other systems may hold such bytes; the same in every format.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclasses.dataclass(frozen=True)
class LineFormat:
    """Makes a photo's line: path, class, score, what came next in brackets, the decision.

    Below it, indented, are the classes of further labels, with `review` where one is to be
    reviewed: nothing is said of those that are accepted or have no threshold.

    Args:
        labels: those to show, in this order.
        path_width: characters of the longest path.
        class_width: characters of the longest class name of the first label.
        top: how many classes of the first label are shown.
        thresholds: as in `table_row`, by what is known of a product; a label without one has no
            decision.
    """

    labels: Sequence[str]
    path_width: int
    class_width: int
    top: int
    thresholds: Mapping[str, Mapping[str, float]]

    def __call__(self, prediction: Prediction) -> str:
        """Return the line and those below it, without a line break at the end."""
        path = f"{printable(prediction.path):<{min(MAX_PATH_WIDTH, self.path_width)}}"
        if prediction.error:
            return f"{path}  error: {printable(prediction.error)}"
        first, thresholds = self.labels[0], self.thresholds.get(prediction.sees, {})
        ranking = prediction.labels[first]
        best, *others = zip(map(printable, ranking.classes), ranking.scores, strict=True)
        line = f"{path}  {best[0]:<{self.class_width}}  {best[1]:.3f}"
        further = [f"{name} {score:.3f}" for name, score in others[: self.top - 1]]
        if further:
            line = f"{line}  ({', '.join(further)})"
        if decision := prediction.decision(first, thresholds.get(first)):
            line = f"{line}  {decision}"
        return "\n".join([line, *self._below(prediction, thresholds)])

    def _below(self, prediction: Prediction, thresholds: Mapping[str, float]) -> list[str]:
        lines: list[str] = []
        for label in self.labels[1:]:
            ranking = prediction.labels[label]
            item = f"{printable(label)}: {printable(ranking.classes[0])} {ranking.scores[0]:.2f}"
            if prediction.decision(label, thresholds.get(label)) == REVIEW:
                item += f" {REVIEW}"
            if lines and len(lines[-1]) + len(item) + 2 < _WIDTH:
                lines[-1] += f", {item}"
            else:
                if lines:
                    lines[-1] += ","
                lines.append(_INDENT + item)
        return lines


def longest(texts: Iterable[str]) -> int:
    """Return the number of characters of the longest text, 0 where there is none."""
    return max(map(len, texts), default=0)


class Tally:
    """Counts predictions that are errors, and holds the first."""

    def __init__(self):
        self._failed, self._tried = 0, 0
        self._first: tuple[str, str] | None = None

    def add(self, batch: Sequence[Prediction]) -> None:
        """Count a batch."""
        failed = [(prediction.path, prediction.error) for prediction in batch if prediction.error]
        self.count(len(batch), len(failed), failed[0] if failed else None)

    def count(self, tried: int, failed: int, first: tuple[str, str] | None) -> None:
        """Count photos, of which some failed; `first` is the path of one and its reason."""
        self._tried += tried
        self._failed += failed
        self._first = self._first or first

    def conclude(
        self, warn: Callable[[str], object], kept: int = 0, classified_before: int = 0
    ) -> None:
        """Warn of failures by `warn`; `UserError` where no photo was classified, now or before.

        `kept` rows are from before, and `classified_before` of them without an error.
        """
        if kept and not self._tried and not classified_before:
            raise UserError(
                f"all {kept:,} rows from before are errors and count as done.\n"
                "Remove the table to try them again"
            )
        if self._failed == self._tried and not classified_before:
            raise UserError(f"none of {self._tried:,} photos could be classified{self._reason()}")
        if self._failed:
            failed = f"{self._failed:,} of {self._tried:,} photos"
            warn(f"{failed} could not be classified{self._reason()}")

    def _reason(self) -> str:
        if self._first is None:  # the failures are rows from before
            return ""
        path, error = map(printable, self._first)
        return f"; the first: {path}: {error}"
