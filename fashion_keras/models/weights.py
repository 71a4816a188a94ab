"""A weights file in; a model with what fits of it, and a report of what did not, out."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path

import keras
import numpy as np

from fashion_keras.errors import UserError

_BEST_MODEL_FILE = "best.keras"  # of a run's folder


@dataclasses.dataclass(frozen=True)
class Loaded:
    """Names of the layers with weights that were loaded, and of those left as they were."""

    loaded: tuple[str, ...]
    kept: tuple[str, ...]

    def summary(self) -> str:
        """Return a line for the terminal."""
        line = f"{len(self.loaded)} layers loaded, {len(self.kept)} left as initialised"
        if self.kept:
            shown = ", ".join(self.kept[:6]) + (", …" if len(self.kept) > 6 else "")
            line += f" ({shown})"
        return line


def load_weights(model: keras.Model, path: str | os.PathLike) -> Loaded:
    """Load what fits of a `.keras`, a `.weights.h5` or a run's folder into `model`, in place.

    Variables are matched by name and shape, so a head with another number of classes stays as
    it is. Raises `UserError` where the file is missing, is no such file, or where not one
    layer of the backbone fits.
    """
    path = Path(path)
    if path.is_dir():
        path = path / _BEST_MODEL_FILE
    if not path.is_file():
        raise UserError(
            f"no weights at {path}: expected none, imagenet, a run's folder, a .keras or a "
            ".weights.h5 file"
        )
    try:
        if path.name.endswith(".weights.h5"):
            loaded = _load_h5(model, path)
        elif path.suffix == ".keras":
            loaded = _copy(keras.models.load_model(path, compile=False), model)
        else:
            raise UserError(f"{path}: expected a name that ends in .keras or .weights.h5")
    except UserError:
        raise
    except Exception as error:  # Keras raises a class a cause: zip, JSON, HDF5, value
        reason = (str(error).splitlines() or [repr(error)])[0][:160]
        raise UserError(f"cannot load weights from {path}: {reason}") from error
    _refresh_normalisations(model)
    layers = dict.fromkeys(
        _layer(variable.path) for variable in model.variables if "seed" not in variable.path
    )
    backbone = {_layer(variable.path) for variable in model.get_layer("backbone").variables}
    result = Loaded(
        tuple(name for name in layers if name in loaded),
        tuple(name for name in layers if name not in loaded),
    )
    if not backbone & set(result.loaded):
        raise UserError(f"nothing in {path} fits {model.name}: was it trained with another --arch?")
    return result


def _copy(source: keras.Model, target: keras.Model) -> set[str]:
    """Copy what has the same name and shape; return the layers of which all was copied."""
    values = {variable.path: variable for variable in source.variables}
    missed = set()
    for variable in target.variables:
        match = values.get(variable.path)
        if match is not None and match.shape == variable.shape:
            variable.assign(match)
        else:
            missed.add(_layer(variable.path))
    return {_layer(variable.path) for variable in target.variables} - missed


def _refresh_normalisations(model: keras.Model) -> None:
    # Normalization computes with copies of its variables that only this call renews.
    for layer in model.get_layer("backbone").layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _load_h5(model: keras.Model, path: Path) -> set[str]:
    """Load by position, as the format has it; return the layers that were loaded.

    Keras does not say which it skipped, so what it is to overwrite is marked beforehand.
    """
    before = {id(v): np.array(v) for v in model.variables if v.dtype.startswith("float")}
    marked = [variable for variable in model.variables if id(variable) in before]
    for variable in marked:
        variable.assign(np.full(variable.shape, np.nan))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning a layer: the summary says it in one line
            model.load_weights(path, skip_mismatch=True)
    finally:
        kept = [v for v in marked if np.isnan(np.array(v)).any()]
        for variable in kept:
            variable.assign(before[id(variable)])
    return {_layer(v.path) for v in marked} - {_layer(v.path) for v in kept}


def _layer(variable_path: str) -> str:
    return variable_path.rpartition("/")[0]
