"""YAML files, recipes and `key=value` options in, one frozen, validated `Config` out.

Every key is written once, here, with its default; a config file lists what differs. It may name a
`base`, a recipe or another file, and holds what differs from that; `about` is for people:
purpose, minutes, scores. Unknown keys and wrong values are `UserError`s that name the key and the
nearest valid one.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from fashion_keras.data.schema import did_you_mean
from fashion_keras.errors import UserError
from fashion_keras.io import is_address, write_text
from fashion_keras.places import local
from fashion_keras.reading import parse_yaml, read_yaml, short
from fashion_keras.store import check_address

RECIPES = Path(__file__).parent / "recipes"
ABOUT, BASE = "about", "base"


def recipe_names() -> list[str]:
    """Return the names of the recipes in the package; those that are only a base are left out."""
    return sorted(path.stem for path in RECIPES.glob("[!_]*.yaml"))


def recipe_path(name: str) -> Path:
    """Return a recipe's file; `UserError` where there is none of that name."""
    path = RECIPES / f"{name}.yaml"
    if Path(name).name != name or not path.is_file():
        names = recipe_names()
        raise UserError(
            f"unknown recipe {name!r}{did_you_mean(name, names)}: expected one of "
            f"{', '.join(names)}.\nfashion-keras recipes says what each is for"
        )
    return path


def about(name: str) -> dict[str, Any]:
    """Return what a recipe says of itself: `purpose`, and where measured `minutes` and scores."""
    return read_yaml(recipe_path(name)).get(ABOUT, {})


def read_sections(path: Path, known: list[str]) -> dict[str, dict[str, Any]]:
    """Return the sections that a file sets, each over those of its base.

    `known` are the sections' names, for messages. Raises `UserError` for a missing or malformed
    file, a base that is not there, and bases in a circle.
    """
    merged: dict[str, dict[str, Any]] = {}
    for file in reversed(_with_bases(path)):
        for section, values in _sections(read_yaml(file), file, known).items():
            merged[section] = merged.get(section, {}) | values
    return merged


def _with_bases(path: Path) -> list[Path]:
    """Return a file and its bases, the nearest first."""
    found = [path]
    while True:
        raw = read_yaml(found[-1])
        base = raw.get(BASE) if isinstance(raw, dict) else None
        if base is None:
            return found
        if not isinstance(base, str):
            raise UserError(f"{found[-1]}: base {base!r}: expected a recipe's name or a file")
        is_file = base.endswith((".yaml", ".yml"))
        following = found[-1].parent / base if is_file else recipe_path(base)
        if following.resolve() in [file.resolve() for file in found]:
            raise UserError(f"{path}: its base {base!r} is based on itself")
        found.append(following)


def _sections(raw: Any, path: Path, known: list[str]) -> dict[str, dict[str, Any]]:
    expected = f"expected sections ({', '.join(known)}) with keys below them"
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise UserError(f"{path}: {expected}")
    sections = {name: values for name, values in raw.items() if name not in (ABOUT, BASE)}
    for section, values in sections.items():
        if values is not None and not isinstance(values, dict):
            raise UserError(f"{path}: {section!r} is followed by {values!r}: {expected}")
    return {section: dict(values or {}) for section, values in sections.items()}


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


def _place(value):
    if isinstance(value, str) and is_address(value):
        try:
            return check_address(value)
        except UserError as error:
            raise ValueError(str(error)) from None
    return value


_SEVERAL = "training.teacher"  # holds text, or a list of it


def _listed(value):
    # One is given as it stands, several as a list; an empty text is none, as in older configs.
    return ([value] if value else []) if isinstance(value, str) else value


# The text below a field is its description: scripts/config_reference.py reads it for docs/config.md
# and the JSON schema. (pydantic could, but takes 80 ms at each start for it.)
_STRICT = ConfigDict(extra="forbid")
_AS_WRITTEN = BeforeValidator(_number)
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), _AS_WRITTEN]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), _AS_WRITTEN]
OpenShare = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False), _AS_WRITTEN]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), _AS_WRITTEN]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), _AS_WRITTEN]
WholeNumber = Annotated[int, Field(ge=0), _AS_WRITTEN]
Count = Annotated[int, Field(ge=1), _AS_WRITTEN]
Pixels = Annotated[int, Field(ge=32, le=2048), _AS_WRITTEN]
Resize = Literal["stretch", "pad", "crop"]
ImageSize = Annotated[tuple[Pixels, Pixels], BeforeValidator(_height_and_width)]
Place = Annotated[str, AfterValidator(_place)]  # a file or folder of this machine, or an address
# As a section with nothing below it, a null mapping is an empty one.
LabelWeights = Annotated[dict[str, Positive], BeforeValidator(lambda v: {} if v is None else v)]


@dataclass(frozen=True, config=_STRICT)
class DataConfig:
    """Which photos and labels, and how they reach the model."""

    records: Place = ""
    """Folder of TFRecords. Empty: `tfrecords/small`, or where there is none the drawn sample."""
    label: str = "subCategory"
    """The headline label: early stopping, the best epoch and the report follow it."""
    auxiliary_labels: LabelWeights = dataclasses.field(default_factory=dict)
    """Further labels, a head each, with their weight in the loss: `{gender: 0.25}`."""
    image_size: ImageSize = (80, 60)
    """Height and width in pixels that photos are resized to."""
    resize: Resize = "stretch"
    """How photos of another shape are brought to `image_size`; `pad` fills with white."""
    cache: Literal["auto", "none", "encoded", "decoded"] = "auto"
    """What the training photos are kept in memory as; `auto` decides by the memory that is free."""
    augment: Literal["none", "light", "rand-augment"] = "light"
    """`light`: mirror, turn, scale and shift. `rand-augment` (Cubuk et al., 2020) is
    experimental: not measured here."""
    mixup: NonNegative = 0.0
    """MixUp (Zhang et al., 2018): alpha of the Beta distribution; 0 is off."""
    cutmix: Share = 0.0
    """CutMix (Yun et al., 2019): the same. Experimental: not measured here."""
    random_erasing: Share = 0.0
    """Random erasing (Zhong et al., 2020): share of the photos. Experimental: not measured here."""
    sampling: Literal["natural", "square-root", "balanced"] = "natural"
    """How often a class's photos are drawn, by `label`; an epoch keeps its length (Kang et al.,
    2020). Experimental: not measured here."""


@dataclass(frozen=True, config=_STRICT)
class ModelConfig:
    """The network and what it starts from."""

    arch: str = "efficientnetb0"
    """`resnet18`, `efficientnetb0` or `efficientnetlite0`."""
    weights: Place = "none"
    """What to start from: `none`, `imagenet`, a run, or a `.keras` or `.weights.h5` file."""
    dropout: Fraction = 0.2
    """Share of the features dropped before the heads."""
    upsampling: Annotated[int, Field(ge=1, le=4), _AS_WRITTEN] = 1
    """How many times the network enlarges the photos first. Its last map has a 32nd of their size,
    which of 80×60 leaves six cells. Twice is four times the work."""
    title: bool = False
    """Fit a model of the product's text beside the photo's, from records that hold it. The run then
    answers by the photo, by the title and by both."""


@dataclass(frozen=True, config=_STRICT)
class OptimizerConfig:
    """AdamW, its schedule and the average of its weights."""

    learning_rate: Positive = 2e-3
    """The highest learning rate of the schedule."""
    weight_decay: NonNegative = 0.02
    """Decoupled; biases and normalisation are left out."""
    warmup_epochs: NonNegative = 1.0
    """Epochs of linear growth from 0; `one-cycle` has its own."""
    schedule: Literal["cosine", "one-cycle", "constant"] = "cosine"
    """Loshchilov and Hutter, 2017; Smith and Topin, 2018."""
    clip_norm: NonNegative = 1.0
    """Largest norm of the whole gradient; 0 is off."""
    ema: Fraction = 0.998
    """Momentum of the moving average of weights and batch-normalisation statistics; 0 is off."""


@dataclass(frozen=True, config=_STRICT)
class SmallerPhotos:
    """Epochs at a smaller photo size, for progressive resizing."""

    epochs: Count
    """How many epochs."""
    image_size: ImageSize
    """Height and width in pixels."""


@dataclass(frozen=True, config=_STRICT)
class TrainingConfig:
    """How long, on what, against which loss."""

    epochs: Count = 10
    """Epochs in all, `head_epochs` and `progressive` included."""
    batch_size: Count = 64
    """Photos a step, all devices together."""
    gradient_accumulation: Count = 1
    """Batches to an update of the weights; on several devices with JAX alone."""
    label_smoothing: Fraction = 0.1
    """Share of each label spread over all classes (Szegedy et al., 2016)."""
    class_weights: Literal["none", "balanced", "effective-number"] = "none"
    """Weights in the loss (Cui et al., 2019). Experimental: not measured here."""
    logit_adjustment: NonNegative = 0.0
    """Tau of the logit adjustment for `label` (Menon et al., 2021); 0 is off. Experimental: not
    measured here."""
    teacher: Annotated[tuple[Place, ...], BeforeValidator(_listed)] = ()
    """Runs whose probabilities the heads learn from beside the labels; of several, the mean
    (Hinton et al., 2015)."""
    teacher_weight: OpenShare = 0.5
    """The teachers' share of each label."""
    monitor: Literal["macro_f1", "accuracy"] = "macro_f1"
    """What the best epoch has most of, on validation. Macro-F1 hangs on a few rare photos, so where
    heads are retrained afterwards, accuracy tells more."""
    early_stopping: WholeNumber = 10
    """Stop after so many epochs without a better score; 0 is off."""
    checkpoint_every: Count = 1
    """Epochs between checkpoints; the first and the last have one too. It takes about a second."""
    head_epochs: WholeNumber = 0
    """The first of `epochs`, with the backbone frozen: for pretrained weights."""
    head_learning_rate: Positive = 1e-3
    """Learning rate during `head_epochs`."""
    progressive: tuple[SmallerPhotos, ...] = ()
    """Epochs at smaller photos, in order; the rest are at `data.image_size`."""
    retrain_epochs: WholeNumber = 60
    """After training, the heads are retrained on the finished features for so many epochs (Kang et
    al., 2020); 0 is off."""
    retrain_sampling: Literal["natural", "square-root", "balanced"] = "natural"
    """How often a class's photos are drawn while heads are retrained."""
    retrain_views: Count = 1
    """Views of each photo while heads are retrained: as it is, the others augmented."""
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    """`auto`: mixed_bfloat16 where GPU or processor has it, else float32. Name one to have the same
    results elsewhere."""
    deterministic: bool = False
    """TensorFlow's deterministic kernels: slower, the same anywhere."""
    seed: Annotated[int, Field(ge=0, lt=2**31), _AS_WRITTEN] = 0
    """Of weights, order and augmentation."""


@dataclass(frozen=True, config=_STRICT)
class DecisionConfig:
    """What is fitted on validation after training, as `fashion-keras calibrate` does."""

    flip: bool = False
    """Average a photo and its mirror image: twice the work."""
    combine: bool = False
    """Let finer labels' heads inform coarser ones'."""
    agree: bool = True
    """Answer only combinations of classes that training has, where one label all but decides
    another, such as a subcategory its category."""
    class_bias: bool = False
    """Raise rare classes as far as validation's macro-F1 gains (Menon et al., 2021)."""
    temperature: bool = True
    """Calibrate the probabilities (Guo et al., 2017)."""
    target_error: OpenShare = 0.01
    """Share of mistakes among the photos that need no person."""


@dataclass(frozen=True, config=_STRICT)
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
        return TypeAdapter(Config).dump_python(self, mode="json")

    def to_yaml(self) -> str:
        """Return every key, defaults included, as YAML."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    def save(self, path: str | os.PathLike) -> None:
        """Write the config as YAML, whole or not at all."""
        write_text(path, self.to_yaml())


_DEFAULTS = Config().to_dict()


def load_config(
    source: str | os.PathLike | Config | None, overrides: Mapping[str, Any] = {}
) -> Config:
    """Build a `Config` from defaults, a YAML file or a `Config`, and dotted overrides.

    The file may name a `base`; a recipe's is `recipe_path(name)`. `overrides`
    maps dotted keys such as `optimizer.learning_rate` to values. Raises `UserError`
    for a missing or malformed file, an unknown key, and a value of the wrong type or range.
    """
    known = _known_keys()
    if isinstance(source, Config):
        raw, where = source.to_dict(), ""
    elif source:
        raw, where = read_sections(local(source), list(known)), f" in {source}"
    else:
        raw, where = {}, ""
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
        raise UserError(
            f"{key} = {short(first['input'])}{where * (not given)}: {message}"
        ) from None


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Parse `key=value` strings, values as YAML, or as they stand where the key holds text.

    Raises `UserError` for one without `=` and for a value that is not YAML.
    """
    return dict(_parse(assignment) for assignment in assignments)


def _parse(assignment: str) -> tuple[str, Any]:
    key, equals, text = (part.strip() for part in assignment.partition("="))
    if not equals:
        raise UserError(f"--set {assignment[:80]}: expected key=value, e.g. training.epochs=20")
    try:
        value = parse_yaml(text)
    except ValueError as error:
        value = None
        if not _holds_text(key):
            reason = str(error).partition(": ")[2]
            raise UserError(f"--set {assignment[:80]}: the value: {reason}") from None
    # A folder may be called 2024, and a label column too.
    kept = (str, list) if key == _SEVERAL else str
    return key, text if _holds_text(key) and not isinstance(value, kept) else value


def _known_keys() -> dict[str, list[str]]:
    """Return the dotted keys of each section."""
    return {section: [f"{section}.{name}" for name in keys] for section, keys in _DEFAULTS.items()}


def _holds_text(key: str) -> bool:
    section, _, name = key.partition(".")
    return isinstance(_DEFAULTS.get(section, {}).get(name), str) or key == _SEVERAL


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
