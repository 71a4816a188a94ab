"""Which rows of each batch a process reads, when several train together."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Share:
    """One process's part of the batches, all of them by default.

    Each of `processes` takes as many rows; `index` is this one's number. `multiple` is the number
    of devices in all: rows without a label fill up the last batch of an evaluation to it.
    """

    index: int = 0
    processes: int = 1
    multiple: int = 1

    def filling(self, count: int) -> int:
        """Return how many rows fill up this process's part of `count` photos."""
        whole = -(-count // self.multiple) * self.multiple
        return whole // self.processes - len(range(self.index, count, self.processes))


ALL_OF_IT = Share()
