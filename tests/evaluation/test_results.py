"""The dict that an evaluation's JSON holds, from predictions made by hand."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as sklearn

from fashion_keras.decision.parameters import Acceptance
from fashion_keras.errors import UserError
from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.evaluation.results import evaluate_predictions

LABELS = {"subCategory": ("Bags", "Shoes", "Topwear", "Watches"), "gender": ("Men", "Women")}
TRUTH = np.array([0, 0, 1, 1, 1, 2, -1, 0])
PREDICTED = np.array([0, 1, 1, 1, 2, 2, 2, 0])
GENDER = np.array([0, 1, -1, -1, 1, 0, 0, 1])


def predictions(truth=TRUTH, gender=GENDER):
    return Predictions(
        "test",
        [str(index) for index in range(8)],
        {"subCategory": truth, "gender": gender},
        {
            "subCategory": np.eye(4, dtype=np.float32)[PREDICTED] * 3,
            "gender": np.eye(2, dtype=np.float32)[[0, 1, 0, 0, 1, 0, 0, 0]],
        },
    )


@pytest.fixture(scope="module")
def result():
    counts = {"subCategory": (10, 20, 30, 0), "gender": (5, 6)}
    return evaluate_predictions(predictions(), LABELS, resamples=200, train_counts=counts)


def test_headline_scores_are_scikit_learns_over_the_labelled_photos(result):
    truth, predicted = TRUTH[TRUTH >= 0], PREDICTED[TRUTH >= 0]
    assert result["label"] == "subCategory"
    assert result["num_examples"] == 7
    assert result["num_unlabelled"] == 1
    assert result["accuracy"]["value"] == pytest.approx(sklearn.accuracy_score(truth, predicted))
    for key, options in {
        "macro_f1": {"average": "macro"},
        "macro_f1_all": {"average": "macro", "labels": range(4), "zero_division": 0},
        "weighted_f1": {"average": "weighted"},
    }.items():
        expected = sklearn.f1_score(truth, predicted, **options)
        assert result[key]["value"] == pytest.approx(expected), key


def test_every_score_has_an_interval_between_0_and_1(result):
    for head in (result, result["heads"]["gender"]):
        for key in ("accuracy", "macro_f1", "macro_f1_all", "weighted_f1"):
            assert 0 <= head[key]["low"] < head[key]["high"] <= 1
        top = head["top_3_accuracy"]
        assert 0 <= top["low"] <= top["value"] <= top["high"] <= 1
    assert result["interval"]["resamples"] == 200


def test_per_class_rows_hold_support_predictions_and_training_photos(result):
    rows = {row["class"]: row for row in result["per_class"]}
    assert list(rows) == list(LABELS["subCategory"])
    assert rows["Shoes"] == {
        "class": "Shoes",
        "support": 3,
        "predicted": 3,
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(2 / 3),
        "train_support": 20,
    }
    assert rows["Watches"]["f1"] == 0


def test_training_photos_are_null_where_unknown():
    result = evaluate_predictions(predictions(), LABELS, resamples=10)
    assert result["per_class"][0]["train_support"] is None


def test_other_heads_are_scored_too(result):
    assert list(result["heads"]) == ["gender"]
    assert result["heads"]["gender"]["accuracy"]["value"] == pytest.approx(5 / 6)
    assert result["heads"]["gender"]["confusion_matrix"]["counts"] == [[3, 0], [1, 2]]


def test_a_label_with_a_threshold_tells_what_it_accepts_and_how_much_is_wrong():
    accept = {"gender": Acceptance(0.5, 0.02, coverage=1.0, error=0.01)}
    found = evaluate_predictions(predictions(), LABELS, resamples=10, accept=accept)
    assert found["acceptance"] is None
    gender = found["heads"]["gender"]["acceptance"]
    assert (gender["threshold"], gender["target_error"]) == (0.5, 0.02)
    assert (gender["photos"], gender["accepted"], gender["wrong"]) == (6, 6, 1)
    assert gender["error"] == pytest.approx(1 / 6)
    interval = binomtest(1, 6).proportion_ci(method="exact")
    assert (gender["low"], gender["high"]) == pytest.approx((interval.low, interval.high))
    accept = {"subCategory": Acceptance(1.0, 0.01, coverage=0.5, error=0.0)}
    nothing = evaluate_predictions(predictions(), LABELS, resamples=10, accept=accept)
    assert nothing["acceptance"]["accepted"] == 0 and nothing["acceptance"]["error"] is None
    assert nothing["heads"]["gender"]["acceptance"] is None


def test_the_result_survives_json(result):
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_split_without_the_headline_label_is_the_users_to_mend():
    with pytest.raises(UserError, match=r"'test' has a value for 'subCategory'"):
        evaluate_predictions(predictions(truth=np.full(8, -1)), LABELS)


def test_another_head_without_labels_counts_no_examples():
    result = evaluate_predictions(predictions(gender=np.full(8, -1)), LABELS, resamples=10)
    assert result["heads"] == {"gender": {"num_examples": 0}}
