"""The folder of a training run, or a `.keras` file, in; model, labels and photo size out."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fashion_keras.config import Config, Resize, load_config, read_sections
from fashion_keras.data.schema import DatasetInfo, did_you_mean
from fashion_keras.decision.parameters import Decision
from fashion_keras.errors import UserError
from fashion_keras.io import replacing, write_json
from fashion_keras.places import local
from fashion_keras.progress import LOGGER
from fashion_keras.provenance import changing, check_files, fingerprints
from fashion_keras.quiet import load_keras
from fashion_keras.reading import STRICT, damaged, read_json, validated
from fashion_keras.released import DEFAULT, model_place, released_names
from fashion_keras.stored_scores import read_history
from fashion_keras.text import command

if TYPE_CHECKING:
    import keras
    import pandas as pd

CONFIG_FILE = "config.yaml"
LABELS_FILE = "labels.json"
RECORDS_FILE = "records.json"
HISTORY_FILE = "history.csv"
BEST_MODEL_FILE = "best.keras"
EVALUATION_FILE = "evaluation.json"
DECISION_FILE = "decision.json"
TITLE_FILE = "title.keras"
HEADS_FILE = "heads.json"
TEACHER_FILE = "teacher.npz"
CHECKPOINTS, TENSORBOARD, SAVED_MODEL = "checkpoints", "tensorboard", "model"
_T = TypeVar("_T")
_SECTIONS = ("data", "model", "optimizer", "training")  # of every version's configs
_MEND = "restore it, or train anew"
SEES = ("photo", "title", "both")  # what of a product a model that takes titles is given
FEATURES = "features"  # the pooling layer between backbone and heads, see models.classifier


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained model and what its outputs mean.

    `labels` maps each head to its class names in index order, the headline's (`label`) first;
    `image_size` is height and width in pixels; `resize` how photos are brought to it; `config`
    is None for a bare `.keras` file; `decision` is what `fashion-keras calibrate` has fitted, if
    it has. `model` is what was trained: take features and gradients from it, and predictions
    from `predictor`. `title` is the model of the product's text, where the run has one, and
    `title_decisions` are the decisions for `title` and for `both` together.
    """

    path: Path
    model: keras.Model
    labels: dict[str, tuple[str, ...]]
    label: str
    image_size: tuple[int, int]
    resize: Resize
    config: Config | None
    decision: Decision | None = None
    title: keras.Model | None = None
    title_decisions: Mapping[str, Decision] = dataclasses.field(default_factory=dict)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    @property
    def history(self) -> pd.DataFrame:
        """A row an epoch, as `history.csv` has them; empty where there is none."""
        import pandas as pd

        file = self.path / HISTORY_FILE
        rows = pd.DataFrame(read_history(file)) if file.is_file() else pd.DataFrame()
        return rows.astype({"epoch": int}) if "epoch" in rows else rows

    def fingerprints(self, sees: str = "photo") -> dict[str, str]:
        """Return the sha256 of what its predictions come from: the models and the decision."""
        folder, name = self.path, BEST_MODEL_FILE
        if not folder.is_dir():
            folder, name = folder.parent, folder.name
        models = model_files(name, sees)
        # Without text, both is as the photo alone.
        used = SEES if sees == "both" else (sees,)
        fitted = [decision_file(which) for which in used if self.decision_for(which)]
        return fingerprints(folder, [*models, *fitted])

    @property
    def takes(self) -> tuple[str, ...]:
        """What it can be given, of `SEES`."""
        return ("photo",) if self.title is None else SEES

    def decision_for(self, sees: str) -> Decision | None:
        """Return the decision for what the model is given, one of `SEES`, where one is fitted."""
        return self.decision if sees == "photo" else self.title_decisions.get(sees)

    @functools.cached_property
    def predictor(self) -> keras.Model:
        """The model with the decision built in: a dict of logits a head, as `model`'s."""
        if self.decision is None:
            return self.model
        from fashion_keras.decision.layer import apply_decision

        return apply_decision(self.model, self.labels, self.decision)

    def predictor_for(self, sees: str) -> keras.Model:
        """Return what predicts from one of `SEES`, its decision built in.

        For `both` it takes a dict or list of `image` and `title_ids`; a product without text is
        answered as by its photo alone. Raises `UserError` where the run takes no titles, and for
        `both` where no decision says how the two are weighed.
        """
        if sees == "photo":
            return self.predictor
        if self.title is None:
            raise UserError(f"{self.path} takes no titles: it was trained on photos alone")
        from fashion_keras.decision.layer import apply_decision, apply_decision_of_both

        decision = self.title_decisions.get(sees)
        if sees == "title":
            return apply_decision(self.title, self.labels, decision) if decision else self.title
        if decision is None:
            again = command("calibrate", "--model", self.path, "--data", "DIR")
            raise UserError(f"{self.path}: photo and title are not weighed yet. Run\n{again}")
        alone = self.decision, self.title_decisions.get("title")
        return apply_decision_of_both(self.model, self.title, self.labels, alone, decision)

    @functools.cached_property
    def features(self) -> keras.Model:
        """The model as far as its layer `features`: float `[N, D]`, the backbone's output pooled.

        Of `model` and not of `predictor`: a decision changes probabilities, not features.
        """
        import keras

        return keras.Model(self.model.inputs[0], self.model.get_layer(FEATURES).output)


def load_run(
    path: str | os.PathLike, info: DatasetInfo | None = None, *, decided: bool = True
) -> Run:
    """Load a run's best model, or a `.keras` file.

    A file without a run's `labels.json` beside it takes its class names from `info`, the
    records it is used with. Not `decided`, it is loaded without its decision, which is about to
    be fitted anew. Raises `UserError` where the path, the model or the class names are missing,
    were changed since the run wrote them, or do not fit each other.
    """
    path = model_place(path)
    file = check_run(path)
    folder = file.parent
    config = load_run_config(folder)
    check_files(folder, LABELS_FILE, file.name)
    model = _load_model(file)
    heads = {name: int(output.shape[-1]) for name, output in _outputs(model, file).items()}
    labels = _labels(folder, info, heads, file)
    label, labels = headline_first(config, labels)
    if config is None:
        LOGGER.warning("%s: no %s beside it, assuming data.resize 'stretch'", path, CONFIG_FILE)
    resize: Resize = config.data.resize if config else "stretch"
    title = _load_title(folder, labels)
    decisions = load_decisions(folder, labels) if decided else {}
    decision = decisions.pop("photo", None)
    size = _photo_size(model, file)
    return Run(path, model, labels, label, size, resize, config, decision, title, decisions)


def headline_first(
    config: Config | None, labels: Mapping[str, tuple[str, ...]]
) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return the headline, the config's where a model has it, and the labels from it on."""
    label = config.data.label if config and config.data.label in labels else next(iter(labels))
    return label, {label: labels[label], **labels}


def load_model(name: str | os.PathLike = DEFAULT) -> Run:
    """Load a model that comes with the package, by its name, or a run's.

    Example:

        run = fk.load_model("fashion")
        print(run.labels["subCategory"])
    """
    return load_run(name)


def check_run(path: str | os.PathLike) -> Path:
    """Return the `.keras` file at `path`, a run's folder or the file; `UserError` if none is."""
    path = model_place(path)
    file = path / BEST_MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        expected = f"{BEST_MODEL_FILE} in it" if path.is_dir() else "a run's folder or .keras file"
        raise UserError(
            f"no trained model at {path}: expected {expected}"
            + did_you_mean(os.fspath(path), released_names())
        )
    return file


def load_run_config(folder: str | os.PathLike) -> Config | None:
    """Return a run's config, None where it has none; `UserError` where it was changed since.

    A run keeps every section, with every key: what is missing is no default here.
    """
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        return None
    check_files(folder, CONFIG_FILE)
    found = read_sections(path, list(_SECTIONS))
    if missing := [name for name in _SECTIONS if not found.get(name)]:
        raise damaged(path, f"it has no {missing[0]}", _MEND)
    return load_config(path)


def save_config(folder: str | os.PathLike, config: Config) -> None:
    """Write the config into a run's folder."""
    with changing(folder, CONFIG_FILE):
        config.save(Path(folder) / CONFIG_FILE)


def load_labels(folder: str | os.PathLike) -> dict[str, tuple[str, ...]] | None:
    """Return the class names of each head, None where a run has none; `UserError` if damaged."""
    labels = _read(Path(folder), LABELS_FILE, dict[str, tuple[str, ...]])
    for name, classes in (labels or {}).items():
        if not all(classes) or len(set(classes)) < len(classes):
            raise damaged(Path(folder) / LABELS_FILE, f"{name}: a class stands there twice", _MEND)
    return labels


def save_labels(folder: str | os.PathLike, labels: Mapping[str, Sequence[str]]) -> None:
    """Write the class names of each head into a run's folder."""
    with changing(folder, LABELS_FILE):
        write_json(Path(folder) / LABELS_FILE, labels)


def save_records(folder: str | os.PathLike, info: DatasetInfo) -> None:
    """Write down which records a run is trained on: their source, split and shards' sha256."""
    with changing(folder, RECORDS_FILE):
        write_json(Path(folder) / RECORDS_FILE, _identity(info))


def decision_file(sees: str) -> str:
    """Return the name of the decision for what a model is given, one of `SEES`."""
    return DECISION_FILE if sees == "photo" else f"decision-{sees}.json"


def load_decisions(
    folder: str | os.PathLike, labels: Mapping[str, Sequence[str]]
) -> dict[str, Decision]:
    """Return a run's decisions by what it is given; those of titles where it takes titles."""
    folder = Path(folder)
    return {
        sees: _load_decision(folder, decision_file(sees), labels)
        for sees in taken_by(folder)
        if (folder / decision_file(sees)).is_file()
    }


def taken_by(folder: Path) -> tuple[str, ...]:
    """Return what the run in a folder can be given, of `SEES`, without loading it."""
    return SEES if (folder / TITLE_FILE).is_file() else ("photo",)


def model_files(model: str, sees: str) -> list[str]:
    """Return the files that answer for what is given, of `SEES`; `model` is the photo's file."""
    return {"photo": [model], "title": [TITLE_FILE], "both": [model, TITLE_FILE]}[sees]


def save_decision(
    folder: str | os.PathLike, decision: Decision, model: str, sees: str = "photo"
) -> None:
    """Write a decision into a run's folder; `model` is the photo's file that is there."""
    name = decision_file(sees)
    with changing(folder, name, made_from=model_files(model, sees)):
        decision.save(Path(folder) / name)


def remove_decisions(folder: str | os.PathLike, *sees: str) -> None:
    """Remove decisions from a run's folder that were fitted to other models than are there now."""
    for which in sees:
        (Path(folder) / decision_file(which)).unlink(missing_ok=True)


def save_title(folder: str | os.PathLike, model: keras.Model) -> None:
    """Write the model of the title into a run's folder; decisions fitted to another one go."""
    folder = Path(folder)
    with changing(folder, TITLE_FILE):
        with replacing(folder / TITLE_FILE) as partial:
            model.save(partial)
        remove_decisions(folder, "title", "both")


def check_records(folder: str | os.PathLike, info: DatasetInfo, records: str | os.PathLike) -> None:
    """Raise `UserError` unless `info`, of the folder `records`, is what the run began with."""
    path = Path(folder) / RECORDS_FILE
    if _began_with_others(Path(folder), info):
        raise UserError(
            f"{records} holds other records than the run {folder} began with ({path}).\n"
            "Convert them as they were, or train into another --workdir"
        )


def check_teacher(path: str | os.PathLike, info: DatasetInfo, records: str | os.PathLike) -> None:
    """Raise `UserError` unless `path` is a run that may teach one on `info`, of `records`."""
    file = check_run(path)
    if _began_with_others(file.parent, info):
        raise UserError(
            f"the teacher {path} was trained on other records than {records}: what it has seen of "
            "their\ntest photos would reach the student. Train a teacher on these records"
        )


def check_split(path: str | os.PathLike, info: DatasetInfo, records: str | os.PathLike) -> None:
    """Raise `UserError` where a run was trained on `records`' catalogue, but split otherwise."""
    if has_other_split(path, info):
        raise UserError(
            f"{path} was trained on another split of the catalogue of {records}, and knows its "
            "validation photos.\nGive the records that it was trained on"
        )


def has_other_split(path: str | os.PathLike, info: DatasetInfo) -> bool:
    """Say whether a run was trained on the catalogue of `info`, but split in another way.

    `path` is the run's folder or a file in it. Its test photos may then be what the run has seen.
    """
    path = local(path)
    trained = load_records(path if path.is_dir() else path.parent)
    if trained is None:
        return False
    catalogue = trained.source.get("fingerprint")
    same = catalogue is not None and catalogue == info.source.get("fingerprint")
    return same and trained.split != info.split


def _began_with_others(folder: Path, info: DatasetInfo) -> bool:
    trained = load_records(folder)
    return trained is not None and trained.shards != _identity(info)["shards"]


@dataclasses.dataclass(frozen=True)
class _Records:
    """Which records a run is trained on."""

    __pydantic_config__ = STRICT

    source: dict[str, object]
    split: dict[str, object]
    shards: dict[str, str]


def load_records(folder: Path) -> _Records | None:
    """Return which records a run is trained on, None where it does not say."""
    return _read(folder, RECORDS_FILE, _Records)


def _read(folder: Path, name: str, kind: type[_T]) -> _T | None:
    """Return what a file of a run holds, None where there is none; `UserError` if damaged."""
    path = folder / name
    if not path.is_file():
        return None
    check_files(folder, name)
    raw = read_json(path, _MEND)
    try:
        return validated(kind, raw)
    except ValueError as error:
        raise damaged(path, error, _MEND) from None


def _load_decision(folder: Path, name: str, labels) -> Decision:
    path = folder / name
    decision = Decision.load(path)
    try:
        check_files(folder, name)
        decision.check_heads(labels)
    except UserError as error:
        again = command("calibrate", "--model", folder, "--data", "DIR")
        raise UserError(f"{path}: {error}.\nFit it again: {again}") from None
    return decision


def _identity(info: DatasetInfo) -> dict:
    shards = {shard.file: shard.sha256 for split in info.splits.values() for shard in split.shards}
    return {"source": info.source, "split": info.split, "shards": shards}


def _load_model(file: Path) -> keras.Model:
    keras = load_keras()
    from fashion_keras.models.classifier import compute_in_float32

    try:
        return compute_in_float32(keras.models.load_model(file, compile=False))
    except Exception as error:  # Keras raises a class a cause: zip, JSON, HDF5, value
        reason = (str(error).splitlines() or [repr(error)])[0][:160]
        raise UserError(f"{file} is no Keras model that can be loaded: {reason}") from error


def _outputs(model, file):
    outputs = model.output
    if not isinstance(outputs, dict) or any(len(output.shape) != 2 for output in outputs.values()):
        raise UserError(f"{file} has no named heads: expected a model trained by fashion_keras")
    return outputs


def _load_title(folder: Path, labels) -> keras.Model | None:
    """Return the model of the title, None where a run has none; `UserError` where it misfits."""
    file = folder / TITLE_FILE
    if not file.is_file():
        return None
    check_files(folder, TITLE_FILE)
    model = _load_model(file)
    from fashion_keras.models.title_model import takes_our_terms

    again = "Fit it again:\n" + command(
        "retrain", "--model", folder, "--data", "DIR", "--part", "title"
    )
    found = {name: int(output.shape[-1]) for name, output in _outputs(model, file).items()}
    if found != {name: len(classes) for name, classes in labels.items()}:
        raise UserError(f"{file} has other labels or classes than the run. {again}")
    if not takes_our_terms(model):
        raise UserError(f"{file} reads titles as another version did. {again}")
    return model


def _photo_size(model, file) -> tuple[int, int]:
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:] or shape[3] != 3:
        raise UserError(f"{file} takes {shape}: expected photos of [height, width, 3]")
    return shape[1], shape[2]


def _labels(folder, info, heads, file):
    labels = load_labels(folder)
    if labels is None and info:
        labels = {name: info.vocabulary(name) for name in heads}
    if labels is None:
        raise UserError(f"{file}: {LABELS_FILE} is not beside it, so its classes have no names")
    for name, count in heads.items():
        if len(labels.get(name, ())) != count:
            raise UserError(
                f"{file}: its head {name!r} has {count} classes, the names are "
                f"{len(labels.get(name, ()))}: the model was trained on other records"
            )
    return {name: labels[name] for name in heads}
