import keras
import numpy as np
import pytest
from hosted_weights import HOSTS, point_applications_to, serving, write_applications_file

from fashion_keras.errors import UserError
from fashion_keras.models.registry import (
    ARCHITECTURES,
    build_backbone,
    check_imagenet,
    imagenet_host,
)
from fashion_keras.models.weights import imagenet_download


def test_failed_download_is_a_line_that_says_what_to_do():
    with (
        pytest.raises(UserError, match=r"cannot download .* from A host: no route\nGo online"),
        imagenet_download("A host"),
    ):
        raise ConnectionError("no route\nand a page of detail")


# Odd at every stage, where KerasCV's and KerasHub's paddings agree.
SIZE = (65, 33)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_an_architecture_has_imagenet_weights_that_are_tested_or_none(arch):
    if imagenet_host(arch):
        assert arch in HOSTS, "put its host's stand-in into hosted_weights.py"
    else:
        with pytest.raises(UserError, match=f"no ImageNet weights for {arch}"):
            check_imagenet(arch)


def test_an_architecture_without_imagenet_weights_is_refused_them(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "tiny", "tiny_arch")
    with pytest.raises(
        UserError, match="no ImageNet weights for tiny, only for efficientnetb0, eff"
    ):
        build_backbone("tiny", (40, 32), imagenet=True)


@pytest.mark.parametrize("arch", filter(imagenet_host, ARCHITECTURES))
def test_every_weight_is_the_hosts_and_the_features_are_its_own_models(arch, tmp_path, monkeypatch):
    reference = HOSTS[arch](tmp_path, SIZE, monkeypatch)
    built = []
    for imagenet in (True, False):
        keras.utils.set_random_seed(1)  # a weight that is not carried is then the same in both
        built.append(build_backbone(arch, SIZE, imagenet=imagenet))
    backbone, plain = built
    assert len(backbone.weights) > 50
    for variable, initial in zip(backbone.weights, plain.weights, strict=True):
        if not variable.path.endswith("count"):  # of an adapted Normalization, never read
            assert (np.array(variable) != np.array(initial)).all(), variable.path
    photos = np.random.default_rng(1).integers(0, 256, (2, *SIZE, 3)).astype("float32")
    expected = np.array(reference(photos))
    found = np.array(backbone(photos, training=False))
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_efficientnetb0_downloads_keras_applications_real_file_once(tmp_path, monkeypatch):
    file = write_applications_file(tmp_path)
    (tmp_path / "cache").mkdir()
    with serving(tmp_path) as (address, asked):
        point_applications_to(file, address, tmp_path / "cache", monkeypatch)
        build_backbone("efficientnetb0", (64, 48), imagenet=True)
    assert asked == ["/efficientnetb0_notop.h5"]
    assert (tmp_path / "cache/models/efficientnetb0_notop.h5").read_bytes() == file.read_bytes()
