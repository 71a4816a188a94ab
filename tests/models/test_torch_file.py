"""Files laid out as torch.save did before version 1.6, made here without PyTorch."""

import collections
import pickle

import numpy as np
import pytest
from torch_writer import Storage, Tensor, torch_modules, write

from fashion_keras.errors import UserError
from fashion_keras.models.weights import read_torch_state

NUMBERS = np.arange(12, dtype="<f4")


@pytest.fixture
def torch():
    with torch_modules() as module:
        yield module


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
