"""Runs that take titles: what the title's model learns, and how it stands beside the photo's."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.svm import LinearSVC
from tiny_records import write_tiny_records

from fashion_keras.config import load_config
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.tfrecord import read_records
from fashion_keras.data.title_terms import TERMS, WORDS, read_terms, title_ids
from fashion_keras.decision.parameters import Decision
from fashion_keras.errors import UserError
from fashion_keras.evaluate import evaluate
from fashion_keras.evaluation.calibrating import calibrate_run
from fashion_keras.evaluation.predictions import predict
from fashion_keras.models.title_model import build_title_model
from fashion_keras.retrain import retrain
from fashion_keras.run import load_run, save_title
from fashion_keras.train import train as train_run
from fashion_keras.training.title_fit import fit_titles
from fashion_keras.training.trainer import train

SETTINGS = {
    "model.arch": "tiny",
    "data.image_size": [40, 32],
    "data.augment": "none",
    "data.auxiliary_labels": {"baseColour": 1.0},
    "training.epochs": 4,
    "training.batch_size": 16,
    "training.precision": "float32",
    "optimizer.learning_rate": 1e-2,
    "optimizer.ema": 0.5,
}
SAID = {"Bags": "Tote", "Belts": "Strap", "Shoes": "Loafer"}


pytestmark = pytest.mark.usefixtures("tiny")


def title(number, shape, colour):
    """The shape in other words; every ninth product has no title."""
    return "" if number % 9 == 0 else f"Brand{number % 5} {SAID[shape]} &amp; Co"


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("titles") / "records"
    write_tiny_records(folder, train=96, validation=60, test=30, title=title)
    return folder


@pytest.fixture(scope="module")
def workdir(records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("titled") / "run"
    settings = SETTINGS | {"model.title": True, "decision.flip": True, "training.retrain_epochs": 5}
    train_run(records, folder, settings=settings, progress=False)
    return folder


@pytest.fixture(scope="module")
def run(workdir):
    return load_run(workdir)


def accuracy(run, records, sees, label="subCategory", split="test"):
    found = predict(run, records, split, sees=sees)
    truth = found.truth[label]
    return (found.prediction(label) == truth)[truth >= 0].mean()


# ---- the title's model ----


def test_terms_are_those_of_each_products_text(records):
    info = DatasetInfo.load(records)
    stored = {
        product["id"].decode(): product["title"][0].decode()
        for product in read_records(records, info, "test", [], titles=True).as_numpy_iterator()
    }
    found = read_terms(records, info, "test", ["subCategory"])
    for id, ids in zip(found.product_ids, found.ids, strict=True):
        assert ids.tolist() == title_ids(stored.pop(id))
    assert not stored
    assert found.empty.tolist() == [int(id) % 9 == 0 for id in found.product_ids]


def test_it_answers_as_scikit_learns_tf_idf_and_linear_machine(records):
    """The same, put together from scikit-learn's own parts."""
    info = DatasetInfo.load(records)
    labels = {"subCategory": info.vocabulary("subCategory")}
    model = fit_titles(records, labels)

    train, test = (read_terms(records, info, name, list(labels)) for name in ("train", "test"))

    def counted(ids):
        rows = np.zeros([len(ids), TERMS])
        for row, numbers in zip(rows, ids, strict=True):
            np.add.at(row, numbers[numbers > 0], 1)
        return rows

    weigh = TfidfTransformer().fit(counted(train.ids))
    words = slice(0, WORDS + WORDS - 1)
    rest = slice(words.stop, None)

    def weighed(ids):
        found = [counted(ids[:, part]) for part in (words, rest)]
        assert max(rows.max() for rows in found) == 1  # no term twice: both lengths are the same
        return sum(weigh.transform(rows) for rows in found)

    known = ~train.empty
    machine = LinearSVC(random_state=0)
    machine.fit(weighed(train.ids)[known], train.truth["subCategory"][known])
    expected = machine.decision_function(weighed(test.ids))
    found = model.predict(test.ids, verbose=0)["subCategory"]
    np.testing.assert_allclose(found, expected, atol=2e-3)  # in half precision


def test_a_class_without_a_training_title_is_never_answered(tmp_path):
    folder = tmp_path / "records"
    write_tiny_records(folder, title=lambda number, shape, _: "" if shape == "Bags" else shape)
    labels = {"subCategory": DatasetInfo.load(folder).vocabulary("subCategory")}
    model = fit_titles(folder, labels)
    ids = np.array([title_ids(text) for text in ("Bags", "Belts", "Shoes")])
    said = model.predict(ids, verbose=0)["subCategory"].argmax(axis=1)
    assert said[1:].tolist() == [1, 2] and said[0] != 0


def test_a_product_without_title_gets_the_bias():
    kernel = np.zeros([1 + TERMS, 3], np.float32)
    kernel[-1] = 1, 2, 3
    labels = {"Product Type": ("a", "b"), "title": ("c",)}  # any names may be labels
    model = build_title_model(2, labels, np.ones(TERMS), kernel)
    found = model.predict(np.array([title_ids("", 2)]), verbose=0)
    assert found["Product Type"].tolist() == [[1, 2]] and found["title"].tolist() == [[3]]


# ---- a run ----


def test_training_ends_with_a_model_of_the_title_and_a_decision_for_each(workdir, records):
    stored = json.loads((workdir / "run.json").read_text())["files"]
    assert set(stored["decision-both.json"]["made_from"]) == {"best.keras", "title.keras"}
    assert set(stored["decision-title.json"]["made_from"]) == {"title.keras"}
    for sees in ("title", "both"):
        scored = json.loads(
            (workdir / f"evaluation-validation-{sees}" / "evaluation.json").read_text()
        )
        assert scored["sees"] == sees
        assert f"decision-{sees}.json" in scored["made_from"]
        decision = Decision.load(workdir / f"decision-{sees}.json")
        checked = scored["acceptance"]
        assert (checked is None) == ("subCategory" not in decision.accept)
    served = tf.saved_model.load(str(workdir / "model" / "1"))
    assert {"with_title", "title_only"} <= set(served.signatures)


def test_the_photo_is_answered_as_without_titles(run, records, workdir, tmp_path):
    for name in ("best.keras", "config.yaml", "labels.json", "decision.json"):
        (tmp_path / name).write_bytes((workdir / name).read_bytes())
    alone = load_run(tmp_path)
    assert alone.title is None
    expected = predict(alone, records, "test").logits
    found = predict(run, records, "test").logits
    for label in run.labels:
        np.testing.assert_array_equal(found[label], expected[label])


def test_both_know_more_than_each_alone(run, records):
    """The photo does not learn shapes in four epochs, the title does not name the colour."""
    by = {sees: accuracy(run, records, sees) for sees in ("photo", "title", "both")}
    assert by["both"] >= by["title"] > 0.85 and by["both"] > by["photo"]
    colour = {sees: accuracy(run, records, sees, "baseColour") for sees in ("photo", "title")}
    assert accuracy(run, records, "both", "baseColour") >= colour["photo"] > colour["title"]


def test_a_product_without_text_is_answered_by_its_photo(run, records):
    photo, both = (predict(run, records, "test", sees=sees) for sees in ("photo", "both"))
    rows = [int(id) % 9 == 0 for id in photo.ids]
    assert any(rows) and (both.has_text == np.logical_not(rows)).all()
    for label in run.labels:
        np.testing.assert_allclose(both.logits[label][rows], photo.logits[label][rows], atol=1e-5)


def test_both_are_the_weighted_logits_of_photo_and_title(run, records):
    """With everything else of the decision left out, in NumPy."""
    weights = run.title_decisions["both"].weights
    bare = Decision("subCategory", weights=weights)
    plain = dataclasses.replace(
        run, decision=None, title_decisions={"both": bare, "title": Decision("subCategory")}
    )
    photo, said, both = (
        predict(plain, records, "test", sees=sees) for sees in ("photo", "title", "both")
    )
    for label, pair in weights.items():
        expected = pair.photo * photo.logits[label] + pair.title * said.logits[label]
        rows = both.has_text
        np.testing.assert_allclose(both.logits[label][rows], expected[rows], atol=1e-4)


def test_evaluate_scores_what_it_is_told(workdir, records):
    found = evaluate(workdir, records, "test", sees="both", progress=False)
    assert found.written == (workdir / "evaluation-test-both",)
    assert set(found.result["made_from"]) == {
        "best.keras",
        "title.keras",
        "decision.json",
        "decision-title.json",
        "decision-both.json",
    }


def test_a_run_gets_titles_afterwards(records, tmp_path):
    settings = SETTINGS | {"training.epochs": 1}
    train(load_config(None, settings), records, tmp_path / "run", say=lambda line: None)
    before = (tmp_path / "run" / "best.keras").read_bytes()
    with pytest.raises(UserError, match="takes no titles"):
        predict(load_run(tmp_path / "run"), records, "validation", sees="title")
    found = retrain(tmp_path / "run", records, part="title", progress=False)
    assert accuracy(found, records, "title") > 0.85
    assert (tmp_path / "run" / "best.keras").read_bytes() == before
    assert accuracy(load_run(tmp_path / "run"), records, "both") > 0.85


def test_a_new_model_of_the_title_takes_its_decisions_along(run, records, workdir, tmp_path):
    names = ("best.keras", "config.yaml", "labels.json", "title.keras", "run.json")
    for name in (*names, "decision.json", "decision-title.json", "decision-both.json"):
        (tmp_path / name).write_bytes((workdir / name).read_bytes())
    save_title(tmp_path, fit_titles(records, {k: run.labels[k] for k in reversed(run.labels)}))
    found = load_run(tmp_path)
    assert found.decision is not None and not found.title_decisions
    with pytest.raises(UserError, match=r"not weighed yet.*\n.*calibrate"):
        predict(found, records, "test", sees="both")
    again, _ = calibrate_run(found, records, load_config(None).decision)
    assert set(again.title_decisions) == {"title", "both"}


# ---- what is refused ----


def test_records_without_text_are_refused(records, run, tmp_path):
    plain = tmp_path / "plain"
    write_tiny_records(plain)
    with pytest.raises(UserError, match="--text-column"):
        train_run(plain, tmp_path / "a", settings=SETTINGS | {"model.title": True}, progress=False)
    with pytest.raises(UserError, match="takes 1 column of text"):
        predict(run, plain, "validation", sees="both")


def test_a_title_of_another_run_is_refused(workdir, tmp_path):
    for name in ("best.keras", "config.yaml", "labels.json"):
        (tmp_path / name).write_bytes((workdir / name).read_bytes())
    kernel = np.zeros([1 + TERMS, 2], np.float32)
    build_title_model(1, {"subCategory": ("a", "b")}, np.ones(TERMS), kernel).save(
        tmp_path / "title.keras"
    )
    with pytest.raises(UserError, match=r"other labels or classes.*\n.*--part title"):
        load_run(tmp_path)


def test_a_title_of_another_versions_terms_is_refused(workdir, run, tmp_path, monkeypatch):
    """It would load, and add up weights of other terms."""
    for name in ("best.keras", "config.yaml", "labels.json"):
        (tmp_path / name).write_bytes((workdir / name).read_bytes())
    names = {label: tuple(classes) for label, classes in run.labels.items()}
    kernel = np.zeros([9, sum(map(len, names.values()))], np.float32)
    with monkeypatch.context() as patch:
        patch.setattr("fashion_keras.models.title_model.TERMS", 8)
        patch.setattr("fashion_keras.models.title_model._BIAS", 8)
        build_title_model(1, names, np.ones(8), kernel).save(tmp_path / "title.keras")
    with pytest.raises(UserError, match=r"as another version did.*\n.*--part title"):
        load_run(tmp_path)


def test_an_unknown_part_is_refused(workdir, records):
    with pytest.raises(UserError, match="unknown part 'text': expected heads or title"):
        retrain(workdir, records, part="text", progress=False)
