"""Product ids in, their photos as the model sees them out."""

from __future__ import annotations

import os
from collections.abc import Collection

import numpy as np

from fashion_keras.data.pipeline import make_dataset
from fashion_keras.run import Run


def load_photos(
    run: Run, records: str | os.PathLike, split: str, ids: Collection[str]
) -> dict[str, np.ndarray]:
    """Return the photos of some products of a split, uint8 `[H, W, 3]` by id.

    Reads the split from its start until all are found; ids that it does not hold are left out.
    """
    wanted = set(ids)
    dataset = make_dataset(
        records,
        split,
        run.label,
        run.image_size,
        256,
        resize=run.resize,
        cache="none",
        with_ids=True,
    )
    found = {}
    if not wanted:
        return found
    for images, _, batch_ids in dataset:
        for row, id in enumerate(batch_ids.numpy()):
            if id.decode() in wanted:
                found[id.decode()] = images[row].numpy()
        if len(found) == len(wanted):
            break
    return found
