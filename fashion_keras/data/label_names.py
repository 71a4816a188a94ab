"""What a cell of a label column says in; a class's name, and what is odd about it, out."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

# What programs and people write for "nothing", whatever the case.
_NOTHING = frozenset({"", "none", "null", "n/a", "#n/a", "<na>"})
# These too, but not as one writes a name: Nan and Na may be classes, and are told of.
_NOTHING_UNLESS_A_NAME = frozenset({"na", "nan"})

# A sign that always parts values, and one that may be part of a name: Hats & Caps, T-Shirts/Tops.
_PARTS = re.compile(r"\s*[|;>\n]\s*|,\s+|(?<!\d),|,(?!\d)")
_PERHAPS_PARTS = re.compile(r"\s*/\s*|\s+[&+]\s+")


@functools.lru_cache(2**16)  # products share their classes
def label_value(text: str) -> str | None:
    """Return a cell's text, None where it says that there is no value.

    That is an empty cell, and None, null, n/a, #N/A and <NA> in any case; also NA and NaN, but
    not Na and Nan, which may be names. Example:

        >>> label_value(" none "), label_value("NA"), label_value("Nan")
        (None, None, 'Nan')
    """
    text = text.strip()
    folded = text.lower()
    if folded in _NOTHING or (folded in _NOTHING_UNLESS_A_NAME and not text.istitle()):
        return None
    return text


def doubtful_names(names: Iterable[str]) -> list[str]:
    """Return the class names that may have been meant as "no value": Na, Nan."""
    return sorted(name for name in names if name.lower() in _NOTHING_UNLESS_A_NAME)


def folded_name(name: str) -> str:
    """Return what names that look alike have in common.

    They differ in case, spaces, Unicode form, or characters that take no room.
    """
    seen = (c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFC", "".join("".join(seen).lower().split()))


def look_alikes(counts: Mapping[str, int]) -> list[list[str]]:
    """Return the names that look alike, the most frequent first, in groups of two or more."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        groups[folded_name(name)].append(name)
    return [names for names in groups.values() if len(names) > 1]


def spelled_out(names: Iterable[str]) -> list[str]:
    """Return names in quotes, with what cannot be seen written out.

    Where several still look the same, as é of one character and of two, all that is not ASCII is.
    """
    names = list(names)
    shown = [repr(name) for name in names]
    same = Counter(unicodedata.normalize("NFC", text) for text in shown)
    return [
        ascii(name) if same[unicodedata.normalize("NFC", text)] > 1 else text
        for name, text in zip(names, shown, strict=True)
    ]


def several_values(names: Iterable[str]) -> list[str]:
    """Return the class names that seem to be several values: Men|Casual, Tops > Shirts, Sale.

    Parted by `/`, `&` or `+` only where each part is a class of its own.
    """
    names = set(names)

    def is_several(name: str) -> bool:
        if len([part for part in _PARTS.split(name) if part.strip()]) > 1:
            return True
        parts = _PERHAPS_PARTS.split(name)
        return len(parts) > 1 and names.issuperset(parts)

    return sorted(name for name in names if is_several(name))
