"""Phases with counts in, one progress bar on the terminal out."""

from __future__ import annotations

import sys

from tqdm import tqdm


class PhaseBar:
    """Show a bar a phase, only where a person is watching; lines go above it."""

    def __init__(self, unit: str):
        self._unit = unit
        self._phase = None
        self._bar = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._close()

    def update(self, phase: str, done: int, total: int) -> None:
        """Move to `done` of `total` in a phase, opening its bar if it is a new one."""
        if phase != self._phase:
            self._close()
            self._phase = phase
            self._bar = tqdm(
                total=total, desc=phase, unit=f" {self._unit}", disable=not sys.stderr.isatty()
            )
        self._bar.update(done - self._bar.n)

    def say(self, line: str) -> None:
        """Print a line on standard output without tearing the bar."""
        tqdm.write(line, file=sys.stdout)

    def _close(self):
        if self._bar is not None:
            self._bar.close()
