"""Predicting a split: what comes back for each photo, and which records are refused."""

import dataclasses
import functools

import numpy as np
import pytest
from evaluation.fake_run import COUNTS, LABELS, product, write_records, write_run
from scipy.special import softmax
from sklearn.metrics import top_k_accuracy_score

from fashion_keras import progress
from fashion_keras.errors import UserError
from fashion_keras.evaluation.predictions import Predictions, predict
from fashion_keras.run import load_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load_run(write_run(tmp_path_factory.mktemp("runs") / "plain"))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_records(tmp_path_factory.mktemp("records") / "plain")


@pytest.fixture(scope="module")
def predictions(run, records):
    return predict(run, records, "test", batch_size=16)


def products():
    return {product("test", index)[0]: product("test", index) for index in range(COUNTS["test"])}


def test_every_photo_of_the_split_comes_back_once(predictions):
    assert sorted(predictions.ids) == sorted(products())


def test_truth_is_the_records_index_and_minus_one_where_missing(predictions):
    for name, classes in LABELS.items():
        texts = [products()[identifier][2][name] for identifier in predictions.ids]
        expected = [-1 if text is None else classes.index(text) for text in texts]
        np.testing.assert_array_equal(predictions.truth[name], expected)
        assert predictions.truth[name].dtype == np.int64
    assert -1 in predictions.truth["gender"]


def test_logits_are_the_models(predictions):
    colours = np.array([products()[identifier][1] for identifier in predictions.ids]) / 100
    expected = np.column_stack([colours, np.full(len(colours), -10)])
    np.testing.assert_allclose(predictions.logits["subCategory"], expected, rtol=1e-5)
    assert predictions.logits["subCategory"].dtype == np.float32


def test_the_batch_size_does_not_matter(run, records, predictions):
    other = predict(run, records, "test", batch_size=7)
    assert other.ids == predictions.ids
    np.testing.assert_allclose(
        other.logits["subCategory"], predictions.logits["subCategory"], rtol=1e-5
    )


def test_probabilities_are_the_softmax_even_of_large_logits():
    logits = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0]], np.float32)
    found = Predictions("test", ["1", "2"], {}, {"gender": logits}).probabilities("gender")
    np.testing.assert_allclose(found, softmax(logits, axis=1), rtol=1e-5)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_in_top_is_scikit_learns_top_k(k):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(200, 5)).astype(np.float32)
    truth = generator.integers(0, 5, 200)
    found = Predictions("test", [], {"kind": truth}, {"kind": logits}).in_top("kind", k)
    assert found.mean() == top_k_accuracy_score(truth, logits, k=k, labels=range(5))


def test_in_top_counts_the_first_of_equals_as_prediction_does_and_no_missing_label():
    logits = np.zeros((4, 3), np.float32)
    found = Predictions("test", [], {"kind": np.array([0, 1, 2, -1])}, {"kind": logits})
    assert found.in_top("kind", 1).tolist() == [True, False, False, False]
    assert found.in_top("kind", 2).tolist() == [True, True, False, False]
    assert (found.prediction("kind") == 0).all()


def test_progress_draws_a_bar_and_silence_none(run, records, capsys, monkeypatch):
    # A bar draws itself ten times a second, and a fast machine has the twelve photos sooner.
    monkeypatch.setattr(progress, "tqdm", functools.partial(progress.tqdm, mininterval=0))
    predict(run, records, "validation", progress=True)
    assert "12/12" in capsys.readouterr().err
    predict(run, records, "validation")
    assert capsys.readouterr().err == ""


def test_records_with_other_classes_are_refused(run, tmp_path):
    labels = {**LABELS, "subCategory": ("Bags", "Shoes", "Topwear", "Wallets")}
    records = write_records(tmp_path / "other", labels)
    with pytest.raises(UserError) as caught:
        predict(run, records, "test")
    message = str(caught.value)
    assert "only the model: Watches; only the records: Wallets" in message
    assert "other classes of 'subCategory'" in message


def test_records_with_the_classes_in_another_order_are_refused(run, tmp_path):
    labels = {**LABELS, "subCategory": LABELS["subCategory"][::-1]}
    with pytest.raises(UserError, match="the same names in another order"):
        predict(run, write_records(tmp_path / "turned", labels), "test")


def test_an_unknown_split_is_refused(run, records):
    with pytest.raises(UserError, match="unknown split 'tset'"):
        predict(run, records, "tset")


def test_a_model_that_yields_nan_is_refused(run, records):
    class Diverged:
        def predict_on_batch(self, images):
            outputs = run.model.predict_on_batch(images)
            outputs["gender"][3] = np.nan
            return outputs

    with pytest.raises(UserError, match="head 'gender' yields numbers that are not finite"):
        predict(dataclasses.replace(run, model=Diverged()), records, "test")
