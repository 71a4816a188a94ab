"""A run or a folder of SavedModel versions in; where a model is, and what it says of itself, out.

Imports no TensorFlow, so that a wrong path is answered at once. The layout is TF Serving's:
`FOLDER/<integer>/saved_model.pb`, and only integers are versions. A run is served as it is, without
being exported first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import fashion_keras
from fashion_keras.config import Resize
from fashion_keras.errors import UserError
from fashion_keras.io import place, scratch_folder, sync_folder, write_sealed
from fashion_keras.provenance import fingerprints
from fashion_keras.reading import (
    STRICT,
    Count,
    Share,
    check_sha256,
    damaged,
    read_json,
    short,
    unsealed,
    validated,
)
from fashion_keras.released import model_place
from fashion_keras.run import (
    BEST_MODEL_FILE,
    SEES,
    headline_first,
    load_decisions,
    load_labels,
    load_run_config,
    taken_by,
)
from fashion_keras.text import command

if TYPE_CHECKING:
    from fashion_keras.decision.parameters import Decision
    from fashion_keras.run import Run

SAVED_MODEL_FILE = "saved_model.pb"
LITERT_FILE, ONNX_FILE = "model.tflite", "model.onnx"
# Beside them, of a run that takes titles: photo and title together.
LITERT_TITLE_FILE, ONNX_TITLE_FILE = "model-with-title.tflite", "model-with-title.onnx"
ASSETS, VARIABLES = "assets", "variables"
INFO_ASSET = "fashion_keras.json"
FORMAT = 3
INPUT, TITLE = "image_bytes", "title"
TOP = 5  # classes that a run gives a photo
_BEFORE = 2  # is read too: there `accept` was the headline's threshold of the photo alone
_MEND = "export the model again"


class Signature(NamedTuple):
    """What a model is asked for products of which the same is known: its name and inputs."""

    name: str
    inputs: tuple[str, ...]


# By what is known of a product, of `run.SEES`.
SIGNATURES = {
    "photo": Signature("serving_default", (INPUT,)),
    "both": Signature("with_title", (INPUT, TITLE)),
    "title": Signature("title_only", (TITLE,)),
}


def seen(photo: bytes | None, title: str) -> str:
    """Return what a product is answered by, one of `run.SEES`; without a photo by its title."""
    return "title" if photo is None else "both" if title else "photo"


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What a SavedModel of ours says of itself, in `assets/fashion_keras.json`.

    `fashion_keras` is the version that wrote it; `label` the headline's head; `labels` the
    class names of each head in index order, the headline's first; `image_size` height and
    width in pixels; `resize` how photos are brought to it; `top` how many classes a photo gets
    at most; `accept` from which score of a label's class on a product needs no person: label to
    threshold by what the model is given, one of `run.SEES`, and no label without a threshold;
    `takes` what it can be given, of `run.SEES`; assets that do not say it are of photos alone;
    `made_from` the sha256 of the run's files that it was exported from, and `files` those of the
    model beside it.
    """

    __pydantic_config__ = STRICT

    fashion_keras: str
    label: str
    labels: dict[str, tuple[str, ...]]
    image_size: tuple[Count, Count]
    resize: Resize
    top: Count
    accept: Mapping[str, Mapping[str, Share]] = dataclasses.field(default_factory=dict)
    takes: tuple[str, ...] = ("photo",)
    made_from: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def of(cls, run: Run, top: int) -> ModelInfo:
        """Describe a run's model, with the thresholds that have been fitted."""
        decisions = {sees: run.decision_for(sees) for sees in run.takes}
        return cls(
            fashion_keras=fashion_keras.__version__,
            label=run.label,
            labels=run.labels,
            image_size=run.image_size,
            resize=run.resize,
            top=top,
            accept=_thresholds(decisions),
            takes=run.takes,
            made_from={k: v for sees in run.takes for k, v in run.fingerprints(sees).items()},
        )

    @classmethod
    def of_folder(cls, folder: Path, top: int) -> ModelInfo:
        """Describe a run by its files, without loading its model."""
        labels, config = load_labels(folder), load_run_config(folder)
        if labels is None or config is None:
            raise UserError(f"{folder} lacks its labels or its config: export it, or restore them")
        label, labels = headline_first(config, labels)
        return cls(
            fashion_keras=fashion_keras.__version__,
            label=label,
            labels=labels,
            image_size=config.data.image_size,
            resize=config.data.resize,
            top=top,
            accept=_thresholds(load_decisions(folder, labels)),
            takes=taken_by(folder),
        )

    @property
    def label_names(self) -> tuple[str, ...]:
        """The model's labels, the headline's first."""
        return (self.label, *(name for name in self.labels if name != self.label))

    def thresholds(self, sees: str = "photo") -> Mapping[str, float]:
        """Return each label's threshold for what the model is given, where it has one."""
        return self.accept.get(sees, {})

    def save(self, version: str | os.PathLike) -> None:
        """Write `assets/fashion_keras.json` into a version's folder, with what is there by then."""
        version = Path(version)
        small = (LITERT_FILE, LITERT_TITLE_FILE, ONNX_FILE, ONNX_TITLE_FILE)
        patterns = ("*.pb", *small, f"{VARIABLES}/*", f"{ASSETS}/*.json")
        names = [
            path.relative_to(version).as_posix()
            for pattern in patterns
            for path in sorted(version.glob(pattern))
            if path.name != INFO_ASSET
        ]
        info = dataclasses.replace(self, files=fingerprints(version, names))
        (version / ASSETS).mkdir(exist_ok=True)
        write_sealed(version / ASSETS / INFO_ASSET, dataclasses.asdict(info))

    @classmethod
    def load(cls, version: str | os.PathLike) -> ModelInfo:
        """Read the info of a version folder; `UserError` if it is not ours or not readable."""
        path = Path(version) / ASSETS / INFO_ASSET
        if not path.is_file():
            raise UserError(
                f"{version} is a SavedModel of another kind ({ASSETS}/{INFO_ASSET} is missing): "
                "expected one that fashion-keras export has made"
            )
        raw = read_json(path, _MEND)
        if raw.get("format", _BEFORE) not in (_BEFORE, FORMAT):
            raise UserError(
                f"{path} has format {short(raw['format'])}, this fashion_keras reads {FORMAT}: "
                + _MEND
            )
        try:
            info = validated(cls, _of_this_format(unsealed(raw)))
            info._check()
        except ValueError as error:
            raise damaged(path, error, _MEND) from None
        return info

    def check_files(self, version: str | os.PathLike) -> None:
        """Raise `UserError` unless the model in the folder is the one that was exported.

        Exports of earlier versions do not say what that was.
        """
        check_sha256(version, self.files, _MEND)

    def _check(self) -> None:
        if self.label not in self.labels:
            raise ValueError(f"label: {short(self.label)} is none of {', '.join(self.labels)}")
        for label, names in self.labels.items():
            if not names or len(set(names)) < len(names):
                raise ValueError(f"labels.{label}: its classes need names, each another one")
        for field, given in (("takes", self.takes), ("accept", self.accept)):
            for sees in given:
                if sees not in SEES:
                    raise ValueError(f"{field}: {short(sees)} is none of {', '.join(SEES)}")
        for sees, thresholds in self.accept.items():
            for label in thresholds:
                if label not in self.labels:
                    raise ValueError(f"accept.{sees}: the model has no label {short(label)}")


def _thresholds(decisions: Mapping[str, Decision | None]) -> dict[str, dict[str, float]]:
    return {
        sees: {label: accept.threshold for label, accept in decision.accept.items()}
        for sees, decision in decisions.items()
        if decision is not None
    }


def _of_this_format(raw: dict) -> dict:
    if raw.get("format", _BEFORE) == _BEFORE:
        accept = raw.get("accept")
        thresholds = {} if accept is None else {str(raw.get("label")): accept}
        return {**raw, "accept": {"photo": thresholds}, "format": FORMAT}
    return raw


def versions(folder: str | os.PathLike) -> list[int]:
    """Return the version numbers present in `folder`, ascending; none if there is no folder."""
    if not Path(folder).is_dir():
        return []
    names = (entry.name for entry in Path(folder).iterdir())
    return sorted({int(name) for name in names if name.isascii() and name.isdigit()})


def new_version(folder: str | os.PathLike, version: int | None = None) -> int:
    """Return the version to write: `version`, or the one above the highest present.

    Raises `UserError` where `version` is there already, is not positive, or `folder` is a file.
    """
    for path in (place(folder), *Path(folder).parents):
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a file: expected a folder to write SavedModels into")
    present = versions(folder)
    if version is None:
        return max(present, default=0) + 1
    if version < 1:
        raise UserError(f"version {version}: expected 1 or more")
    if version in present:
        raise UserError(
            f"{folder} has a version {version} already: it is never overwritten.\n"
            f"Leave --version out for version {present[-1] + 1}, or remove {version} yourself"
        )
    return version


@contextlib.contextmanager
def version_scratch(folder: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty folder in `folder`, no version, to make one in for `publish`.

    What killed exports left there is removed.
    """
    folder = Path(folder)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # Earlier versions named theirs by the process.
        with scratch_folder(folder / "export", leftovers=r"\d+\.partial-\d+") as scratch:
            yield scratch
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # the version is in it
                path.rmdir()


def publish(made: Path, folder: str | os.PathLike, version: int | None) -> Path:
    """Rename a finished folder to `folder/<version>` and return that path.

    `version` defaults to the one above the highest present, however many exports run at once.
    Raises `UserError` where the one that was asked for is there already.
    """
    for parent in (made / VARIABLES, made / ASSETS, made):
        if parent.is_dir():
            sync_folder(parent)
    while True:
        target = Path(folder) / str(new_version(folder, version))
        try:
            os.rename(made, target)
            return target
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise


def find_version(path: str | os.PathLike, *, small: bool = False) -> Path:
    """Return the version folder at `path`, or the highest version in it.

    `small` takes LiteRT and ONNX models too. Raises `UserError` where there is none.
    """
    path = Path(path)
    files = (SAVED_MODEL_FILE, LITERT_FILE, ONNX_FILE) if small else (SAVED_MODEL_FILE,)
    if not path.exists():
        raise UserError(f"no SavedModel at {path}: there is nothing of that name")

    def is_version(folder):
        return any((folder / file).is_file() for file in files)

    if is_version(path):
        return path
    complete = [
        entry
        for entry in (path.iterdir() if path.is_dir() else ())
        if entry.name.isascii() and entry.name.isdigit() and is_version(entry)
    ]
    if not complete:
        raise UserError(
            f"no SavedModel at {path}: expected {SAVED_MODEL_FILE} in it, or in a version "
            "folder (1, 2, …).\n"
            f"Make one: {command('export', '--model', 'RUN', '--output', path)}"
        )
    return max(complete, key=lambda entry: int(entry.name))


def find_model(path: str | os.PathLike, *, small: bool = False) -> Path:
    """Return the run or version folder at `path`, or the highest version in it.

    `path` may be the name of a model that comes with the package. `small` takes LiteRT and ONNX
    models too. Raises `UserError` where there is none.
    """
    found = model_place(path)
    return found if is_run(found) else find_version(found, small=small)


def is_run(path: Path) -> bool:
    """Say whether a path is a run's folder."""
    return (path / BEST_MODEL_FILE).is_file()


def info_of(path: Path) -> ModelInfo:
    """Return what a model says of itself, without loading it; `path` is of `find_model`."""
    return ModelInfo.of_folder(path, TOP) if is_run(path) else ModelInfo.load(path)
