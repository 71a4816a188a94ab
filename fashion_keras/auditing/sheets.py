"""Records and an audit's rows in; picture sheets to judge them by, and its folder of files, out."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import os
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fashion_keras.auditing.pairs import (
    RecordedPhotos,
    pair_rows,
    photo_bytes,
)
from fashion_keras.data.near_duplicates import Pairs
from fashion_keras.data.photo import decode
from fashion_keras.errors import UserError
from fashion_keras.evaluation.files import save_json
from fashion_keras.io import place, write_bytes
from fashion_keras.text import cell


def check_folder(folder: str | os.PathLike) -> None:
    """Raise `UserError` unless files can be written into `folder`."""
    folder = place(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: --output names a folder")
    ground = next(p for p in (folder.resolve(), *folder.resolve().parents) if p.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        raise UserError(f"cannot write {folder}: {ground} is not a folder that can be written to")


def write_files(folder: str | os.PathLike, files: Mapping[str, dict | list | bytes]) -> None:
    """Write files by name, each whole or not at all; other files are left alone.

    A dict becomes JSON, a list of dicts a CSV with a header, bytes stay what they are. An empty
    list makes a file without rows, so that an older one is not taken for it.
    """
    folder = place(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if isinstance(content, dict):
            save_json(folder / name, content)
            continue
        if isinstance(content, list):
            content = csv_bytes(content)
        write_bytes(folder / name, content)


def csv_bytes(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Return rows as CSV, lists in a cell joined by semicolons."""
    buffer = io.StringIO()
    if rows:
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(map(cell, rows[0]))
        for row in rows:
            texts = ["; ".join(v) if isinstance(v, list) else v for v in row.values()]
            writer.writerow(map(cell, texts))
    return buffer.getvalue().encode("utf-8")


_PHOTO_HEIGHT = 120
_LINE, _GAP = 13, 6
_RED, _GREY, _INK = "#b00020", "#cccccc", "#333333"


@dataclasses.dataclass(frozen=True)
class Tile:
    """Photos (JPEG or PNG bytes) that belong together, short lines below, red if `alarm`."""

    photos: Sequence[bytes]
    lines: Sequence[str]
    alarm: bool = False


def tile_sheet(title: str, tiles: Sequence[Tile], *, columns: int = 6, width: int = 170) -> bytes:
    """Lay tiles out in a grid below a title, and return the sheet as PNG.

    Photos are brought to one height, keeping their shape; a line that is too long for a tile,
    which is at least `width` pixels wide, is cut, with an ellipsis.
    """
    font, title_font = _font(10), _font(14)
    pictures = [[_scaled(data) for data in tile.photos] for tile in tiles]
    widths = [sum(p.width for p in some) + _GAP * (len(some) - 1) for some in pictures]
    width = max([*widths, width]) + 2 * _GAP
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


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return Matplotlib's font: Pillow's own has no accents, no Greek and no Cyrillic."""
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


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


_BINS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.12, 0.2, 1.0)
_A_ROW = 6
MOST_SHOWN = 60


def pairs_sheet(
    records: str | os.PathLike,
    photos: RecordedPhotos,
    pairs: Pairs,
    *,
    label: str,
    title: str,
    similarity: np.ndarray | None = None,
) -> bytes:
    """Draw up to `MOST_SHOWN` pairs, drawn at random and ordered from most to least alike, as PNG.

    A pair with different values of `label` is framed red. `similarity` is of the pairs, if they
    were found by an embedding.
    """
    order = pairs.difference if similarity is None else -similarity
    chosen = np.random.default_rng(0).permutation(len(pairs))[:MOST_SHOWN]
    chosen = chosen[np.argsort(order[chosen], kind="stable")]
    return _sheet(records, photos, pairs, chosen, label, title, similarity)


def distances_sheet(
    records: str | os.PathLike,
    photos: RecordedPhotos,
    wide: Pairs,
    *,
    label: str,
    max_difference: float,
) -> bytes:
    """Draw some pairs at each pixel difference, a row a range, so that the limit can be judged.

    `wide` are pairs with close hashes, whatever their pixels; those of the same pixels are left
    out.
    """
    generator = np.random.default_rng(0)
    chosen: list[int] = []
    digests = photos.hashes.pixel_digests
    other = np.array(
        [digests[a] != digests[b] for a, b in zip(wide.first, wide.second, strict=True)], bool
    )
    for low, high in itertools.pairwise(_BINS):
        inside = np.flatnonzero((wide.difference >= low) & (wide.difference < high) & other)
        picked = generator.permutation(inside)[:_A_ROW]
        chosen += picked[np.argsort(wide.difference[picked])].tolist()
    title = (
        "Pairs whose hashes are close, from most to least alike\n"
        f"yes: taken for near-duplicates, with a pixel difference up to {max_difference:g}"
    )
    return _sheet(records, photos, wide, np.array(chosen, int), label, title, None, max_difference)


def conflicts_sheet(records: str | os.PathLike, rows: Sequence[dict], *, label: str) -> bytes:
    """Draw identical photos that have different values of `label`, with their ids and values."""
    rows = [row for row in rows if row["label"] == label]
    # One photo of each group shows them all.
    found = photo_bytes(records, {row["ids"][0] for row in rows[:MOST_SHOWN]})
    tiles = [
        Tile(
            [found[row["ids"][0]]],
            [f"{id} {value}" for id, value in zip(row["ids"][:4], row["values"], strict=False)],
            alarm=True,
        )
        for row in rows[:MOST_SHOWN]
    ]
    shown = f", {MOST_SHOWN} of them shown" if len(rows) > MOST_SHOWN else ""
    title = f"{len(rows):,} photos, each stored more than once with different {label}{shown}"
    return tile_sheet(title, tiles, columns=8)


def _sheet(records, photos, pairs, chosen, label, title, similarity, max_difference=None) -> bytes:
    some = pairs[chosen]
    rows = pair_rows(photos, some)
    found = photo_bytes(records, {row[key] for row in rows for key in ("id_a", "id_b")})
    tiles = []
    for tile, (row, a, b) in enumerate(zip(rows, some.first, some.second, strict=True)):
        values = [photos.labels[label][index] or "–" for index in (a, b)]
        alike = "same pixels" if row["same_pixels"] else f"pixels {row['pixel_difference']:.3f}"
        alike += f", hash {row['hash_distance']}"
        if similarity is not None:
            alike = f"cosine {similarity[chosen[tile]]:.4f}, {alike}"
        if max_difference is not None:
            alike += ": yes" if row["pixel_difference"] <= max_difference else ": no"
        lines = [
            f"{row['id_a']} {row['split_a']} · {row['id_b']} {row['split_b']}",
            values[0] if values[0] == values[1] else f"{values[0]} / {values[1]}",
            alike,
        ]
        tiles.append(Tile([found[row["id_a"]], found[row["id_b"]]], lines, values[0] != values[1]))
    return tile_sheet(title, tiles, columns=_A_ROW)
