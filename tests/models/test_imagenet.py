import keras
import numpy as np
import pytest

from fashion_keras.errors import UserError
from fashion_keras.models import imagenet
from fashion_keras.models.registry import build_backbone


def test_failed_download_is_a_line_that_says_what_to_do():
    with (
        pytest.raises(UserError, match=r"cannot download .* from A host: no route\nGo online"),
        imagenet.imagenet_download("A host"),
    ):
        raise ConnectionError("no route\nand a page of detail")


def test_kerashubs_resnet18_computes_the_same_after_carrying_over():
    # 65 and 33 are odd at every stage: there the two libraries' paddings agree.
    keras_hub = pytest.importorskip("keras_hub", reason="the extra [imagenet] is not installed")
    keras.utils.set_random_seed(0)
    source = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[2, 2, 2, 2],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(65, 33, 3),
    )
    for variable in source.variables:  # statistics and scales that differ from 0 and 1
        noise = np.random.default_rng(len(variable.path)).uniform(0.5, 1.5, variable.shape)
        if "bn" in variable.path:
            variable.assign(noise)
    trunk = build_backbone("resnet18", (65, 33), imagenet=False).get_layer("resnet18")
    imagenet.copy_resnet18(source, trunk)
    photos = np.random.default_rng(1).normal(size=(2, 65, 33, 3)).astype("float32")
    np.testing.assert_allclose(
        np.array(trunk(photos)), np.array(source(photos)), rtol=1e-3, atol=1e-4
    )


def test_applications_efficientnet_computes_the_same_after_carrying_over(monkeypatch, tmp_path):
    """With a file of random weights in place of the download, and the stem of the real one."""
    from keras.src.applications import efficientnet as applications

    keras.utils.set_random_seed(0)
    random = keras.applications.EfficientNetB0(include_top=False, weights=None)
    normalisation = next(v for v in random.layers if isinstance(v, keras.layers.Normalization))
    normalisation.set_weights(
        [np.array([0.4, 0.5, 0.6]), np.array([0.05, 0.06, 0.07]), np.array(0)]
    )
    random.save_weights(tmp_path / "b0.weights.h5")
    path = str(tmp_path / "b0.weights.h5")
    monkeypatch.setattr(applications.file_utils, "get_file", lambda *a, **k: path)
    photos = np.random.default_rng(1).uniform(0, 255, (1, 64, 48, 3)).astype("float32")
    source = keras.applications.EfficientNetB0(
        include_top=False, weights="imagenet", input_shape=(64, 48, 3)
    )
    carried = build_backbone("efficientnetb0", (64, 48), imagenet=True)
    assert len(source.layers) == len(carried.layers) + 1
    expected = np.array(source(photos))
    np.testing.assert_allclose(np.array(carried(photos)), expected, rtol=1e-3, atol=1e-8)
    assert np.abs(expected).max() > 1e-7
