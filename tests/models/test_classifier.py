import zipfile

import keras
import numpy as np
import pytest

from fashion_keras.errors import UserError
from fashion_keras.models.classifier import build_classifier, set_trainable
from fashion_keras.models.registry import ARCHITECTURES, build_backbone, check_arch

RNG = np.random.default_rng(0)


# An EfficientNet's graphs take many times as long to trace as ResNet18's.
PARAMS = [
    pytest.param(arch, marks=pytest.mark.slow) if arch.startswith("efficientnet") else arch
    for arch in ARCHITECTURES
]


@pytest.fixture(scope="module", params=PARAMS)
def model(request):
    keras.utils.set_random_seed(0)
    return build_classifier(request.param, (40, 32), {"subCategory": 5, "gender": 2}, dropout=0.1)


def test_takes_uint8_and_float_alike_and_gives_float32_logits_a_label(model):
    photos = RNG.integers(0, 256, (3, 40, 32, 3)).astype("uint8")
    from_bytes = model.predict(photos, verbose=0)
    from_floats = model.predict(photos.astype("float32"), verbose=0)
    assert {k: (v.shape, v.dtype) for k, v in from_bytes.items()} == {
        "subCategory": ((3, 5), np.float32),
        "gender": ((3, 2), np.float32),
    }
    for label, logits in from_bytes.items():
        np.testing.assert_array_equal(logits, from_floats[label])
        assert np.abs(logits.sum(axis=1) - 1).max() > 1e-3  # logits, no probabilities


def test_normalises_inside(model):
    """Photos of [0, 255] reach the first convolution as numbers about 1."""
    photos = np.full((1, 40, 32, 3), 255, "float32")
    backbone = model.get_layer("backbone")
    convolution = next(
        v for v in backbone.layers if isinstance(v, keras.Model | keras.layers.Conv2D)
    )
    before = keras.Model(
        backbone.inputs,
        convolution.input
        if convolution.name == "stem_conv"
        else backbone.get_layer("normalisation").output,
    )
    assert 0.5 < float(np.abs(np.array(before(photos))).max()) < 3


def test_frozen_backbone_stays_to_the_last_statistic_while_heads_train(model):
    set_trainable(model, "heads")
    model.compile("sgd", {k: keras.losses.CategoricalCrossentropy(True) for k in model.output})
    backbone = model.get_layer("backbone")
    state = [v for v in backbone.variables if v.dtype == "float32"]  # no counters of random seeds
    before = [np.array(v) for v in state]
    head = np.array(model.get_layer("gender").kernel)
    photos = RNG.integers(0, 256, (8, 40, 32, 3)).astype("uint8")
    truth = {"subCategory": np.eye(5)[np.arange(8) % 5], "gender": np.eye(2)[np.arange(8) % 2]}
    model.fit(photos, truth, batch_size=4, verbose=0)
    for old, variable in zip(before, state, strict=True):
        np.testing.assert_array_equal(old, np.array(variable), err_msg=variable.path)
    assert not np.array_equal(head, np.array(model.get_layer("gender").kernel))
    set_trainable(model, "all")
    assert len(backbone.trainable_variables) > 50


def test_saves_and_loads_with_keras_alone_to_the_same_logits(model, tmp_path):
    photos = RNG.integers(0, 256, (2, 40, 32, 3)).astype("uint8")
    keras.Model(model.inputs, model.output).save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert b"keras_cv" not in archive.read("config.json")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    expected = model.predict(photos, verbose=0)
    for label, logits in loaded.predict(photos, verbose=0).items():
        np.testing.assert_allclose(logits, expected[label], atol=1e-6)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("image_size", [(32, 32), (80, 60)])
def test_any_size_from_32_pixels(arch, image_size):
    backbone = build_backbone(arch, image_size, imagenet=False)
    assert backbone.input_shape == (None, *image_size, 3)
    assert backbone.output_shape[1] >= 1 and backbone.output_shape[2] >= 1


def test_resnet18_has_the_papers_weights():
    model = build_classifier("resnet18", (64, 64), {"imagenet": 1000})
    # He et al., 2015: 11,689,512 with biases on the classifier, batch normalisation's scale and
    # shift counted as trainable.
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 11_689_512


def test_efficientnetb0_has_the_papers_weights():
    model = build_classifier("efficientnetb0", (64, 64), {"imagenet": 1000})
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 5_288_548


def test_unknown_arch_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        check_arch("resnet-18")


def test_upsampling_shows_the_backbone_what_tensorflow_enlarges():
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    enlarging = build_classifier("resnet18", (20, 16), {"kind": 3}, upsampling=2)
    plain = build_classifier("resnet18", (40, 32), {"kind": 3})
    plain.set_weights(enlarging.get_weights())
    photos = RNG.integers(0, 256, (2, 20, 16, 3)).astype("uint8")
    larger = tf.image.resize(photos, (40, 32), "bilinear")
    np.testing.assert_allclose(
        enlarging(photos)["kind"], plain(larger)["kind"], rtol=1e-4, atol=1e-4
    )


def test_upsampling_in_half_precision_keeps_the_brightnesses_between():
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build_classifier("resnet18", (20, 16), {"kind": 3}, upsampling=2)
    finally:
        keras.mixed_precision.set_global_policy(before)
    enlarged = keras.Model(model.inputs, model.get_layer("upsampling").output)
    photos = np.zeros((1, 20, 16, 3), "uint8")
    photos[:, :, 8:] = 255
    assert {63.75, 191.25} <= set(np.unique(np.asarray(enlarged(photos))).tolist())
