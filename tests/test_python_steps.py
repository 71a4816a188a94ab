"""The steps from Python: what docs/python.md shows, and the same as the command line's."""

import io
import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from finished_run import SETTINGS
from PIL import Image
from tiny_records import SHAPES, draw

import fashion_keras as fk
from fashion_keras.cli import main
from fashion_keras.models.registry import ARCHITECTURES

TIMES = ("seconds", "photos_per_second")


@pytest.fixture(scope="module")
def shop(finished):
    """A catalogue of three easy shapes in two colours."""
    return finished / "shop"


@pytest.fixture(scope="module")
def made(finished, tmp_path_factory):
    """Records and a run, made from Python."""
    run = shutil.copytree(finished / "run", tmp_path_factory.mktemp("python") / "run")
    return finished / "records", fk.load_run(run)


def test_a_run_from_python_is_that_of_the_command_line(shop, made, tmp_path, capsys):
    records, run = made
    columns = ("--image-column", "photo", "--label-column", "kind", "--label-column", "colour")
    asked = ["convert", "--source", shop, *columns, "--output", tmp_path / "records"]
    assert main([str(word) for word in asked]) == 0
    for shard in tmp_path.glob("records/*.tfrecord"):
        assert shard.read_bytes() == (records / shard.name).read_bytes()
    settings = [f"--set={key}={json.dumps(value)}" for key, value in SETTINGS.items()]
    options = ("--arch", "tiny", "--label", "kind", "--epochs", "2", *settings)
    asked = ["train", "--data", records, "--workdir", tmp_path / "run", *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "tiny", "tiny_arch")
        assert main([str(word) for word in asked]) == 0
    other = fk.load_run(tmp_path / "run")
    assert other.config == run.config and other.labels == run.labels
    pd.testing.assert_frame_equal(
        other.history.drop(columns=[*TIMES]), run.history.drop(columns=[*TIMES])
    )
    for mine, theirs in zip(run.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert other.decision == run.decision


def test_an_evaluation_has_its_figures_and_tables(made):
    records, run = made
    scores = fk.evaluate(run, records, "test", resamples=20, progress=False)
    photos = scores.photos
    assert scores.accuracy == pytest.approx((photos.truth == photos.prediction).mean())
    assert list(scores.per_class["class"]) == list(SHAPES)
    assert "accuracy" in str(scores)
    assert (run.path / "evaluation-test" / "evaluation.json").is_file()


def test_photos_are_tagged_into_a_table(made, shop, tmp_path):
    _, run = made
    tags = fk.predict(shop, run.path / "model", progress=False)
    assert len(tags) == 72 and set(tags["kind"]) <= set(SHAPES)
    assert tags["error"].isna().all() and tags["kind_score"].between(0, 1).all()
    sure = fk.predict(shop, run.path / "model", threshold=0.0, progress=False)
    assert set(sure["kind_decision"]) == {"accept"}
    fk.predict(shop, run.path / "model", output=tmp_path / "tags.csv", progress=False)
    written = pd.read_csv(tmp_path / "tags.csv")
    assert list(written["kind"]) == list(tags["kind"])


def test_a_step_says_what_is_wrong_as_an_exception(made, tmp_path):
    records, run = made
    with pytest.raises(fk.UserError, match="not empty"):
        fk.train(records, run.path, arch="resnet18", label="kind")
    with pytest.raises(fk.UserError, match="does not exist"):
        fk.convert(tmp_path / "nothing", tmp_path / "records")
    with pytest.raises(fk.UserError, match="is an address"):
        fk.evaluate(run, "ftp://shop/records", "test")
    with pytest.raises(fk.UserError, match="a recipe and a config"):
        fk.train(records, recipe="resnet18", config="mine.yaml")


def test_a_config_object_is_taken(made, tmp_path):
    records, run = made
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "tiny", "tiny_arch")
        with pytest.raises(fk.UserError, match="no trained model at nowhere"):
            fk.train(records, tmp_path / "run", config=run.config, weights="nowhere")


def test_the_parts_work_in_a_keras_script(made):
    records, _ = made
    train = fk.make_dataset(records, "train", ["kind"], (40, 32), 16, training=True)
    validation = fk.make_dataset(records, "validation", ["kind"], (40, 32), 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "tiny", "tiny_arch")
        model = fk.build_classifier("tiny", (40, 32), {"kind": 3})
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile("adam", {"kind": loss})
    fitted = model.fit(
        train, validation_data=validation, epochs=2, verbose=0, callbacks=[fk.MacroF1()]
    )
    assert len(fitted.history["val_macro_f1"]) == 2
    photo = Image.open(io.BytesIO(draw("Bags", "Red", np.random.default_rng(0), 40, 32)))
    logits = model.predict(np.asarray(photo, np.float32)[None], verbose=0)
    assert logits["kind"].shape == (1, 3)
