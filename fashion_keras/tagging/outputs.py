"""A model's labels, and those that are wanted, in; what is asked of the model for each, out.

Imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from fashion_keras.data.schema import did_you_mean
from fashion_keras.errors import UserError
from fashion_keras.serving.layout import SIGNATURES

VALID = "valid"
HEADLINE = "class"  # what the headline is called where only a server knows the model
_CLASSES, _SCORES = "classes", "scores"


class Head(NamedTuple):
    """A label, and the signature's outputs that hold its best classes and their scores."""

    label: str
    classes: str
    scores: str


def heads_of(labels: Sequence[str], wanted: Sequence[str] | None = None) -> tuple[Head, ...]:
    """Return the wanted heads of a model, in that order; all of them by default.

    `labels` are the model's, the headline's first. Raises `UserError` for one that it has not.
    """
    for label in wanted or ():
        if label not in labels:
            raise UserError(
                f"--label {label}: the model's labels are {', '.join(labels)}"
                + did_you_mean(label, labels)
            )
    prefixes = {label: f"{label}_" for label in labels} | {labels[0]: ""}
    return tuple(
        Head(label, prefixes[label] + _CLASSES, prefixes[label] + _SCORES)
        for label in dict.fromkeys(wanted or labels)
    )


def served_labels(outputs: Collection[str]) -> tuple[str, ...]:
    """Return the labels whose classes and scores are among a signature's outputs.

    The headline's comes first. It is called `HEADLINE`, for its outputs do not name it.
    """
    further = sorted(
        label
        for label in (name.removesuffix(f"_{_CLASSES}") for name in outputs)
        if {f"{label}_{_CLASSES}", f"{label}_{_SCORES}"} <= set(outputs)
    )
    headline = HEADLINE
    while headline in further:
        headline += "_"
    return (headline, *further)


def output_names(heads: Sequence[Head]) -> list[str]:
    """Return the outputs that the heads are read from."""
    return [VALID, *(name for head in heads for name in (head.classes, head.scores))]


def missing(
    heads: Sequence[Head], sees: str, inputs: Collection[str], outputs: Collection[str]
) -> list[str]:
    """Return which of what is asked of a signature it does not have."""
    needed = SIGNATURES[sees].inputs
    return [name for name in needed if name not in inputs] + [
        name for name in output_names(heads) if name not in outputs
    ]


def no_titles(model: object) -> UserError:
    """Return what is said where products have titles and the model takes none."""
    return UserError(
        f"{model} takes no titles: leave --title-column out, or give the model titles with "
        "fashion-keras retrain --part title, and export it again"
    )


def thresholds_of(
    labels: Sequence[str],
    headline: str,
    fitted: Mapping[str, float],
    given: Mapping[str | None, float],
) -> dict[str, float]:
    """Return the threshold of each label that is written and has one.

    Those that are given come before the fitted ones; None stands for the headline. Raises
    `UserError` where one is given for a label that is not written.
    """
    named = {headline if label is None else label: share for label, share in given.items()}
    for label in named:
        if label not in labels:
            raise UserError(
                f"--threshold is given for {label}: the labels that are written are "
                + ", ".join(labels)
                + did_you_mean(label, labels)
            )
    found = {**fitted, **named}
    return {label: found[label] for label in labels if label in found}
