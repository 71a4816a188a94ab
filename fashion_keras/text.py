"""Text from outside in; what a terminal, a spreadsheet, Markdown and a shell may get, out.

A class name, an id or a file name may hold anything: what moves a terminal's cursor, a formula,
HTML, a space.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

# Control characters; marks that change the direction of what follows; the further ends of a line;
# halves of a character, as Python holds bytes of a file name.
_ACTING = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
# What makes a spreadsheet take a cell for a formula, behind quotes that keep it from that.
_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[-+]?\d[\d.,]*([eE][-+]?\d+)?")
# An underscore between letters is none of Markdown's.
_MARKDOWN = re.compile(r"[\\`*\[\]~#]|(?<![^\W_])_|_(?![^\W_])")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def printable(text: str, keep: str = "") -> str:
    r"""Return `text` with what cannot be seen, but acts, written out; `keep` stays as it is.

    Example:

        >>> print(printable("Shirts\x1b[2J"))
        Shirts\x1b[2J
    """

    def shown(match):
        return match[0] if match[0] in keep else match[0].encode("unicode_escape").decode("ascii")

    return _ACTING.sub(shown, text)


def counted(count: int, what: str) -> str:
    """Return a count of things as a person writes it.

    Example:

        >>> counted(1, "photo"), counted(1200, "class")
        ('1 photo', '1,200 classes')
    """
    end = "" if count == 1 else "es" if what.endswith("s") else "s"
    return f"{count:,} {what}{end}"


def some(texts: Sequence[str], most: int = 5, between: str = ", ") -> str:
    """Return the first of several texts in a line, with an ellipsis where there are more.

    Example:

        >>> some(["hat", "shoe", "bag"], 2)
        'hat, shoe, …'
    """
    return between.join([*texts[:most], *["…"] * (len(texts) > most)])


def cell(value):
    """Return what a cell of a CSV holds: a text that begins as a formula behind a quote.

    Numbers stay numbers, also as text. `from_cell` undoes it.
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def from_cell(text: str) -> str:
    """Return the text that `cell` made a cell of."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def templates(package: str, **options: Any) -> jinja2.Environment:
    """Return the jinja templates of a package, where HTML is escaped and no name may be unknown.

    They lie in its folder `templates`. `options` are jinja's, and go before these.
    """
    import jinja2

    given = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True, **options}
    loader = jinja2.PackageLoader(package)
    return jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, **given)


def as_markdown(text: str) -> str:
    """Return `text` as Markdown that shows it: one line, no HTML, no marks.

    Whoever makes a table escapes its bars.
    """
    line = printable(" ".join(text.splitlines()))
    return _MARKDOWN.sub(lambda match: f"\\{match[0]}", line).translate(_HTML)


def as_code(text: str) -> str:
    """Return `text` as a code span of Markdown, whatever quotes it holds."""
    line = printable(" ".join(text.splitlines()))
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {line} {fence}" if longest else f"`{line}`"


def command(name: str, *arguments: object) -> str:
    """Return the command line of one of our commands, quoted for a shell.

    Example:

        >>> command("evaluate", "--model", "runs/my run", "--data", "DIR")
        "fashion-keras evaluate --model 'runs/my run' --data DIR"
    """
    return shlex.join(["fashion-keras", name, *map(str, arguments)])
