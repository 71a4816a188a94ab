import keras
import numpy as np
import pytest

from fashion_keras.errors import UserError
from fashion_keras.models.classifier import build_classifier
from fashion_keras.models.weights import load_weights


@pytest.fixture(scope="module")
def source():
    keras.utils.set_random_seed(1)
    return build_classifier("resnet18", (32, 32), {"subCategory": 3, "gender": 2})


def target(classes):
    keras.utils.set_random_seed(2)
    return build_classifier("resnet18", (32, 32), {"subCategory": classes})


def kernels(model, layer="v2_stack_3_block2_2_conv"):
    trunk = model.get_layer("backbone").get_layer("resnet18")
    return np.array(trunk.get_layer(layer).kernel)


@pytest.mark.parametrize("name", ["m.keras", "run/best.keras", "m.weights.h5"])
def test_loads_the_backbone_and_reports_the_head_that_does_not_fit(source, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if name.endswith(".h5"):  # names layers by position: the same heads are needed
        source = build_classifier("resnet18", (32, 32), {"subCategory": 3})
        source.save_weights(path)
    else:
        source.save(path)
    model = target(classes=4)
    head = np.array(model.get_layer("subCategory").kernel)
    result = load_weights(model, path.parent if name.startswith("run") else path)
    np.testing.assert_array_equal(kernels(model), kernels(source))
    np.testing.assert_array_equal(head, np.array(model.get_layer("subCategory").kernel))
    assert result.kept == ("subCategory",)
    assert "subCategory" in result.summary() and str(len(result.loaded)) in result.summary()


def test_loads_a_head_of_the_same_label_and_shape(source, tmp_path):
    source.save(tmp_path / "m.keras")
    model = target(classes=3)
    assert load_weights(model, tmp_path / "m.keras").kept == ()
    np.testing.assert_array_equal(
        np.array(model.get_layer("subCategory").kernel),
        np.array(source.get_layer("subCategory").kernel),
    )


def test_weights_of_which_nothing_fits_are_refused(source, tmp_path):
    source.save_weights(tmp_path / "m.weights.h5")
    other = build_classifier("efficientnetb0", (32, 32), {"subCategory": 3})
    with pytest.raises(UserError, match="another --arch"):
        load_weights(other, tmp_path / "m.weights.h5")


def test_a_model_of_another_arch_is_refused_whatever_layers_it_shares(source, tmp_path):
    source.save(tmp_path / "m.keras")
    other = keras.Model(source.input, source.output, name="efficientnetb0")
    with pytest.raises(UserError, match="of resnet18, the model to train is efficientnetb0"):
        load_weights(other, tmp_path / "m.keras")


def test_missing_foreign_and_misnamed_files_are_refused(source, tmp_path):
    model = target(3)
    (tmp_path / "no.keras").write_text("not a model")
    (tmp_path / "no.weights.h5").write_text("not a model")
    (tmp_path / "w.bin").write_text("")
    for name, expected in [
        ("gone.keras", "no weights at"),
        ("no.keras", "cannot load"),
        ("no.weights.h5", "cannot load"),
        ("w.bin", "expected a name"),
    ]:
        with pytest.raises(UserError, match=expected):
            load_weights(model, tmp_path / name)
