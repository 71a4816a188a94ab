"""Pairs of near-duplicates in, picture sheets that let a person judge them out."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence

import numpy as np

from fashion_keras.auditing.duplicates import pair_rows
from fashion_keras.auditing.photos import RecordedPhotos, photo_bytes
from fashion_keras.auditing.sheets import Tile, tile_sheet
from fashion_keras.data.near_duplicates import Pairs

_BINS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.12, 0.2, 1.0)
_A_ROW = 6


def pairs_sheet(
    records: str | os.PathLike,
    photos: RecordedPhotos,
    pairs: Pairs,
    *,
    label: str,
    title: str,
    most: int = 60,
    similarity: np.ndarray | None = None,
    seed: int = 0,
) -> bytes:
    """Draw up to `most` pairs, drawn at random and ordered from most to least alike, as PNG.

    A pair with different values of `label` is framed red. `similarity` is of the pairs, if they
    were found by an embedding.
    """
    order = pairs.difference if similarity is None else -similarity
    chosen = np.random.default_rng(seed).permutation(len(pairs))[:most]
    chosen = chosen[np.argsort(order[chosen], kind="stable")]
    return _sheet(records, photos, pairs, chosen, label, title, similarity)


def distances_sheet(
    records: str | os.PathLike,
    photos: RecordedPhotos,
    wide: Pairs,
    *,
    label: str,
    max_difference: float,
    seed: int = 0,
) -> bytes:
    """Draw some pairs at each pixel difference, a row a range, so that the limit can be judged.

    `wide` are pairs with close hashes, whatever their pixels; those of the same pixels are left
    out.
    """
    generator = np.random.default_rng(seed)
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


def conflicts_sheet(
    records: str | os.PathLike, rows: Sequence[dict], *, label: str, most: int = 60
) -> bytes:
    """Draw identical photos that have different values of `label`, with their ids and values."""
    rows = [row for row in rows if row["label"] == label]
    # One photo of each group shows them all.
    found = photo_bytes(records, {row["ids"][0] for row in rows[:most]})
    tiles = [
        Tile(
            [found[row["ids"][0]]],
            [f"{id} {value}" for id, value in zip(row["ids"][:4], row["values"], strict=False)],
            alarm=True,
        )
        for row in rows[:most]
    ]
    shown = f", {most} of them shown" if len(rows) > most else ""
    title = f"{len(rows):,} photos, each stored more than once with different {label}{shown}"
    return tile_sheet(title, tiles, columns=8)


def _sheet(records, photos, pairs, chosen, label, title, similarity, max_difference=None) -> bytes:
    some = Pairs(
        *(values[chosen] for values in (pairs.first, pairs.second, pairs.distance)),
        pairs.difference[chosen],
    )
    rows = pair_rows(photos, some)
    found = photo_bytes(records, {row[key] for row in rows for key in ("id_a", "id_b")})
    tiles = []
    for place, (row, a, b) in enumerate(zip(rows, some.first, some.second, strict=True)):
        values = [photos.labels[label][index] or "–" for index in (a, b)]
        alike = "same pixels" if row["same_pixels"] else f"pixels {row['pixel_difference']:.3f}"
        alike += f", hash {row['hash_distance']}"
        if similarity is not None:
            alike = f"cosine {similarity[chosen[place]]:.4f}, {alike}"
        if max_difference is not None:
            alike += ": yes" if row["pixel_difference"] <= max_difference else ": no"
        lines = [
            f"{row['id_a']} {row['split_a']} · {row['id_b']} {row['split_b']}",
            values[0] if values[0] == values[1] else f"{values[0]} / {values[1]}",
            alike,
        ]
        tiles.append(Tile([found[row["id_a"]], found[row["id_b"]]], lines, values[0] != values[1]))
    return tile_sheet(title, tiles, columns=_A_ROW)
