"""Writes weights as torch.save did before version 1.6, without PyTorch."""

import collections
import contextlib
import pickle
import sys
import types

import numpy as np
import pytest

from fashion_keras.models.weights import _MAGIC


class Storage:
    def __init__(self, key, kind, numbers):
        self.key, self.kind, self.numbers = key, kind, numbers


class Tensor:
    def __init__(self, storage, offset, size, stride):
        self.arguments = (storage, offset, size, stride, False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        if isinstance(thing, Storage):
            return ("storage", thing.kind, thing.key, "cpu", len(thing.numbers), None)
        return None


@contextlib.contextmanager
def torch_modules():
    """Modules that stand for PyTorch's while its files are written."""
    module, tools = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage"):
        setattr(module, name, type(name, (), {"__module__": "torch", "__qualname__": name}))

    def _rebuild_tensor_v2(*arguments):
        raise AssertionError("only named, never called")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    tools._rebuild_tensor_v2 = _rebuild_tensor_v2
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", module)
        patch.setitem(sys.modules, "torch._utils", tools)
        yield module


def write(path, state, storages, magic=_MAGIC):
    with open(path, "wb") as file:
        for header in (magic, 1001, {"little_endian": True}):
            pickle.dump(header, file, protocol=2)
        Pickler(file, protocol=2).dump(state)
        pickle.dump([storage.key for storage in storages], file, protocol=2)
        for storage in storages:
            file.write(len(storage.numbers).to_bytes(8, "little") + storage.numbers.tobytes())


def write_arrays(path, arrays):
    """Write a state of NumPy arrays, float32 or of whole numbers, a storage each."""
    state, storages = collections.OrderedDict(), []
    with torch_modules() as torch:
        for number, (name, array) in enumerate(arrays.items()):
            array = np.asarray(array)
            floats = array.dtype.kind == "f"
            kind = torch.FloatStorage if floats else torch.LongStorage
            flat = array.astype("<f4" if floats else "<i8").ravel()
            storages.append(Storage(str(number), kind, flat))
            strides = np.empty(array.shape, "i1").strides  # of one byte each: counted in items
            state[name] = Tensor(storages[-1], 0, array.shape, strides)
        write(path, state, storages)
