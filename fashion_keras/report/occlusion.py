"""A model and photos in; on which places of each photo the model's answer rests out.

Covering a place and asking again needs no gradient and no look inside, so it works with any
architecture, photo size and backend. Grad-CAM does not: its map has the cells of the backbone's
last output, 2 × 1 of them at 48×32 pixels, and paints the whole product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

if TYPE_CHECKING:
    import keras


CELLS = 8  # along a photo's shorter side
_MOST_CELLS = 16  # along its longer side
_SAME = 10  # of 255: a JPEG's white background is not everywhere the same white
_SAYS_SOMETHING = 0.1  # of the log-odds, 10% of the odds
_AS_IT_IS = -1  # in the place of a patch


def occlusion_maps(
    model: keras.Model,
    label: str,
    images: np.ndarray,
    classes: Sequence[int],
    *,
    batch_size: int = 64,
) -> np.ndarray:
    """Return for each photo where covering it makes the model less sure of a class.

    A square patch, two cells wide, is moved over the photo from cell to cell (Zeiler and Fergus,
    ECCV 2014, section 4.2). The map holds how far the log-odds of the class fall. The patch has
    the colour of the photo's border, which of a product on white leaves out a piece of it.

    Args:
        model: from photos to a dict of logits; a run's `model`.
        label: the head that is asked.
        images: uint8 `[N, H, W, 3]`.
        classes: the class asked about, one a photo: an index of the head.

    Returns:
        float32 `[N, h, w]` in [0, 1], `CELLS` or fewer cells along the shorter side, each photo's
        largest value 1. All 0 where covering any place makes next to no difference.
    """
    images = np.asarray(images)
    patches, shape = _patches(*images.shape[1:3])
    colours = _border_colours(images)
    asked = [
        (photo, patch)
        for photo in range(len(images))
        for patch in (_AS_IT_IS, *_worth_covering(images[photo], patches, colours[photo]))
    ]
    # What is not asked about has only the patch's colour, so covering it changes nothing.
    odds = np.full((len(images), len(patches)), np.nan)
    as_it_is = np.zeros((len(images), 1))
    for start in range(0, len(asked), batch_size):
        part = asked[start : start + batch_size]
        covered = [_cover(images[n], patches, patch, colours[n]) for n, patch in part]
        # Always as many: a model is compiled anew for each number of photos.
        batch = np.stack(covered + covered[:1] * (batch_size - len(part)))
        logits = np.asarray(model.predict_on_batch(batch)[label], np.float64)
        for (photo, patch), row in zip(part, logits, strict=False):
            place = as_it_is[photo] if patch == _AS_IT_IS else odds[photo]
            place[patch] = _log_odds(row, classes[photo])
    fall = np.nan_to_num(np.maximum(as_it_is - odds, 0)).astype(np.float32)
    peak = fall.max(axis=1, keepdims=True, initial=0)
    maps = np.divide(fall, peak, out=np.zeros_like(fall), where=peak > _SAYS_SOMETHING)
    return maps.reshape(len(images), *shape)


def _patches(height, width):
    """Return a slice of rows and one of columns a cell, and how many cells there are each way."""
    size = max(min(height, width) / CELLS, max(height, width) / _MOST_CELLS)
    rows, columns = (max(round(side / size), 1) for side in (height, width))

    def along(side, cells):
        centres = (np.arange(cells) + 0.5) * side / cells
        return [
            slice(max(round(centre - size), 0), round(centre + size)) for centre in centres.tolist()
        ]

    patches = [(r, c) for r in along(height, rows) for c in along(width, columns)]
    return patches, (rows, columns)


def _border_colours(images):
    """Return the median colour of each photo's outermost pixels, `[N, 3]`."""
    sides = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
    return np.median(np.concatenate(sides, axis=1), axis=1).astype(images.dtype)


def _worth_covering(image, patches, colour):
    differs = (np.abs(image.astype(np.int16) - colour) > _SAME).any(axis=2)
    return [number for number, place in enumerate(patches) if differs[place].any()]


def _cover(image, patches, patch, colour):
    if patch == _AS_IT_IS:
        return image
    covered = image.copy()
    covered[patches[patch]] = colour
    return covered


def _log_odds(logits, index):
    return logits[index] - logsumexp(np.delete(logits, index))
