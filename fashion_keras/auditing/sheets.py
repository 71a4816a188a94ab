"""Photos side by side with captions in, a picture sheet for a person to judge out."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from fashion_keras.data.photo import decode

_PHOTO_HEIGHT = 120
_LINE, _GAP = 13, 6
_RED, _GREY, _INK = "#b00020", "#cccccc", "#333333"


@dataclasses.dataclass(frozen=True)
class Tile:
    """Photos (JPEG or PNG bytes) that belong together, short lines below, red if `alarm`."""

    photos: Sequence[bytes]
    lines: Sequence[str]
    alarm: bool = False


def tile_sheet(title: str, tiles: Sequence[Tile], *, columns: int = 6) -> bytes:
    """Lay tiles out in a grid below a title, and return the sheet as PNG.

    Photos are brought to one height, keeping their shape; a line that is too long is cut, with
    an ellipsis.
    """
    font, title_font = ImageFont.load_default(11), ImageFont.load_default(15)
    pictures = [[_scaled(data) for data in tile.photos] for tile in tiles]
    widths = [sum(p.width for p in some) + _GAP * (len(some) - 1) for some in pictures]
    width = max([*widths, 170]) + 2 * _GAP
    height = _PHOTO_HEIGHT + _LINE * max((len(t.lines) for t in tiles), default=0) + 2 * _GAP
    columns = max(1, min(columns, len(tiles)))
    rows = -(-len(tiles) // columns)
    top = 30 + 18 * title.count("\n")
    least = max(int(title_font.getlength(line)) for line in title.split("\n")) + 2 * _GAP
    sheet = Image.new("RGB", (max(columns * width, least), top + rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.multiline_text((_GAP, 6), title, fill=_INK, font=title_font)
    for number, (tile, some) in enumerate(zip(tiles, pictures, strict=True)):
        x = number % columns * width + _GAP
        y = top + number // columns * height
        left = x
        for picture in some:
            sheet.paste(picture, (left, y))
            frame = (left - 1, y - 1, left + picture.width, y + picture.height)
            draw.rectangle(frame, outline=_RED if tile.alarm else _GREY)
            left += picture.width + _GAP
        for line, text in enumerate(tile.lines):
            position = (x, y + _PHOTO_HEIGHT + 3 + line * _LINE)
            draw.text(position, _fit(text, font, width - 2 * _GAP), fill=_INK, font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _scaled(data: bytes) -> Image.Image:
    image = decode(data)
    width = max(1, round(image.width * _PHOTO_HEIGHT / image.height))
    # A panorama would take the place of all others.
    width = min(width, 2 * _PHOTO_HEIGHT)
    return image.resize((width, _PHOTO_HEIGHT), Image.Resampling.BICUBIC)


def _fit(text: str, font, width: float) -> str:
    text = " ".join(text.split())
    while text and font.getlength(text) > width:
        text = text[:-2] + "…" if len(text) > 2 else ""
    return text
