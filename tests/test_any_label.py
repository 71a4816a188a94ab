"""A shop's own columns may be called anything: trained, scored and served all the same."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tiny_records import LABELS, SHAPES, draw, write_tiny_records

from fashion_keras.evaluate import main as evaluate_main
from fashion_keras.export import main as export_main
from fashion_keras.models.classifier import head_name
from fashion_keras.train import main as train_main

KIND, COLOUR = "Product/Type (größe)", "features"  # and `features` is a layer of ours


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_tiny_records(folder, called=(KIND, COLOUR))
    return folder


@pytest.fixture(scope="module")
def run(tiny, records, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "run"
    config = workdir.parent / "config.yaml"
    settings = {
        "data": {"label": KIND, "image_size": [40, 32], "auxiliary_labels": {COLOUR: 0.5}},
        "model": {"arch": "tiny"},
        "training": {"epochs": 1, "batch_size": 16, "retrain_epochs": 5},
    }
    config.write_text(json.dumps(settings))
    options = ("--config", config, "--data", records, "--workdir", workdir)
    assert train_main([str(option) for option in options]) == 0
    return workdir


def test_its_savedmodel_names_its_classes(run):
    served = tf.saved_model.load(str(run / "model" / "1")).signatures["serving_default"]
    photo = draw("Bags", "Red", np.random.default_rng(0), 40, 32)
    answer = served(tf.constant([photo]))
    assert {name.decode() for name in answer["classes"].numpy()[0]} == set(SHAPES)


@pytest.mark.parametrize("label", [KIND, COLOUR])
def test_each_head_is_reported(run, records, label, tmp_path):
    options = ("--model", run, "--data", records, "--split", "test", "--label", label)
    options += ("--resamples", 20)
    assert evaluate_main([*map(str, options), "--report", str(tmp_path / "report")]) == 0
    found = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert found["label"] == label and 0 <= found["accuracy"]["value"] <= 1
    folder = {KIND: "evaluation-test", COLOUR: "evaluation-test-features"}
    assert json.loads((run / folder[label] / "evaluation.json").read_text())["label"] == label


def test_a_small_model_gives_its_heads_by_their_labels(run, records, tmp_path, capsys):
    options = ("--model", run, "--output", tmp_path, "--data", records, "--format", "litert")
    assert export_main([str(option) for option in options]) == 0
    assert "100.00%" in capsys.readouterr().out  # of photos classed as by Keras


def test_a_layer_has_the_labels_name_where_it_can():
    assert [head_name(label) for label in LABELS] == list(LABELS)
    awkward = ("Größe", "Grösse", "a b", "a/b", "a:b", "image", "features", "backbone", "")
    names = [head_name(label) for label in awkward]
    assert len(set(names)) == len(names) and not set(names) & set(awkward)
    for name in names:
        with tf.Graph().as_default(), tf.name_scope(name):  # which raises if it is none
            tf.constant(0)
