"""A photo, and a heat map over it, in; a small JPEG as a data URI out."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib import colormaps
from PIL import Image

HEIGHT = 160  # pixels; twice what the page shows, for fine screens
_WIDEST = 2 * HEIGHT
_QUALITY = 82
_HEAT = colormaps["YlOrRd"]
_DEEPEST = 0.75


def thumbnail(photo: np.ndarray, heat: np.ndarray | None = None) -> str:
    """Return a photo, uint8 `[H, W, 3]`, as `data:image/jpeg;base64,…` of `HEIGHT` pixels.

    With `heat`, float `[h, w]` in [0, 1], the photo turns grey and the map glows over it.
    """
    height, width = photo.shape[:2]
    size = (min(max(round(width * HEIGHT / height), 1), _WIDEST), HEIGHT)
    picture = Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS)
    if heat is not None:
        picture = _glow(picture, heat)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _glow(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    grown = Image.fromarray(np.asarray(heat, np.float32)).resize(
        picture.size, Image.Resampling.BICUBIC
    )
    strength = np.clip(np.asarray(grown), 0, 1)
    grey = np.asarray(picture.convert("L"), np.float64)[..., None]
    colour = _HEAT(0.2 + 0.6 * strength)[..., :3] * 255
    # What hardly counts stays clear, so that the photo can be seen.
    opacity = _DEEPEST * strength[..., None] ** 1.5
    mixed = grey * (1 - opacity) + colour * opacity
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))
