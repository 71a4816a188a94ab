"""Models that see photo and title: what they learn from each, and what they do without."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_records import write_tiny_records

from fashion_keras.config import load_config
from fashion_keras.data import schema
from fashion_keras.data.pipeline import make_dataset
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.tfrecord import read_records, write_shard
from fashion_keras.data.title_terms import title_ids
from fashion_keras.decision.parameters import Decision
from fashion_keras.errors import UserError
from fashion_keras.evaluate import evaluate
from fashion_keras.evaluation.predictions import predict
from fashion_keras.evaluation.results import evaluate_run
from fashion_keras.models.classifier import build_classifier
from fashion_keras.models.registry import ARCHITECTURES
from fashion_keras.run import load_run
from fashion_keras.serving.savedmodel import export_saved_model
from fashion_keras.train import train as train_run
from fashion_keras.training.heads import retrain_heads
from fashion_keras.training.trainer import train

SETTINGS = {
    "model.arch": "tiny",
    "model.title": True,
    "data.image_size": [40, 32],
    "data.augment": "none",
    "data.auxiliary_labels": {"baseColour": 1.0},
    "training.epochs": 12,
    "training.batch_size": 16,
    "training.precision": "float32",
    "optimizer.learning_rate": 1e-2,
    "optimizer.ema": 0.5,
}
SAID = {"Bags": "Tote", "Belts": "Strap", "Shoes": "Loafer"}


@pytest.fixture(autouse=True, scope="module")
def tiny():
    """Register an architecture that trains in no time: none of this depends on which it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "tiny", "tiny_arch")
        yield


def title(number, shape, colour):
    """The shape in other words, which grey photos of one shape would not tell."""
    return "" if number % 9 == 0 else f"Brand{number % 5} {SAID[shape]} &amp; Co"


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("titles") / "records"
    write_tiny_records(folder, train=96, validation=30, test=12, title=title)
    return folder


@pytest.fixture(scope="module")
def run(records, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("titled") / "run"
    train(load_config(None, SETTINGS), records, workdir, say=lambda line: None)
    return load_run(workdir)


def accuracy(run, records, sees, label="subCategory"):
    found = predict(run, records, "validation", sees=sees)
    truth = found.truth[label]
    return (found.prediction(label) == truth)[truth >= 0].mean()


# ---- batches ----


def test_batches_hold_the_terms_of_each_products_text(records):
    info = DatasetInfo.load(records)
    stored = {
        product["id"]: product["title"][0].decode()
        for product in read_records(records, info, "test", ["subCategory"], titles=True)
        .as_numpy_iterator()
    }  # fmt: skip
    batches = make_dataset(
        records, "test", "subCategory", (40, 32), 5, with_ids=True, with_titles=True
    )
    seen = []
    for inputs, _, ids in batches.as_numpy_iterator():
        assert inputs["image"].shape[1:] == (40, 32, 3)
        for id, ids_of_terms in zip(ids, inputs["title_ids"], strict=True):
            assert ids_of_terms.tolist() == title_ids(stored[id])
            seen.append(id)
    assert sorted(seen) == sorted(stored)


@pytest.mark.parametrize("cache", ["none", "encoded", "decoded"])
def test_a_training_photo_keeps_its_own_title(records, cache):
    plain = make_dataset(records, "train", "subCategory", (40, 32), 96, with_titles=True)
    ((inputs, _),) = plain.as_numpy_iterator()
    pairs = {(photo.tobytes(), ids.tobytes()) for photo, ids in zip(*inputs.values(), strict=True)}
    shuffled = make_dataset(
        records, "train", "subCategory", (40, 32), 32, training=True, cache=cache, with_titles=True
    )
    for inputs, _ in shuffled.as_numpy_iterator():
        for photo, ids in zip(inputs["image"], inputs["title_ids"], strict=True):
            assert (photo.tobytes(), ids.tobytes()) in pairs
    assert shuffled.element_spec[0]["title_ids"].shape == (32, 282)


def test_photos_without_titles_are_as_they_were(records):
    images, _ = next(iter(make_dataset(records, "test", "subCategory", (40, 32), 5)))
    assert isinstance(images, tf.Tensor)


# ---- models ----


def test_a_model_without_title_is_what_it_was():
    keras.utils.set_random_seed(0)
    model = build_classifier("tiny", (40, 32), {"kind": 3})
    assert [layer.name for layer in model.layers][1:] == [
        "backbone",
        "features",
        "head_dropout",
        "kind",
    ]
    assert model.input.shape == (None, 40, 32, 3)


def test_a_title_left_out_is_a_constant_whatever_the_share():
    model = build_classifier("tiny", (40, 32), {"kind": 3}, title_columns=1)
    photo = np.random.default_rng(0).integers(0, 255, [2, 40, 32, 3])
    nothing = np.zeros([2, 282], "int32")
    said = np.array([title_ids("Red Shirt"), title_ids("")])
    both = model.predict({"image": photo, "title_ids": said}, verbose=0)["kind"]
    without = model.predict({"image": photo, "title_ids": nothing}, verbose=0)["kind"]
    assert np.abs(both[0] - without[0]).max() > 1e-3
    np.testing.assert_allclose(both[1], without[1], atol=1e-6)


def test_the_photo_alone_answers_as_with_an_empty_title(run, records):
    ((inputs, _),) = make_dataset(
        records, "test", ["subCategory"], (40, 32), 12, with_titles=True
    ).as_numpy_iterator()
    empty = np.zeros_like(inputs["title_ids"])
    expected = run.titled.predict({"image": inputs["image"], "title_ids": empty}, verbose=0)
    found = run.model.predict(inputs["image"], verbose=0)
    for label in run.labels:
        np.testing.assert_allclose(found[label], expected[label], atol=1e-5)
    assert run.features.predict(inputs["image"], verbose=0).shape == (12, 16 + 64)


def test_the_title_alone_depends_on_no_photo(run, records):
    found = predict(run, records, "validation", sees="title")
    ids = [id for id in found.ids if int(id) % 9 == 0]  # without a title
    rows = [found.ids.index(id) for id in ids]
    logits = found.logits["subCategory"][rows]
    assert len(rows) > 1
    np.testing.assert_allclose(logits, np.broadcast_to(logits[0], logits.shape), atol=1e-5)


def test_a_label_may_be_called_title(records):
    model = build_classifier("tiny", (40, 32), {"title": 3, "photo": 2}, title_columns=1)
    assert {name: x.shape[1] for name, x in model.output.items()} == {"title": 3, "photo": 2}


def test_a_label_may_be_called_as_a_layer_is(records):
    plain = build_classifier("tiny", (40, 32), {"kind": 3}, title_columns=1)
    labels = {layer.name: 2 for layer in plain.layers if layer.name != "kind"}
    model = build_classifier("tiny", (40, 32), labels, title_columns=1)
    assert set(model.output) == set(labels)


# ---- learning ----


def test_a_model_learns_from_the_title_what_the_photo_does_not_show(tmp_path):
    """Photos are all of one colour, and the title says which was meant."""
    folder = tmp_path / "records"
    write_tiny_records(
        folder,
        train=96,
        validation=30,
        called=("shown", "meant"),
        title=lambda number, shape, colour: f"A thing in {colour or 'no colour'}",
    )
    grey(folder)
    config = load_config(
        None, SETTINGS | {"data.label": "meant", "data.auxiliary_labels": {"shown": 1.0}}
    )
    train(config, folder, tmp_path / "run", say=lambda line: None)
    found = load_run(tmp_path / "run")
    assert accuracy(found, folder, "both", "meant") > 0.95
    assert accuracy(found, folder, "title", "meant") > 0.95
    assert accuracy(found, folder, "photo", "meant") < 0.8
    assert accuracy(found, folder, "photo", "shown") > accuracy(found, folder, "title", "shown")


def grey(folder):
    """Take the colour out of every photo of some records."""
    info = DatasetInfo.load(folder)
    splits = {}
    for name, split in info.splits.items():
        shards = []
        for shard in split.shards:
            path = folder / shard.file
            examples = []
            for raw in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                example = tf.train.Example.FromString(raw)
                encoded = example.features.feature[schema.IMAGE].bytes_list
                pixels = tf.image.rgb_to_grayscale(tf.io.decode_jpeg(encoded.value[0], 3))
                pixels = tf.cast(pixels > 200, tf.uint8) * 255  # both colours are as dark then
                encoded.value[0] = tf.io.encode_jpeg(tf.image.grayscale_to_rgb(pixels)).numpy()
                examples.append(example.SerializeToString(deterministic=True))
            shards.append(write_shard(path, examples))
        splits[name] = dataclasses.replace(split, shards=tuple(shards))
    dataclasses.replace(info, splits=splits).save(folder)


def test_each_alone_and_both_are_scored(run, records):
    for sees in ("photo", "title", "both"):
        result, _ = evaluate_run(run, records, "validation", resamples=20, sees=sees)
        assert result["sees"] == sees
    assert accuracy(run, records, "both") > 0.9


def test_a_decision_is_of_the_photo_alone(run, records):
    decided = dataclasses.replace(
        run, decision=Decision("subCategory", temperature={"subCategory": 2.0})
    )
    for sees, factor in (("photo", 2.0), ("title", 1.0), ("both", 1.0)):
        plain = predict(run, records, "test", sees=sees).logits["subCategory"]
        found = predict(decided, records, "test", sees=sees).logits["subCategory"]
        np.testing.assert_allclose(found, plain / factor, atol=1e-5)


# ---- the steps around it ----


def test_a_resumed_run_is_the_uninterrupted_one(records, tmp_path, monkeypatch):
    settings = SETTINGS | {"training.epochs": 3}
    config = load_config(None, settings)
    whole = train(config, records, tmp_path / "whole", say=lambda line: None)
    part = dict(settings)
    monkeypatch.setattr(keras.callbacks.EarlyStopping, "on_epoch_end", stop_after(2))
    with pytest.raises(KeyboardInterrupt):
        train(load_config(None, part), records, tmp_path / "part", say=lambda line: None)
    monkeypatch.undo()
    resumed = train(config, records, tmp_path / "part", say=lambda line: None)
    assert [row["val_loss"] for row in resumed.history] == pytest.approx(
        [row["val_loss"] for row in whole.history], rel=1e-4
    )


def stop_after(epochs):
    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == epochs:
            raise KeyboardInterrupt

    return on_epoch_end


def test_a_whole_run_is_scored_calibrated_and_exported_for_the_photo(records, tmp_path):
    settings = SETTINGS | {"training.epochs": 1, "decision.flip": True}
    found = train_run(records, tmp_path / "run", settings=settings, progress=False)
    assert found.titled is not None and found.decision is not None
    assert "sees" in json.loads((tmp_path / "run" / "evaluation.json").read_text())
    for sees in ("title", "both"):
        place = tmp_path / "run" / f"evaluation-validation-{sees}"
        stored = json.loads((place / "evaluation.json").read_text())
        assert stored["sees"] == sees and "decision.json" not in stored["made_from"]
    again = evaluate(tmp_path / "run", records, "validation", sees="both", progress=False)
    assert again.written == (place,)
    assert again.accuracy == stored["accuracy"]["value"]
    with pytest.raises(UserError, match="leave --report"):
        evaluate(tmp_path / "run", records, "validation", sees="both", report=tmp_path / "r")
    served = tf.saved_model.load(str(export_saved_model(found, tmp_path / "served")))
    assert list(served.signatures["serving_default"].structured_input_signature[1]) == [
        "image_bytes"
    ]
    with pytest.raises(UserError, match="takes titles"):
        retrain_heads(found, records, epochs=1)


def test_what_does_not_go_with_titles_is_refused(records, tmp_path):
    plain = tmp_path / "plain"
    write_tiny_records(plain)
    with pytest.raises(UserError, match="--text-column"):
        train_run(plain, tmp_path / "a", settings=SETTINGS, progress=False)
    with pytest.raises(UserError, match=r"data\.mixup"):
        train_run(records, tmp_path / "b", settings=SETTINGS | {"data.mixup": 0.2}, progress=False)


def test_other_records_than_those_with_its_text_are_refused(run, tmp_path):
    plain = tmp_path / "plain"
    write_tiny_records(plain)
    with pytest.raises(UserError, match="takes 1 column of text"):
        predict(run, plain, "validation", sees="both")


def test_a_run_of_photos_alone_is_shown_no_title(records, tmp_path):
    settings = SETTINGS | {"model.title": False, "training.epochs": 1}
    train(load_config(None, settings), records, tmp_path / "run", say=lambda line: None)
    with pytest.raises(UserError, match="takes no titles"):
        predict(load_run(tmp_path / "run"), records, "validation", sees="title")
