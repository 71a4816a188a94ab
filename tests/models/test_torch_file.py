"""Files laid out as torch.save did before version 1.6, made here without PyTorch."""

import collections
import pickle
import sys
import types

import numpy as np
import pytest

from fashion_keras.errors import UserError
from fashion_keras.models.torch_file import _MAGIC, read_torch_state

NUMBERS = np.arange(12, dtype="<f4")


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


@pytest.fixture
def torch(monkeypatch):
    """Modules that stand for PyTorch's while its files are written."""
    module, tools = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage"):
        setattr(module, name, type(name, (), {"__module__": "torch", "__qualname__": name}))

    def _rebuild_tensor_v2(*arguments):
        raise AssertionError("only named, never called")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    tools._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", tools)
    return module


def write(path, state, storages, magic=_MAGIC):
    with open(path, "wb") as file:
        for header in (magic, 1001, {"little_endian": True}):
            pickle.dump(header, file, protocol=2)
        Pickler(file, protocol=2).dump(state)
        pickle.dump([storage.key for storage in storages], file, protocol=2)
        for storage in storages:
            file.write(len(storage.numbers).to_bytes(8, "little") + storage.numbers.tobytes())


@pytest.fixture
def file(torch, tmp_path):
    floats = Storage("7", torch.FloatStorage, NUMBERS)
    longs = Storage("8", torch.LongStorage, np.array([41], "<i8"))
    state = collections.OrderedDict(
        weight=Tensor(floats, 2, (2, 3), (3, 1)),
        transposed=Tensor(floats, 0, (3, 2), (1, 3)),
        count=Tensor(longs, 0, (), ()),
    )
    write(tmp_path / "w.pth", state, [longs, floats])
    return tmp_path / "w.pth"


def test_tensors_have_their_shapes_offsets_and_strides(file):
    state = read_torch_state(file)
    assert list(state) == ["weight", "transposed", "count"]
    np.testing.assert_array_equal(state["weight"], NUMBERS[2:8].reshape(2, 3))
    np.testing.assert_array_equal(state["transposed"], NUMBERS[:6].reshape(2, 3).T)
    assert state["count"] == 41 and state["count"].dtype == np.int64


def test_truncated_file_is_refused(file):
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"w.pth: storage 7 ends early"):
        read_torch_state(file)


def test_tensor_beyond_its_storage_is_refused(torch, tmp_path):
    floats = Storage("7", torch.FloatStorage, NUMBERS)
    write(tmp_path / "w.pth", {"weight": Tensor(floats, 8, (5,), (1,))}, [floats])
    with pytest.raises(UserError, match="reaches beyond its storage"):
        read_torch_state(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", pickle.dumps("weights")])
def test_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read the PyTorch weights .*w.pth"):
        read_torch_state(path)


def test_pickle_that_would_run_something_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return print, ("run",)

    path = tmp_path / "w.pth"
    write(path, {"weight": Hostile()}, [])
    with pytest.raises(UserError, match=r"names __builtin__\.print"):
        read_torch_state(path)
