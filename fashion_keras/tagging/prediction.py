"""Predictions in; lines on screen, rows of a table, and how many failed and why, out.

Imports no TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fashion_keras.errors import UserError
from fashion_keras.text import printable

MAX_PATH_WIDTH = 60
ACCEPT, REVIEW = "accept", "review"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One photo's classes, best first, with their scores in [0, 1]; or `error` and no classes."""

    path: str
    classes: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    error: str = ""
    id: str = ""


class Row(NamedTuple):
    """A row of a table, in the order of its columns; what there is not is None."""

    id: str
    path: str
    label: str | None = None  # the column `class`
    score: float | None = None
    runner_up: str | None = None
    runner_up_score: float | None = None
    decision: str | None = None
    error: str | None = None


COLUMNS = tuple("class" if name == "label" else name for name in Row._fields)


def table_row(prediction: Prediction, threshold: float | None = None) -> Row:
    """Return a prediction's row, its scores with 6 digits.

    `decision` is `accept` where the score is at least `threshold`, else `review`, also for a
    photo that could not be classified; None where there is no threshold.
    """
    decision = None if threshold is None else REVIEW
    id, path = written(prediction.id), written(prediction.path)
    if prediction.error:
        return Row(id, path, decision=decision, error=written(prediction.error))
    if threshold is not None and prediction.scores[0] >= threshold:
        decision = ACCEPT
    pairs = list(zip(prediction.classes, prediction.scores, strict=True))[:2]
    best, runner_up = (*((name, round(score, 6)) for name, score in pairs), (None, None))[:2]
    return Row(id, path, *best, *runner_up, decision)


def written(text: str) -> str:
    r"""Return `text` as a table holds it: what is no valid Unicode as `\udce9`, readable.

    Names from other systems may hold such bytes; the same in every format.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class LineFormat:
    """Makes one line a photo: path, class, score, what came next in brackets, the decision.

    Args:
        path_width: characters of the longest path.
        class_width: characters of the longest class name.
        top: how many classes a line shows.
        threshold: as in `table_row`; None shows no decision.
    """

    def __init__(self, path_width: int, class_width: int, top: int, threshold: float | None = None):
        self._path = min(MAX_PATH_WIDTH, path_width)
        self._class = class_width
        self._top = top
        self._threshold = threshold

    def __call__(self, prediction: Prediction) -> str:
        """Return the line, without a line break."""
        path = f"{printable(prediction.path):<{self._path}}"
        if prediction.error:
            return f"{path}  error: {printable(prediction.error)}"
        classes = map(printable, prediction.classes)
        best, *others = zip(classes, prediction.scores, strict=True)
        line = f"{path}  {best[0]:<{self._class}}  {best[1]:.3f}"
        further = [f"{name} {score:.3f}" for name, score in others[: self._top - 1]]
        if further:
            line = f"{line}  ({', '.join(further)})"
        decision = table_row(prediction, self._threshold).decision
        return f"{line}  {decision}" if decision else line


def longest(texts: Iterable[str]) -> int:
    """Return the number of characters of the longest text, 0 where there is none."""
    return max(map(len, texts), default=0)


class Tally:
    """Counts predictions that are errors, and holds the first."""

    def __init__(self):
        self._failed, self._tried = 0, 0
        self._first: Prediction | None = None

    def add(self, batch: Sequence[Prediction]) -> None:
        """Count a batch."""
        failed = [prediction for prediction in batch if prediction.error]
        self._tried += len(batch)
        self._failed += len(failed)
        self._first = self._first or next(iter(failed), None)

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
            warn(
                f"{self._failed:,} of {self._tried:,} photos could not be classified"
                f"{self._reason()}"
            )

    def _reason(self) -> str:
        if self._first is None:  # the failures are rows from before
            return ""
        return f"; the first: {printable(self._first.path)}: {printable(self._first.error)}"
