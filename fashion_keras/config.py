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
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from fashion_keras.data.schema import did_you_mean
from fashion_keras.errors import UserError


def _number(value):
    # YAML 1.1 reads 1e-3 as text, because it wants a dot: people write it, so accept it. And
    # true is 1 to Python, but nobody means epochs: true.
    if isinstance(value, bool):
        raise ValueError("expected a number")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _height_and_width(value):
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("expected [height, width] in pixels, e.g. [80, 60]")
    return value


_SEVERAL = "training.teacher"  # holds text, or a list of it


def _listed(value):
    # One is given as it stands, several as a list; an empty text is none, as in older configs.
    return ([value] if value else []) if isinstance(value, str) else value


_FORBID = ConfigDict(extra="forbid")
_Real = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
_Whole = Annotated[int, BeforeValidator(_number)]
Fraction = Annotated[_Real, Field(ge=0, lt=1)]
Positive = Annotated[_Real, Field(gt=0)]
NonNegative = Annotated[_Real, Field(ge=0)]
WholeNumber = Annotated[_Whole, Field(ge=0)]
Count = Annotated[_Whole, Field(ge=1)]
Pixels = Annotated[_Whole, Field(ge=32, le=2048)]
ImageSize = Annotated[tuple[Pixels, Pixels], BeforeValidator(_height_and_width)]
# As a section with nothing below it, a null mapping is an empty one.
LabelWeights = Annotated[dict[str, Positive], BeforeValidator(lambda v: {} if v is None else v)]


@dataclass(frozen=True, config=_FORBID)
class DataConfig:
    """Which photos and labels, and how they reach the model."""

    records: str = ""  # folder of TFRecords; empty: tfrecords/small, or the drawn sample
    label: str = "subCategory"  # what early stopping and the headline follow
    auxiliary_labels: LabelWeights = dataclasses.field(default_factory=dict)  # label: weight
    image_size: ImageSize = (80, 60)  # height, width in pixels
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    cache: Literal["auto", "none", "encoded", "decoded"] = "auto"
    augment: Literal["none", "light", "rand-augment"] = "light"
    mixup: NonNegative = 0.0  # alpha of the Beta distribution; 0 is off
    cutmix: Annotated[float, Field(ge=0, le=1)] = 0.0  # the same
    random_erasing: Annotated[_Real, Field(ge=0, le=1)] = 0.0  # probability for each photo
    # How often a class's photos are drawn, by `label`; an epoch keeps its length.
    sampling: Literal["natural", "square-root", "balanced"] = "natural"


@dataclass(frozen=True, config=_FORBID)
class ModelConfig:
    """The network and what it starts from."""

    arch: str = "efficientnetb0"
    weights: str = "none"  # none, imagenet, or the path of a .keras or .weights.h5
    dropout: Fraction = 0.2  # before the heads
    # How many times the network enlarges the photos first: its last map has a 32nd of their size,
    # which of 80×60 leaves six places. Twice is four times the work.
    upsampling: Annotated[int, Field(ge=1, le=4)] = 1


@dataclass(frozen=True, config=_FORBID)
class OptimizerConfig:
    """AdamW, its schedule and the average of its weights."""

    learning_rate: Positive = 2e-3
    weight_decay: NonNegative = 0.02  # decoupled; not on biases and normalisation
    warmup_epochs: NonNegative = 1.0  # linear from 0; one-cycle has its own
    schedule: Literal["cosine", "one-cycle", "constant"] = "cosine"
    clip_norm: NonNegative = 1.0  # of the whole gradient; 0 is off
    ema: Fraction = 0.998  # momentum of the weights' moving average; 0 is off


@dataclass(frozen=True, config=_FORBID)
class SmallerPhotos:
    """Epochs at a smaller photo size, for progressive resizing."""

    epochs: Count
    image_size: ImageSize  # height, width in pixels


@dataclass(frozen=True, config=_FORBID)
class TrainingConfig:
    """How long, on what, against which loss."""

    epochs: Count = 10
    batch_size: Count = 64
    gradient_accumulation: Count = 1  # batches to an update of the weights
    label_smoothing: Fraction = 0.1
    class_weights: Literal["none", "balanced", "effective-number"] = "none"
    logit_adjustment: NonNegative = 0.0  # tau, for `label`; 0 is off
    # Runs whose probabilities, of several the mean, the heads learn from beside the labels.
    teacher: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    teacher_weight: Annotated[_Real, Field(gt=0, lt=1)] = 0.5  # the teachers' share
    # What the best epoch has most of, on validation, by the heads as they then are. Macro-F1 hangs
    # on a few rare photos, so where heads are trained anew afterwards, accuracy tells more.
    monitor: Literal["macro_f1", "accuracy"] = "macro_f1"
    early_stopping: WholeNumber = 10  # epochs without a better score; 0 is off
    # A checkpoint every so many epochs, and after the first and the last: it takes about a second,
    # which counts where an epoch takes a few.
    checkpoint_every: Count = 1
    head_epochs: WholeNumber = 0  # the first of `epochs`, with the backbone frozen
    head_learning_rate: Positive = 1e-3  # during head_epochs
    # Then these, in order, the rest at data.image_size.
    progressive: tuple[SmallerPhotos, ...] = ()
    # After them: all heads anew on the finished features, with classes drawn so often.
    retrain_epochs: WholeNumber = 60  # passes over features kept in memory; 0 is off
    retrain_sampling: Literal["natural", "square-root", "balanced"] = "natural"
    retrain_views: Count = 1  # of each photo: as it is, the others varied as in training
    # auto: mixed_bfloat16 where GPU or processor has it, else float32. Name one to have the same
    # results elsewhere.
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    deterministic: bool = False  # TensorFlow's deterministic kernels: slower, the same anywhere
    seed: Annotated[WholeNumber, Field(lt=2**31)] = 0


@dataclass(frozen=True, config=_FORBID)
class DecisionConfig:
    """What is fitted on validation after training, as `fashion_keras.calibrate` does."""

    flip: bool = False  # average a photo and its mirror image: twice the work
    combine: bool = False  # let finer labels' heads inform coarser ones'
    class_bias: bool = False  # raise rare classes as far as validation's macro-F1 gains
    temperature: bool = True  # calibrate the probabilities
    target_error: Annotated[_Real, Field(gt=0, lt=1)] = 0.01  # of what needs no person


@dataclass(frozen=True, config=_FORBID)
class Config:
    """Everything that determines a training run."""

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    decision: DecisionConfig = dataclasses.field(default_factory=DecisionConfig)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that is trained, the headline's first."""
        others = [name for name in self.data.auxiliary_labels if name != self.data.label]
        return (self.data.label, *others)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return plain dicts and lists, as YAML holds them."""
        raw = dataclasses.asdict(self)
        raw["data"]["image_size"] = list(self.data.image_size)
        raw["training"]["teacher"] = list(self.training.teacher)
        raw["training"]["progressive"] = [
            {"epochs": part.epochs, "image_size": list(part.image_size)}
            for part in self.training.progressive
        ]
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
    raw = _sections(_read_yaml(path), path) if path else {}
    where = f" in {path}" if path else ""
    known = _known_keys()
    for section, values in raw.items():
        for name in values or [""]:
            key = f"{section}.{name}".rstrip(".")
            if section not in known or (values and key not in known[section]):
                raise UserError(f"unknown key {key!r}{where}{_nearest_key(key)}")
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        if key not in known.get(section, ()):
            raise UserError(f"unknown key {key!r}{_nearest_key(key)}")
        raw.setdefault(section, {})[name] = value
    try:
        return TypeAdapter(Config).validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        given = any(key == name or key.startswith(f"{name}.") for name in overrides)
        message = first["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        raise UserError(f"{key} = {first['input']!r}{'' if given else where}: {message}") from None


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Parse `key=value` strings, values as YAML, or as they stand where the key holds text.

    Raises `UserError` for one without `=` and for a value that is not YAML.
    """
    return dict(_parse(assignment) for assignment in assignments)


def _parse(assignment: str) -> tuple[str, Any]:
    key, equals, text = (part.strip() for part in assignment.partition("="))
    if not equals:
        raise UserError(f"--set {assignment}: expected key=value, e.g. training.epochs=20")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
        if key not in _text_keys():
            raise UserError(f"--set {assignment}: the value is not valid YAML") from None
    # A folder may be called 2024, and a label column too.
    kept = (str, list) if key == _SEVERAL else str
    return key, text if key in _text_keys() and not isinstance(value, kept) else value


def _read_yaml(path) -> Any:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"cannot read the config {path}: {reason}") from None
    try:
        return yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = error.problem if isinstance(error, _KeyTwice) else "not valid YAML"
        raise UserError(f"{path}{line}: {reason}") from None


class _KeyTwice(yaml.constructor.ConstructorError):
    """A key stands twice in one mapping."""


class _UniqueKeys(yaml.SafeLoader):
    """YAML's safe loader, but a key that stands twice is an error: PyYAML takes the last."""

    def construct_mapping(self, node, deep=False):
        """Build a dict as the parent does, once its keys have been looked at."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key.value, str):  # not a list or a mapping, which YAML allows as keys
                if key.value in seen:
                    raise _KeyTwice(None, None, f"{key.value!r} stands here twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _sections(raw: Any, path) -> dict[str, dict[str, Any]]:
    expected = f"expected sections ({', '.join(_known_keys())}) with keys below them"
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise UserError(f"{path}: {expected}")
    for section, values in raw.items():
        if values is not None and not isinstance(values, dict):
            raise UserError(f"{path}: {section!r} is followed by {values!r}: {expected}")
    return {section: dict(values or {}) for section, values in raw.items()}


def _known_keys() -> dict[str, list[str]]:
    """Return the dotted keys of each section."""
    return {
        section.name: [
            f"{section.name}.{field.name}" for field in dataclasses.fields(section.default_factory)
        ]
        for section in dataclasses.fields(Config)
    }


def _text_keys() -> list[str]:
    return [
        f"{section.name}.{field.name}"
        for section in dataclasses.fields(Config)
        for field in dataclasses.fields(section.default_factory)
        if isinstance(field.default, str) or f"{section.name}.{field.name}" == _SEVERAL
    ]


def _nearest_key(key: str) -> str:
    known = _known_keys()
    every = [k for keys in known.values() for k in keys]
    section, _, name = key.partition(".")
    if not name and section not in known and (near := did_you_mean(section, known)):
        return near
    # Look at the last part first: a right name in the wrong section is the commonest slip.
    by_name = {k.partition(".")[2]: k for k in every}
    last = name or section
    if last in by_name:
        return f" (did you mean {by_name[last]!r}?)"
    if name and (near := did_you_mean(key, every)):
        return near
    return f": expected one of {', '.join(known.get(section, known))}"
