"""How far a step is and what it has to say in; bars, and lines in the log or on screen, out."""

from __future__ import annotations

import io
import logging
import sys

from tqdm import tqdm

LOGGER = logging.getLogger("fashion_keras")

_LINE = "{desc}: {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"

tqdm.monitor_interval = 0  # no thread that watches the bar: while there is one, nothing can fork


class Reporter:
    """Show a bar for each phase where somebody watches, and hand lines to the log.

    What the steps report by when they are called from Python. Lines go to the logger
    `fashion_keras`: information at level INFO, warnings at WARNING. A context manager.

    Args:
        unit: what the bars count.
        bars: whether to show them. Defaults to a terminal's or a notebook's being there.
    """

    def __init__(self, unit: str = "photos", *, bars: bool | None = None):
        self.bars = _somebody_watches() if bars is None else bars
        self._unit = unit
        self._phase: str | None = None
        self._bar: tqdm | None = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def update(self, phase: str, done: int, total: int, note: str = "") -> None:
        """Move to `done` of `total` in a phase, opening its bar if it is a new one.

        `note` is shown behind it.
        """
        if phase != self._phase or self._bar is None:
            self.close()
            self._phase = phase
            self._bar = open_bar(total, phase, f" {self._unit}", shown=self.bars)
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)

    def say(self, line: str) -> None:
        """Tell what was done."""
        LOGGER.info("%s", line)

    def warn(self, line: str) -> None:
        """Tell what the user should look at."""
        LOGGER.warning("%s", line)

    def note(self, line: str) -> None:
        """Tell what is worth knowing, beside the results."""
        LOGGER.info("%s", line)

    def close(self) -> None:
        """Close the bar that is open."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Terminal(Reporter):
    """Report to a person at a terminal: what the commands report by."""

    def say(self, line: str) -> None:
        """Print on standard output, above the bar."""
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def warn(self, line: str) -> None:
        """Print on standard error, above the bar."""
        tqdm.write(f"warning: {line}", file=sys.stderr)

    def note(self, line: str) -> None:
        """Print on standard error, above the bar."""
        tqdm.write(line, file=sys.stderr)


def reporter(progress: bool | Reporter) -> Reporter:
    """Return what a step's argument `progress` asks for: True bars, False none, or its own."""
    if isinstance(progress, Reporter):
        return progress
    return Reporter(bars=None if progress else False)


def open_bar(total: int, phase: str, unit: str, *, shown: bool, leave: bool = True) -> tqdm:
    """Return a bar for a terminal or a notebook; not `leave`, a terminal's goes when it is full."""
    if _in_notebook():
        kind, where = _NotebookBar, {"file": io.StringIO(), "ascii": False, "bar_format": _LINE}
    else:
        kind, where = tqdm, {"leave": leave}
    return kind(total=total, desc=phase, unit=unit, disable=not shown, **where)


class _NotebookBar(tqdm):
    """A line a cell, that each of its bars is drawn in: it needs no widgets and no terminal."""

    _cell: str | None = None

    def display(self, msg=None, pos=None):
        from IPython import display, get_ipython

        cell = f"fashion_keras-{get_ipython().execution_count}"
        known, _NotebookBar._cell = cell == _NotebookBar._cell, cell
        display.display({"text/plain": str(self)}, raw=True, display_id=cell, update=known)


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "ipykernel" in sys.modules else None
    return hasattr(shell, "kernel")


def _somebody_watches() -> bool:
    return _in_notebook() or (sys.stderr is not None and sys.stderr.isatty())
