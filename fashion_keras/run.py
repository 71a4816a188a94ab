"""The folder of a training run, or a `.keras` file, in; model, labels and photo size out."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fashion_keras.config import Config, load_config
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.decision import Decision
from fashion_keras.errors import UserError
from fashion_keras.io import write_json
from fashion_keras.places import place

if TYPE_CHECKING:
    import keras

CONFIG_FILE = "config.yaml"
LABELS_FILE = "labels.json"
RECORDS_FILE = "records.json"
HISTORY_FILE = "history.csv"
BEST_MODEL_FILE = "best.keras"
EVALUATION_FILE = "evaluation.json"
DECISION_FILE = "decision.json"
HEADS_FILE = "heads.json"
TEACHER_FILE = "teacher.npz"
CHECKPOINTS, TENSORBOARD, SAVED_MODEL = "checkpoints", "tensorboard", "model"
FEATURES = "features"  # the pooling layer between backbone and heads, see models.classifier


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained model and what its outputs mean.

    `labels` maps each head to its class names in index order, the headline's (`label`) first;
    `image_size` is height and width in pixels; `resize` how photos are brought to it; `config`
    is None for a bare `.keras` file; `decision` is what `fashion_keras.calibrate` has fitted, if
    it has. `model` is what was trained: take features and gradients from it, and predictions
    from `predictor`.
    """

    path: Path
    model: keras.Model
    labels: dict[str, tuple[str, ...]]
    label: str
    image_size: tuple[int, int]
    resize: str
    config: Config | None
    decision: Decision | None = None

    @functools.cached_property
    def predictor(self) -> keras.Model:
        """The model with the decision built in: a dict of logits a head, as `model`'s."""
        if self.decision is None:
            return self.model
        from fashion_keras.models.decision import apply_decision

        return apply_decision(self.model, self.labels, self.decision)

    @functools.cached_property
    def features(self) -> keras.Model:
        """The model as far as its layer `features`: float `[N, D]`, the backbone's output pooled.

        Of `model` and not of `predictor`: a decision changes probabilities, not features.
        """
        import keras

        return keras.Model(self.model.inputs[0], self.model.get_layer(FEATURES).output)


def load_run(path: str | os.PathLike, info: DatasetInfo | None = None) -> Run:
    """Load a run's best model, or a `.keras` file.

    A file without a run's `labels.json` beside it takes its class names from `info`, the
    records it is used with. Raises `UserError` where the path, the model or the class names
    are missing, or do not fit each other.
    """
    path = Path(path)
    file = check_run(path)
    folder = file.parent
    config = load_config(folder / CONFIG_FILE) if (folder / CONFIG_FILE).is_file() else None
    model = _load_model(file)
    heads = {name: int(output.shape[-1]) for name, output in _outputs(model, file).items()}
    labels = _labels(folder, info, heads, file)
    label = config.data.label if config and config.data.label in labels else next(iter(labels))
    labels = {label: labels[label], **labels}
    height, width = model.input_shape[1:3]
    if config is None:
        print(
            f"warning: {path}: no {CONFIG_FILE} beside it, assuming data.resize 'stretch'",
            file=sys.stderr,
        )
    resize = config.data.resize if config else "stretch"
    decision = None
    if (folder / DECISION_FILE).is_file():
        decision = Decision.load(folder / DECISION_FILE)
    return Run(path, model, labels, label, (height, width), resize, config, decision)


def check_run(path: str | os.PathLike) -> Path:
    """Return the `.keras` file at `path`, a run's folder or the file; `UserError` if none is."""
    path = place(path)
    file = path / BEST_MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        expected = f"{BEST_MODEL_FILE} in it" if path.is_dir() else "a run's folder or .keras file"
        raise UserError(f"no trained model at {path}: expected {expected}")
    return file


def save_labels(folder: str | os.PathLike, labels: dict[str, tuple[str, ...]]) -> None:
    """Write the class names of each head into a run's folder."""
    write_json(Path(folder) / LABELS_FILE, labels)


def save_records(folder: str | os.PathLike, info: DatasetInfo) -> None:
    """Write down which records a run is trained on: their source, split and shards' sha256."""
    write_json(Path(folder) / RECORDS_FILE, _identity(info))


def check_records(folder: str | os.PathLike, info: DatasetInfo, records: str | os.PathLike) -> None:
    """Raise `UserError` unless `info`, of the folder `records`, is what the run began with."""
    path = Path(folder) / RECORDS_FILE
    if _began_with_others(path, info):
        raise UserError(
            f"{records} holds other records than the run {folder} began with ({path}).\n"
            "Convert them as they were, or train into another --workdir"
        )


def check_teacher(path: str | os.PathLike, info: DatasetInfo, records: str | os.PathLike) -> None:
    """Raise `UserError` unless `path` is a run that may teach one on `info`, of `records`."""
    file = check_run(path)
    if _began_with_others(file.with_name(RECORDS_FILE), info):
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
    path = Path(path)
    trained = _read_json((path if path.is_dir() else path.parent) / RECORDS_FILE)
    if not trained:
        return False
    catalogue = trained["source"].get("fingerprint")
    same = catalogue is not None and catalogue == info.source.get("fingerprint")
    return same and trained["split"] != info.split


def _began_with_others(path: Path, info: DatasetInfo) -> bool:
    trained = _read_json(path)
    return trained is not None and trained["shards"] != _identity(info)["shards"]


def _read_json(path: Path) -> dict | None:
    """Return what a file holds, None where there is none; `UserError` where it is damaged."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("expected an object")
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): restore it, or train anew") from None
    return found


def _identity(info: DatasetInfo) -> dict:
    shards = {shard.file: shard.sha256 for split in info.splits.values() for shard in split.shards}
    return {"source": info.source, "split": info.split, "shards": shards}


def _load_model(file: Path) -> keras.Model:
    import keras

    from fashion_keras.models.precision import compute_in_float32

    try:
        return compute_in_float32(keras.models.load_model(file, compile=False))
    except Exception as error:  # Keras raises a class a cause: zip, JSON, HDF5, value
        reason = (str(error).splitlines() or [repr(error)])[0][:160]
        raise UserError(f"{file} is no Keras model that can be loaded: {reason}") from error


def _outputs(model, file):
    if not isinstance(model.output, dict):
        raise UserError(f"{file} has no named heads: expected a model trained by fashion_keras")
    return model.output


def _labels(folder, info, heads, file):
    if (raw := _read_json(folder / LABELS_FILE)) is not None:
        labels = {name: tuple(classes) for name, classes in raw.items()}
    elif info:
        labels = {name: info.vocabulary(name) for name in heads}
    else:
        raise UserError(f"{file}: {LABELS_FILE} is not beside it, so its classes have no names")
    for name, count in heads.items():
        if len(labels.get(name, ())) != count:
            raise UserError(
                f"{file}: its head {name!r} has {count} classes, the names are "
                f"{len(labels.get(name, ()))}: the model was trained on other records"
            )
    return {name: labels[name] for name in heads}
