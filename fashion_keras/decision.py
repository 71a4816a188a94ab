"""What validation has taught about turning a run's logits into decisions, as `decision.json`.

Holds plain numbers and imports no TensorFlow; `models.decision` builds them into a Keras model.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from fashion_keras.errors import UserError
from fashion_keras.io import write_json
from fashion_keras.text import command

FORMAT = 2


@dataclasses.dataclass(frozen=True)
class Acceptance:
    """From which probability of the headline's class on a photo needs no person.

    `threshold` is in [0, 1]; `target_error` the share of mistakes among accepted photos that was
    asked for; `coverage` and `error` what the threshold gave on the split it was chosen on.
    """

    threshold: float
    target_error: float
    coverage: float
    error: float


@dataclasses.dataclass(frozen=True)
class Mix:
    """What a finer head says of a coarser one: p = (1 − w) · p_coarser + w · p_finer · implies.

    `implies` maps a class of `finer` to shares of the coarser head's classes.
    """

    finer: str
    weight: float
    implies: Mapping[str, Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Decision:
    """How logits become probabilities and a class; every part is optional.

    In this order: the mean of the logits of a photo and its mirror image (`flip`); each head's
    softmax, mixed with what a finer head says of it (`combine`, by the coarser head); a `bias` a
    headline class, added to log p; each head's `temperature`, which divides log p. `accept` is
    the threshold that a shop's automation goes by. `fitted_on` names the split, never test, and
    `num_examples` its photos.
    """

    label: str
    fitted_on: str = "validation"
    num_examples: int = 0
    flip: bool = False
    combine: Mapping[str, Mix] = dataclasses.field(default_factory=dict)
    bias: Mapping[str, float] = dataclasses.field(default_factory=dict)
    temperature: Mapping[str, float] = dataclasses.field(default_factory=dict)
    accept: Acceptance | None = None

    def save(self, path: str | os.PathLike) -> None:
        """Write the decision as JSON, whole or not at all."""
        write_json(path, {"format": FORMAT, **dataclasses.asdict(self)})

    @classmethod
    def load(cls, path: str | os.PathLike) -> Decision:
        """Read a decision; `UserError` where it is damaged or of another format."""
        try:
            raw = json.loads(Path(path).read_text(encoding="utf-8"))
            written = raw.pop("format")
            if written not in (1, FORMAT):
                raise ValueError(f"expected format {FORMAT}")
            combine = raw.pop("combine")
            if written == 1 and combine:  # only the headline was mixed; the key was the finer head
                ((finer, part),) = combine.items()
                combine = {raw["label"]: {"finer": finer, **part}}
            combine = {
                head: Mix(part["finer"], _number(part["weight"]), _shares(part["implies"]))
                for head, part in combine.items()
            }
            accept = raw.pop("accept")
            bias = {name: _number(value) for name, value in raw.pop("bias").items()}
            temperature = {k: _positive(v) for k, v in raw.pop("temperature").items()}
            return cls(
                **raw,
                combine=combine,
                bias=bias,
                temperature=temperature,
                accept=Acceptance(**accept) if accept else None,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is damaged ({error}): fit it again with\n"
                + command("calibrate", "--model", Path(path).parent, "--data", "DIR")
            ) from error


def _number(value) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    return float(value)


def _positive(value) -> float:
    if _number(value) <= 0:
        raise ValueError(f"temperature {value} is not positive")
    return float(value)


def _shares(raw) -> dict[str, dict[str, float]]:
    return {name: {k: _number(v) for k, v in row.items()} for name, row in raw.items()}
