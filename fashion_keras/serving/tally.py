"""Predictions in; how many failed and why the first did, in a warning or an error, out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fashion_keras.errors import UserError
from fashion_keras.serving.prediction import Prediction
from fashion_keras.text import printable


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
