"""Draws products before white: a few bars, in one colour, as no other seed has them."""

import numpy as np


def product(seed, colour=(180, 40, 40)):
    """A photo of 60×80, uint8 [80, 60, 3]."""
    array = np.full((80, 60, 3), 255, np.uint8)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        y, x, height, width = rng.integers([8, 6, 4, 4], [60, 40, 20, 20]).tolist()
        array[y : y + height, x : x + width] = colour
    return array
