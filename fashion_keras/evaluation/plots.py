"""Numbers in; matplotlib figures, and PNG bytes or SVG in the page's colours, out.

Keeps no pyplot state, needs no display.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import escape
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

INK = "#1f2328"
MUTED = "#656d76"
LINE = "#d4d8dd"
RIGHT = "#2563c4"
WRONG = "#c8372d"

# A picture in the report takes the page's colours, so that it is light or dark as the page is.
CSS_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    RIGHT: "var(--right)",
    WRONG: "var(--wrong)",
}


_SIZE = re.compile(r'<svg [^>]*?viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>')
_LEFT_OUT = re.compile(
    r"<metadata>.*?</metadata>|<!--.*?-->|<defs>\s*<style.*?</defs>"
    r"|(?<=;) font-family: [^;\"]*;| transform=\"rotate\(-?0 [^)]*\)\"|(?<=<g) id=\"[^\"]*\"",
    re.DOTALL,
)
_PIXELS_A_POINT = 4 / 3


def figure_to_svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure as an `<svg>` element, the same for the same figure.

    Its background is the page's, its text is text in the page's font, and colours of the palette
    are CSS variables. `name` makes its ids unique in the page, `description` is read out in its
    place.
    """
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        none = {key: None for key in ("Date", "Creator", "Format", "Type")}
        figure.savefig(buffer, format="svg", facecolor="none", metadata=none)
    text = buffer.getvalue()
    text = text[text.index("<svg ") :].strip()
    text = _LEFT_OUT.sub("", text).replace("xlink:href=", "href=")
    # Other pictures of the page have the same ids, and a name must not be one.
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    for colour, variable in CSS_VARIABLES.items():
        text = text.replace(colour, variable)
    return _SIZE.sub(lambda size: _opening(size, description), text, count=1)


def _opening(size, description):
    width, height = (float(number) * _PIXELS_A_POINT for number in size.groups())
    return (
        f'<svg viewBox="0 0 {size[1]} {size[2]}" width="{width:.0f}" height="{height:.0f}" '
        f'role="img" aria-label="{escape(description)}">'
    )


_BEGINNING, _END = 12, 17  # letters of a long name: all of it would leave no room for the cells
_CELL_TEXT_FROM = 0.24  # inches: in smaller cells a count of four digits does not fit
_NOTES = {
    "shares of counts": "Shade: share of the row's photos (blue right, red wrong).",
    "counts": "Shade: number of photos, logarithmic (blue right, red wrong).",
    "shares": "In percent of the row's photos; shade: the same (blue right, red wrong).",
}


def occurring_classes(matrix: np.ndarray) -> np.ndarray:
    """Return which classes are true or predicted, int64: those that the picture shows."""
    matrix = np.asarray(matrix)
    return np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1) > 0)


def short_name(name: str) -> str:
    """Return a class name as a picture has room for it: of a long one its beginning and its end."""
    name = " ".join(name.split())
    if len(name) <= _BEGINNING + 1 + _END:
        return name
    # More of the end: Clothing > Women > Tops and Clothing > Women > Skirts differ there.
    return f"{name[:_BEGINNING].rstrip()}…{name[-_END:].lstrip()}"


def confusion_matrix_figure(
    matrix: np.ndarray,
    classes: Sequence[str],
    *,
    title: str = "Confusion matrix",
    shows: str = "shares of counts",
) -> Figure:
    """Draw a confusion matrix.

    Right predictions are blue and mistakes red. The shade grows with the square root of a cell's
    share of its row, so that rare mistakes show, or with the count's logarithm. Numbers are
    written where the cells are large enough. Classes that are neither true nor predicted are
    left out, and the note below says how many. Long names are shortened in the middle.

    Args:
        matrix: counts `[C, C]`, rows truth, columns prediction.
        classes: the `C` class names.
        shows: `counts`, `shares` (each row sums to 100), or `shares of counts`: counts are
            written, and shaded by their share.
    """
    matrix = np.asarray(matrix, np.int64)
    shown = occurring_classes(matrix)
    counts = matrix[np.ix_(shown, shown)]
    names = [short_name(classes[index]) for index in shown]
    size, (cell, font) = len(shown), _cell_and_font(len(shown))
    totals = [f"{total:,}" for total in counts.sum(axis=1)]
    of_totals = _text_inches(totals, font) + 0.15
    left = _text_inches(names, font) + of_totals + 0.55
    bottom = _text_inches(names, font) + 0.8
    # Beside a large matrix the names stand on both sides: the way across is long.
    both_sides = size > 60
    across = _text_inches(names, font) if both_sides else 0
    right, top = across + 0.3, (0.75 if title else 0.1) + across
    side = max(size * cell, 2.5)
    width, height = max(left + side + right, 6.0), bottom + side + top
    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    axes.set(xticks=[], yticks=[])
    depth = _depth(counts, shows)
    _shade(axes, counts, depth)
    if cell >= _CELL_TEXT_FROM:
        _write_numbers(axes, counts, depth, cell, font, percent=shows == "shares")
    a_cell = side / max(size, 1)  # inches: few cells are drawn larger
    gap = 0.05 / a_cell
    _write_names(axes, "bottom", size - 0.5 + gap, names, font)
    # A column of their own: in one text with the names, the page would run the two together.
    _write_names(axes, "left", -0.5 - gap, totals, font, color=MUTED)
    _write_names(axes, "left", -0.5 - gap - of_totals / a_cell, names, font)
    for edge, at in (("top", -0.5 - gap), ("right", size - 0.5 + gap)) if both_sides else ():
        _write_names(axes, edge, at, names, font)
    style: dict[str, Any] = {"fontsize": 10, "color": INK}
    axes.set_xlabel("prediction", labelpad=72 * (bottom - 0.55), **style)
    axes.set_ylabel("truth, and its number of photos", labelpad=72 * (left - 0.4), **style)
    figure.text(0.12 / width, 1 - 0.3 / height, title, fontsize=12, color=INK, parse_math=False)
    note = _NOTES[shows]
    if absent := len(matrix) - size:
        note += f"\n{absent} of {len(matrix)} classes do not occur and are left out."
    figure.text(0.12 / width, 0.1 / height, note, fontsize=8, color=MUTED)
    return figure


def figure_to_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file's bytes, the same for the same figure."""
    buffer = io.BytesIO()
    # Without metadata, so that the bytes do not depend on matplotlib's version.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _depth(counts, shows):
    """Return how deep each cell is shaded, in [0, 1]; 0 where there are no photos."""
    if shows == "counts":
        return np.log1p(counts) / np.log1p(max(counts.max(initial=0), 1))
    return np.sqrt(_shares(counts))


def _shade(axes, counts, depth):
    if not len(counts):
        return
    right = np.eye(len(counts), dtype=bool)[..., None]
    # From 0.12 on: the palest colours cannot be told from an empty cell. Deepness is opacity, so
    # that the picture can lie on a light page and on a dark one.
    opacity = np.where(counts > 0, 0.12 + 0.88 * depth, 0)
    colours = np.where(right, to_rgb(RIGHT), to_rgb(WRONG))
    colours = np.where(counts[..., None] > 0, colours, 1.0)
    axes.imshow(np.dstack([colours, opacity]), interpolation="none")
    axes.patch.set_visible(False)
    between = np.arange(1, len(counts)) - 0.5
    ends = (-0.5, len(counts) - 0.5)
    axes.hlines(between, *ends, color=LINE, linewidth=0.4)
    axes.vlines(between, *ends, color=LINE, linewidth=0.4)
    for spine in axes.spines.values():
        spine.set(color=LINE, linewidth=0.8)


def _shares(counts):
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _write_names(axes, side, place, names, font, color=INK):
    # Not tick labels: measuring and moving those takes longer than drawing all the rest.
    for index, name in enumerate(names):
        upright = side in ("top", "bottom")
        axes.text(
            *((index, place) if upright else (place, index)),
            name,
            fontsize=font,
            rotation=90 if upright else 0,
            ha="center" if upright else {"left": "right", "right": "left"}[side],
            va={"top": "bottom", "bottom": "top"}.get(side, "center_baseline"),
            color=color,
            parse_math=False,
        )


def _write_numbers(axes, counts, depth, cell, font, *, percent):
    shares = _shares(counts)
    for row, column in zip(*np.nonzero(counts), strict=True):
        text = str(counts[row, column])
        if percent:
            text = f"{100 * shares[row, column]:.0f}" if shares[row, column] >= 0.005 else "<1"
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            # 0.64 em is a digit of DejaVu Sans: a long count is written smaller.
            fontsize=min(font - 1, 72 * cell / (0.64 * len(text) + 0.3)),
            color="white" if depth[row, column] > 0.55 else INK,
        )


def _cell_and_font(size: int) -> tuple[float, float]:
    """Return the inches of a cell's side, and the points of its letters."""
    return (0.5, 10) if size <= 15 else (0.26, 8) if size <= 60 else (0.13, 7)


def _text_inches(texts: Sequence[str], points: float) -> float:
    # 0.58 em is more than the mean width of a letter in DejaVu Sans, matplotlib's own font.
    return max((len(text) for text in texts), default=0) * points * 0.58 / 72
