"""Predictions in; aligned lines on screen, or rows of a CSV, out. Imports no TensorFlow."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

COLUMNS = ("path", "class", "score", "runner_up", "runner_up_score", "error")
MAX_PATH_WIDTH = 60


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One photo's classes, best first, with their scores in [0, 1]; or `error` and no classes."""

    path: str
    classes: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    error: str = ""


class LineFormat:
    """Makes one line a photo: path, class, score, and what came next in brackets.

    Args:
        paths, classes: all that can occur; the columns are as wide as the longest.
        top: how many classes a line shows.
    """

    def __init__(self, paths: Sequence[str], classes: Sequence[str], top: int):
        self._path = min(MAX_PATH_WIDTH, max(len(path) for path in paths))
        self._class = max(len(name) for name in classes)
        self._top = top

    def __call__(self, prediction: Prediction) -> str:
        """Return the line, without a line break."""
        path = f"{printable(prediction.path):<{self._path}}"
        if prediction.error:
            return f"{path}  error: {printable(prediction.error)}"
        best, *others = zip(prediction.classes, prediction.scores, strict=True)
        line = f"{path}  {best[0]:<{self._class}}  {best[1]:.3f}"
        others = [f"{name} {score:.3f}" for name, score in others[: self._top - 1]]
        return f"{line}  ({', '.join(others)})" if others else line


@contextlib.contextmanager
def csv_writer(path: str | os.PathLike) -> Iterator[Callable[[Prediction], None]]:
    """Yield a function that writes a prediction as a row of `COLUMNS`.

    Rows go to `<path>.partial`, which takes the place of `path` at the end; if it comes to no
    good end, it stays there with the rows so far and `path` is untouched.
    """
    partial = Path(f"{path}.partial")
    # Names from other systems may be no valid Unicode; they come out readable.
    with open(partial, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        yield lambda prediction: writer.writerow(_row(prediction))
    os.replace(partial, path)


def printable(text: str) -> str:
    """Return `text` with `?` for what a terminal cannot show, or would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _row(prediction: Prediction) -> tuple[str, ...]:
    if prediction.error:
        return (prediction.path, "", "", "", "", prediction.error)
    pairs = [
        (name, f"{score:.6f}")
        for name, score in zip(prediction.classes[:2], prediction.scores[:2], strict=True)
    ]
    best, runner_up = (*pairs, ("", ""))[:2]
    return (prediction.path, *best, *runner_up, "")
