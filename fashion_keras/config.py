"""YAML files and `key=value` options in, one frozen, validated `Config` out.

Every key is written once, here, with its default; a config file lists what differs. Unknown
keys and wrong values are `UserError`s that name the key and the nearest valid one.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from fashion_keras.data.schema import did_you_mean
from fashion_keras.errors import UserError

_STRICT = ConfigDict(extra="forbid", strict=False)
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=32, le=2048)]


@dataclass(frozen=True, config=_STRICT)
class DataConfig:
    """Which photos and labels, and how they reach the model."""

    records: str = ""  # folder of TFRecords; empty: tfrecords/small, or the drawn sample
    label: str = "subCategory"  # what early stopping and the headline follow
    auxiliary_labels: dict[str, Positive] = dataclasses.field(default_factory=dict)  # label: weight
    image_size: tuple[Pixels, Pixels] = (80, 60)  # height, width in pixels
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    cache: Literal["auto", "none", "encoded", "decoded"] = "auto"
    augment: Literal["none", "light", "rand-augment"] = "light"
    mixup: NonNegative = 0.0  # alpha of the Beta distribution; 0 is off
    cutmix: NonNegative = 0.0  # alpha of the Beta distribution; 0 is off


@dataclass(frozen=True, config=_STRICT)
class ModelConfig:
    """The network and what it starts from."""

    arch: str = "efficientnetb0"
    weights: str = "none"  # none, imagenet, or the path of a .keras or .weights.h5
    dropout: Fraction = 0.2  # before the heads


@dataclass(frozen=True, config=_STRICT)
class OptimizerConfig:
    """AdamW, its schedule and the average of its weights."""

    learning_rate: Positive = 2e-3
    weight_decay: NonNegative = 0.02  # decoupled; not on biases and normalisation
    warmup_epochs: NonNegative = 1.0  # linear from 0; fractions are allowed
    schedule: Literal["cosine", "constant"] = "cosine"
    clip_norm: NonNegative = 1.0  # of the whole gradient; 0 is off
    ema: Fraction = 0.998  # momentum of the weights' moving average; 0 is off


@dataclass(frozen=True, config=_STRICT)
class TrainingConfig:
    """How long, on what, against which loss."""

    epochs: Count = 10
    batch_size: Count = 64
    label_smoothing: Fraction = 0.1
    class_weights: Literal["none", "balanced", "effective-number"] = "none"
    early_stopping: Annotated[int, Field(ge=0)] = 10  # epochs without a better score; 0 is off
    head_epochs: Annotated[int, Field(ge=0)] = 0  # of `epochs`, with the backbone frozen
    head_learning_rate: Positive = 1e-3  # during head_epochs
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    deterministic: bool = False  # TensorFlow's deterministic kernels: slower, the same anywhere
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


@dataclass(frozen=True, config=_STRICT)
class Config:
    """Everything that determines a training run."""

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that is trained, the headline's first."""
        others = [name for name in self.data.auxiliary_labels if name != self.data.label]
        return (self.data.label, *others)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return plain dicts and lists, as YAML holds them."""
        raw = dataclasses.asdict(self)
        raw["data"]["image_size"] = list(self.data.image_size)
        return raw

    def save(self, path: str | os.PathLike) -> None:
        """Write the config as YAML, beside and then renamed."""
        partial = Path(f"{path}.partial")
        partial.write_text(yaml.safe_dump(self.to_dict(), sort_keys=False), encoding="utf-8")
        os.replace(partial, path)


def load_config(path: str | os.PathLike | None, overrides: Mapping[str, Any] = {}) -> Config:
    """Build a `Config` from defaults, the YAML file at `path` and dotted overrides, in that order.

    `overrides` maps dotted keys such as `optimizer.learning_rate` to values. Raises `UserError`
    for a missing or malformed file, an unknown key, and a value of the wrong type or range.
    """
    raw = _read_yaml(path) if path else {}
    where = f" in {path}" if path else ""
    if not isinstance(raw, dict) or not all(isinstance(v, dict) for v in raw.values()):
        sections = ", ".join(f.name for f in dataclasses.fields(Config))
        raise UserError(f"{path}: expected sections ({sections}) with keys below them")
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        if not name:
            raise UserError(f"unknown key {key!r}{did_you_mean(key, _known_keys())}")
        raw.setdefault(section, {})[name] = value
    try:
        return TypeAdapter(Config).validate_python(raw)
    except ValidationError as error:
        raise UserError(_explain(error, where)) from None


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Parse `key=value` strings, values as YAML; `UserError` for one without `=`."""
    parsed = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment}: expected key=value, e.g. training.epochs=20")
        try:
            parsed[key.strip()] = _number(yaml.safe_load(value))
        except yaml.YAMLError:
            raise UserError(f"--set {assignment}: the value is not valid YAML") from None
    return parsed


def _number(value):
    # YAML 1.1 reads 1e-3 as text, because it wants a dot: people write it, so accept it.
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _read_yaml(path) -> Any:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"cannot read the config {path}: {reason}") from None
    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        line = error.problem_mark.line + 1 if getattr(error, "problem_mark", None) else "?"
        raise UserError(f"{path}, line {line}: not valid YAML") from None


def _known_keys() -> list[str]:
    return [
        f"{section.name}.{field.name}"
        for section in dataclasses.fields(Config)
        for field in dataclasses.fields(section.default_factory)
    ]


def _explain(error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "unexpected_keyword_argument":
        return f"unknown key {key!r}{where}{_nearest_key(key)}"
    return f"{key} = {first['input']!r}{where}: {first['msg'].lower()}"


def _nearest_key(key: str) -> str:
    # Look at the last part first: a right name in the wrong section is the commonest slip.
    known = _known_keys()
    by_name = {k.rpartition(".")[2]: k for k in known}
    name = key.rpartition(".")[2]
    if name in by_name:
        return f" (did you mean {by_name[name]!r}?)"
    return did_you_mean(key, known) or f": valid keys are {', '.join(known)}"
