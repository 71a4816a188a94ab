"""Models that come with the package: found by name, never changed, and small."""

import keras
import numpy as np
import pytest
from serving.tiny import IMAGE_SIZE, LABELS, save_tiny_run, tiny_model
from test_results_table import load_script

import fashion_keras as fk
from fashion_keras import released
from fashion_keras.data.title_terms import TERMS
from fashion_keras.errors import UserError
from fashion_keras.models.title_model import build_title_model

shrink = load_script("release_model").shrink


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A package with one model, `shop`; and an empty folder to work in."""
    folder = tmp_path / "package"
    save_tiny_run(folder / "shop")
    monkeypatch.setattr(released, "FOLDER", folder)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder / "shop"


def test_a_name_is_a_model_unless_something_here_is_called_so(shop, tmp_path):
    assert released.released_names() == ["shop"]
    assert released.model_place("shop") == shop
    assert fk.load_model("shop").path == shop
    (tmp_path / "here" / "shop").mkdir()
    assert released.model_place("shop") == released.Path("shop")


def test_a_name_that_is_nearly_right_is_answered_with_it(shop):
    with pytest.raises(UserError, match=r"no trained model at shopp.*did you mean 'shop'"):
        fk.load_model("shopp")


@pytest.mark.parametrize("step", [fk.calibrate, fk.retrain])
def test_no_step_changes_it(shop, step, tmp_path):
    before = sorted((path.name, path.read_bytes()) for path in shop.iterdir())
    with pytest.raises(UserError, match=r"shop comes with the package.*--weights shop"):
        step("shop", tmp_path / "records", progress=False)
    assert sorted((path.name, path.read_bytes()) for path in shop.iterdir()) == before


def test_it_is_exported_by_its_name(shop, tmp_path):
    written = fk.export("shop", tmp_path / "models", progress=False)["saved_model"]
    assert (written / "saved_model.pb").is_file()


def test_scores_go_elsewhere(shop, tmp_path):
    from tiny_records import write_tiny_records

    records = tmp_path / "records"
    write_tiny_records(records)
    with pytest.raises(UserError, match="--output DIR"):
        fk.evaluate("shop", records, "test", progress=False)
    with pytest.raises(UserError, match="shop comes with the package"):
        fk.evaluate(
            "shop", records, "test", output=tmp_path / "o", tensorboard=True, progress=False
        )
    assert not (shop / "tensorboard").exists()


def test_half_the_bytes_answer_nearly_the_same(tmp_path):
    model = tiny_model()
    model.save(tmp_path / "whole.keras")
    shrink(tmp_path / "whole.keras", tmp_path / "small.keras")
    small = keras.models.load_model(tmp_path / "small.keras", compile=False)
    assert {v.dtype for v in small.weights} == {"float32"}
    photos = np.random.default_rng(0).integers(0, 255, [4, *IMAGE_SIZE, 3])
    for label in LABELS:
        whole, half = (m.predict(photos, verbose=0)[label] for m in (model, small))
        assert 0 < np.abs(whole - half).max() < 0.01
    sizes = [(tmp_path / f"{name}.keras").stat().st_size for name in ("whole", "small")]
    assert sizes[1] < 0.7 * sizes[0]
    again = tmp_path / "again.keras"
    shrink(tmp_path / "whole.keras", again)
    assert again.read_bytes() == (tmp_path / "small.keras").read_bytes()


def test_next_to_nothing_becomes_nothing(tmp_path):
    kernel = np.random.default_rng(0).normal(scale=0.02, size=[1 + TERMS, 9])
    build_title_model(1, LABELS, np.ones(TERMS), kernel).save(tmp_path / "whole.keras")
    shrink(tmp_path / "whole.keras", tmp_path / "small.keras", 0.05)
    small = keras.models.load_model(tmp_path / "small.keras", compile=False)
    found = small.get_layer("terms").get_weights()[0]
    expected = kernel.astype(np.float16)
    np.testing.assert_array_equal(found, np.where(np.abs(expected) < 0.05, 0, expected))
    sizes = [(tmp_path / f"{name}.keras").stat().st_size for name in ("whole", "small")]
    assert sizes[1] < 0.2 * sizes[0]
