"""A weights file in; a model with what fits of it, and a report of what did not, out.

PyTorch's files are read without PyTorch, in the format that `torch.save` wrote before version
1.6: pickles of a header, of the state with a reference for each storage, and of the storages'
keys, then their numbers. What a pickle may name is limited to what such a file needs, so a
hostile one can run nothing.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import pickle
import warnings
from pathlib import Path

import keras
import numpy as np

from fashion_keras.errors import UserError
from fashion_keras.released import model_place

_MAGIC = 0x1950A86A20F9469CFC6C
_TYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "LongStorage": "<i8", "IntStorage": "<i4"}


def read_torch_state(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a state dict: name to array, in the file's order.

    Raises `UserError` where the file is missing, of another format, or damaged.
    """
    try:
        with open(path, "rb") as file:
            if _Restricted(file).load() != _MAGIC:
                raise ValueError("not of the format that torch.save wrote before version 1.6")
            for _ in range(2):  # protocol version; byte order and sizes of integers
                _Restricted(file).load()
            reader = _Restricted(file)
            state = reader.load()
            for key in _Restricted(file).load():
                storage = reader.storages[key]
                count = int.from_bytes(file.read(8), "little")
                if count != len(storage):
                    raise ValueError(f"storage {key} holds {count} numbers, not as announced")
                raw = file.read(storage.nbytes)
                if len(raw) < storage.nbytes:
                    raise ValueError(f"storage {key} ends early")
                storage[:] = np.frombuffer(raw, storage.dtype)
            return {name: tensor.array() for name, tensor in state.items()}
    except (OSError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"cannot read the PyTorch weights {path}: {error}") from error


class _Tensor:
    """What stands for a tensor until its storage has been read."""

    def __init__(self, storage, offset, size, stride, requires_grad=False, hooks=None):
        self._storage, self._offset, self._size, self._stride = storage, offset, size, stride

    def array(self) -> np.ndarray:
        """Return a copy of the numbers in the tensor's shape."""
        numbers = self._storage[self._offset :]
        last = sum((n - 1) * step for n, step in zip(self._size, self._stride, strict=True))
        if min(self._size, default=1) and not 0 <= last < len(numbers):
            raise ValueError("a tensor reaches beyond its storage")
        strides = [step * numbers.itemsize for step in self._stride]
        view = np.lib.stride_tricks.as_strided(numbers, self._size, strides, writeable=False)
        return view.copy()


class _Restricted(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _TYPES:
            return name
        raise pickle.UnpicklingError(f"it names {module}.{name}, which weights do not need")

    def persistent_load(self, reference):
        _, type_name, key, _, count, *_ = reference
        return self.storages.setdefault(key, np.zeros(count, _TYPES[type_name]))


@contextlib.contextmanager
def imagenet_download(host: str):
    """Turn a failed download inside the block into a `UserError` that says what to do."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # each host wraps network failures in a class of its own
        raise UserError(
            f"cannot download ImageNet weights from {host}: {str(error).splitlines()[0][:160]}\n"
            "Go online once (they are cached), or use --weights none or --weights PATH"
        ) from error


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
    it is. Raises `UserError` where the file is missing, is no such file, is of another
    architecture, or where not one layer of the backbone fits.
    """
    path = model_place(path)
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
            source = keras.models.load_model(path, compile=False)
            is_ours = any(layer.name == "backbone" for layer in source.layers)
            if is_ours and source.name != model.name:  # which is its architecture's
                raise UserError(
                    f"{path} is of {source.name}, the model to train is {model.name}: "
                    f"choose --arch {source.name}"
                )
            loaded = _copy(source, model)
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
