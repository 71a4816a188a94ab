"""Each photo's labels in; what a person must know of them before training, as figures, out.

The terminal and `report.json` show the same figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from fashion_keras.data.catalog import doubtful_names, look_alikes, several_values, spelled_out
from fashion_keras.text import counted

FEW = 3  # photos of a class: with fewer it is not in every split
_FEW_ROWS = 0.5  # of the photos: a label on fewer is likely to be another column than meant
_MANY_CLASSES = 50
_SHOWN = 5


def describe_labels(
    labels: Sequence[str], photos: Iterable[Mapping[str, str | None]]
) -> dict[str, dict]:
    """Return each label's figures, ready for JSON.

    `photos` holds the class name of each photo by label, None where it has none. A label has
    `photos` with it, `without`, `classes`, `under_three` (the photos of each class that has fewer
    than three), `look_alike` (groups of names, with their photos), `several_values` and
    `like_no_value` (names, with their photos).
    """
    photos = list(photos)
    return {label: _describe(Counter(photo[label] for photo in photos)) for label in labels}


def label_lines(described: Mapping[str, dict]) -> list[str]:
    """Return a line for each label, and one for each thing about it that is likely wrong."""
    lines = []
    for label, found in described.items():
        lines.append(f"{label}: {', '.join(_facts(found))}")
        lines += [f"  warning: {line}" for line in _warnings(label, found)]
    return lines


def _describe(counts: Counter) -> dict:
    without = counts.pop(None, 0)
    return {
        "photos": counts.total(),
        "without": without,
        "classes": len(counts),
        "under_three": _of(counts, sorted(n for n, count in counts.items() if count < FEW)),
        "look_alike": [_of(counts, names) for names in look_alikes(counts)],
        "several_values": _of(counts, several_values(counts)),
        "like_no_value": _of(counts, doubtful_names(counts)),
    }


def _of(counts: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    return {name: counts[name] for name in names}


def _facts(found: dict) -> list[str]:
    facts = [counted(found["classes"], "class")]
    if found["without"]:
        facts.append(f"{counted(found['without'], 'photo')} without it")
    if found["under_three"]:
        few = len(found["under_three"])
        facts.append(
            f"{counted(few, 'class')} under {FEW} photos ({_examples(found['under_three'])})"
        )
    return facts


def _warnings(label: str, found: dict) -> list[str]:
    lines = []
    total = found["photos"] + found["without"]
    if found["photos"] < _FEW_ROWS * total:
        lines.append(
            f"only {found['photos']:,} of {total:,} photos have a {label}: is it the right column?"
        )
    if found["classes"] > _MANY_CLASSES and len(found["under_three"]) > found["classes"] / 2:
        lines.append(
            f"most classes of {label} have fewer than {FEW} photos: is it a name, not a class?"
        )
    if found["look_alike"]:
        groups = found["look_alike"]
        shown = "; ".join(_spelled(names) for names in groups[:_SHOWN])
        lines.append(
            f"{counted(sum(map(len, groups)), 'class')} of {label} look alike "
            f"({shown}{_more(groups)}): --merge-names makes one of them"
        )
    if found["several_values"]:
        cells = sum(found["several_values"].values())
        lines.append(
            f"{counted(cells, 'photo')} seem to have several values of {label} in one "
            f"cell ({_examples(found['several_values'])}): each such text is a class of its own"
        )
    if found["like_no_value"]:
        lines.append(
            f"{_spelled(found['like_no_value'])} of {label} is read as a class: leave the cell "
            "empty where it means no value"
        )
    return lines


def _spelled(counts: Mapping[str, int]) -> str:
    names = spelled_out(counts)
    shown = ", ".join(
        f"{name} {count:,}" for name, count in list(zip(names, counts.values(), strict=True))
    )
    return shown


def _examples(counts: Mapping[str, int]) -> str:
    first = dict(list(counts.items())[:_SHOWN])
    return _spelled(first) + _more(counts)


def _more(items) -> str:
    return ", …" if len(items) > _SHOWN else ""
