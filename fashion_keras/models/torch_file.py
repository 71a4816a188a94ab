"""A PyTorch weights file in, its tensors as NumPy arrays out, without PyTorch.

Reads the format that `torch.save` wrote before version 1.6: pickles of a header, of the state
with a reference for each storage, and of the storages' keys, then their numbers. What a pickle
may name is limited to what such a file needs, so a hostile one can run nothing.
"""

from __future__ import annotations

import collections
import os
import pickle

import numpy as np

from fashion_keras.errors import UserError

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
                if count != len(storage.numbers):
                    raise ValueError(f"storage {key} holds {count} numbers, not as announced")
                raw = file.read(storage.numbers.nbytes)
                if len(raw) < storage.numbers.nbytes:
                    raise ValueError(f"storage {key} ends early")
                storage.numbers[:] = np.frombuffer(raw, storage.numbers.dtype)
            return {name: tensor.array() for name, tensor in state.items()}
    except (OSError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"cannot read the PyTorch weights {path}: {error}") from error


class _Storage:
    def __init__(self, type_name: str, count: int):
        self.numbers = np.zeros(count, _TYPES[type_name])


class _Tensor:
    """What stands for a tensor until its storage has been read."""

    def __init__(self, storage, offset, size, stride, requires_grad=False, hooks=None):
        self._storage, self._offset, self._size, self._stride = storage, offset, size, stride

    def array(self) -> np.ndarray:
        """Return a copy of the numbers in the tensor's shape."""
        numbers = self._storage.numbers[self._offset :]
        last = sum((n - 1) * step for n, step in zip(self._size, self._stride, strict=True))
        if min(self._size, default=1) and not 0 <= last < len(numbers):
            raise ValueError("a tensor reaches beyond its storage")
        strides = [step * numbers.itemsize for step in self._stride]
        view = np.lib.stride_tricks.as_strided(numbers, self._size, strides, writeable=False)
        return view.copy()


class _Restricted(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

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
        return self.storages.setdefault(key, _Storage(type_name, count))
