"""A matplotlib figure in; SVG to stand inside an HTML page, in the page's colours, out."""

from __future__ import annotations

import io
import re

from markupsafe import escape
from matplotlib import rc_context
from matplotlib.figure import Figure

from fashion_keras.evaluation.palette import CSS_VARIABLES

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
