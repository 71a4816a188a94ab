"""Photos with captions in, one picture for TensorBoard out."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_TILE_WIDTH = 150
_CAPTION_LINE = 13


def photo_sheet(
    photos: np.ndarray, captions: Sequence[Sequence[str]], *, columns: int = 8
) -> Image.Image:
    """Lay photos out in a grid, each over its caption.

    `photos` is `[N, height, width, 3]` in [0, 255], `captions` a few short lines a photo; what
    is too long for its line is cut, with an ellipsis.
    """
    photos = np.rint(np.clip(photos, 0, 255)).astype(np.uint8)
    height, width = photos.shape[1:3]
    scale = (_TILE_WIDTH - 10) / width
    size = (_TILE_WIDTH - 10, round(height * scale))
    lines = max((len(caption) for caption in captions), default=0)
    tile_height = size[1] + lines * _CAPTION_LINE + 14
    rows = -(-len(photos) // columns)
    sheet = Image.new("RGB", (columns * _TILE_WIDTH, max(rows, 1) * tile_height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for index, (photo, caption) in enumerate(zip(photos, captions, strict=True)):
        x, y = index % columns * _TILE_WIDTH + 5, index // columns * tile_height + 4
        sheet.paste(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC), (x, y))
        draw.rectangle((x - 1, y - 1, x + size[0], y + size[1]), outline="#cccccc")
        for line, text in enumerate(caption):
            position = (x, y + size[1] + 2 + line * _CAPTION_LINE)
            draw.text(position, _fit(text, font), fill="#333333", font=font)
    return sheet


def to_png(image: Image.Image) -> bytes:
    """Encode a picture as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _fit(text: str, font) -> str:
    text = " ".join(text.split())  # Pillow refuses to measure a line break
    while text and font.getlength(text) > _TILE_WIDTH - 8:
        text = text[:-2] + "…" if len(text) > 2 else ""
    return text
