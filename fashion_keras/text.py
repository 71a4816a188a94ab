"""Text that came from outside in; text that is safe to show to people out.

A class name, an id or a file name may hold anything: what moves a terminal's cursor, or turns the
rest of the line around.
"""

from __future__ import annotations

import re

# Control characters but newline and tab; marks that change the direction of what follows; the
# further ends of a line; halves of a character, as Python holds bytes of a file name.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""Return `text` with what cannot be seen, but acts, written out.

    Newlines and tabs stay. Example:

        >>> print(printable("Shirts\x1b[2J"))
        Shirts\x1b[2J
    """
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
