"""What validation has taught about turning a run's logits into decisions, as `decision.json`.

Holds plain numbers and imports no TensorFlow; `decision.layer` builds them into a Keras model.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from fashion_keras.errors import UserError
from fashion_keras.io import write_json
from fashion_keras.reading import (
    STRICT,
    NonNegative,
    Positive,
    Share,
    Whole,
    damaged,
    read_json,
    short,
    validated,
)
from fashion_keras.text import command

FORMAT = 3


@dataclasses.dataclass(frozen=True)
class Acceptance:
    """From which probability of a label's class on a photo needs no person.

    `threshold` is in [0, 1]; `target_error` the share of mistakes among accepted photos that was
    asked for; `coverage` and `error` what the threshold gave on the split it was chosen on, each
    photo decided by parts that were fitted to others.
    """

    __pydantic_config__ = STRICT

    threshold: Share
    target_error: Share
    coverage: Share
    error: Share


@dataclasses.dataclass(frozen=True)
class Mix:
    """What a finer head says of a coarser one: p = (1 − w) · p_coarser + w · p_finer · implies.

    `implies` maps a class of `finer` to shares of the coarser head's classes.
    """

    __pydantic_config__ = STRICT

    finer: str
    weight: Share
    implies: Mapping[str, Mapping[str, Share]]


@dataclasses.dataclass(frozen=True)
class Weights:
    """How a label's logits of photo and title are added.

    photo · (z_photo − prior · log share) + title · z_title, with each class's share of the training
    products. Both models know which classes are frequent; where `prior` is 1, that counts once
    (Kittler et al., "On combining classifiers", 1998, equation 8).
    """

    __pydantic_config__ = STRICT

    photo: NonNegative
    title: NonNegative
    prior: Share = 0.0


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Labels whose classes go together, such as a category and its subcategory.

    `combinations` are those that training has, a class name of each of `labels`. Only one of
    them is answered: the one with the highest sum of the labels' log p. Classes that were likelier
    come just behind.
    """

    __pydantic_config__ = STRICT

    labels: tuple[str, ...]
    combinations: tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class Decision:
    """How logits become probabilities and a class; every part is optional.

    Where a product is seen by photo and title, `weights` says how each label's logits of the two
    are added. Then in this order: the mean of the logits of a photo and its mirror image (`flip`);
    each head's softmax, mixed with what a finer head says of it (`combine`, by the coarser head);
    a `bias` a headline class, added to log p; each head's `temperature`, which divides log p; the
    best combination of labels that `agree`. With `shares`, of each label's classes among the
    training products, photo and title are held against each other: where they are likelier of two
    products than of one, no class is answered with more than one half. `accept` has the thresholds
    that a shop's automation goes by; a label that none is good enough for is not in it.
    `fitted_on` names the split, never test, and `num_examples` its photos.
    """

    __pydantic_config__ = STRICT

    label: str
    fitted_on: Literal["validation"] = "validation"
    num_examples: Whole = 0
    flip: bool = False
    weights: Mapping[str, Weights] = dataclasses.field(default_factory=dict)
    combine: Mapping[str, Mix] = dataclasses.field(default_factory=dict)
    bias: Mapping[str, float] = dataclasses.field(default_factory=dict)
    agree: tuple[Agreement, ...] = ()
    temperature: Mapping[str, Positive] = dataclasses.field(default_factory=dict)
    shares: Mapping[str, tuple[Share, ...]] = dataclasses.field(default_factory=dict)
    accept: Mapping[str, Acceptance] = dataclasses.field(default_factory=dict)

    def save(self, path: str | os.PathLike) -> None:
        """Write the decision as JSON, whole or not at all."""
        write_json(path, {"format": FORMAT, **dataclasses.asdict(self)})

    @classmethod
    def load(cls, path: str | os.PathLike) -> Decision:
        """Read a decision; `UserError` where it is damaged or of another format."""
        again = command("calibrate", "--model", Path(path).parent, "--data", "DIR")
        mend = f"fit it again with\n{again}"
        raw = read_json(path, mend)
        try:
            found = validated(cls, _of_this_format(raw))
            found._check_shares()
        except ValueError as error:
            raise damaged(path, error, mend) from None
        return found

    def check_heads(self, labels: Mapping[str, Sequence[str]]) -> None:
        """Raise `UserError` where the decision names heads or classes that a model has not."""
        finer = [mix.finer for mix in self.combine.values()]
        together = [name for agreement in self.agree for name in agreement.labels]
        for name in (
            self.label,
            *together,
            *self.combine,
            *finer,
            *self.temperature,
            *self.accept,
            *self.weights,
            *self.shares,
        ):
            if name not in labels:
                heads = ", ".join(labels)
                raise UserError(f"the decision names a head {name!r}, the model has {heads}")
        for name, shares in self.shares.items():
            if len(shares) != len(labels[name]):
                raise UserError(
                    f"the decision has shares of {len(shares)} classes of {name}, the model has "
                    f"{len(labels[name])}"
                )
        named = [(self.label, name) for name in self.bias]
        for head, mix in self.combine.items():
            named += [(mix.finer, name) for name in mix.implies]
            named += [(head, name) for shares in mix.implies.values() for name in shares]
        for agreement in self.agree:
            for names in agreement.combinations:
                named += zip(agreement.labels, names, strict=True)
        for head, name in named:
            if name not in labels[head]:
                raise UserError(f"the decision names a {head} {name!r} that the model has not")

    def _check_shares(self) -> None:
        for name, weights in self.weights.items():
            if weights.prior and name not in self.shares:
                raise ValueError(f"weights.{name}.prior: expected the label's shares as well")
        for agreement in self.agree:
            if {len(names) for names in agreement.combinations} != {len(agreement.labels)}:
                raise ValueError("agree.combinations: expected a class of each label in each")
        for head, mix in self.combine.items():
            for name, shares in mix.implies.items():
                if abs(sum(shares.values()) - 1) > 1e-6:
                    raise ValueError(f"combine.{head}.implies.{name}: shares sum to 1")


def _of_this_format(raw: dict) -> dict:
    """Return a file's values as this version writes them; `ValueError` where that is unknown."""
    raw = dict(raw)
    written = raw.pop("format", None)
    if written not in (1, 2, FORMAT):
        raise ValueError(f"format: expected {FORMAT}, found {short(written)}")
    combine = raw.get("combine")
    if written == 1 and combine:  # only the headline was mixed; the key was the finer head
        if not isinstance(combine, dict) or len(combine) != 1:
            raise ValueError(f"combine: expected one head, found {short(combine)}")
        ((finer, part),) = combine.items()
        if not isinstance(part, dict) or not isinstance(raw.get("label"), str):
            raise ValueError(f"combine: expected a weight and shares, found {short(part)}")
        raw["combine"] = {raw["label"]: {"finer": finer, **part}}
    if written in (1, 2) and "accept" in raw:  # only the headline had a threshold
        accept = raw["accept"]
        raw["accept"] = {} if accept is None else {str(raw.get("label")): accept}
    return raw
