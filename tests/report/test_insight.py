"""What a report adds to the scores, from predictions drawn by hand."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import log_loss

from fashion_keras.decision.parameters import Acceptance, Decision
from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.evaluation.results import evaluate_predictions
from fashion_keras.report.insight import automation, calibration, insights, long_tail

CLASSES = ("Bags", "Shoes", "Topwear", "Watches", "Ties")
LABELS = {"kind": CLASSES, "gender": ("Men", "Women")}


def drawn(split, photos, seed):
    """Logits twice as sure as they should be; every 50th photo has no label."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(photos, 5)).astype(np.float32) * 6
    truth = (logits / 2 + generator.gumbel(size=logits.shape)).argmax(axis=1)
    truth[::50] = -1
    gender = generator.integers(0, 2, photos)
    return Predictions(
        split,
        [f"{split}-{index}" for index in range(photos)],
        {"kind": truth, "gender": gender},
        {"kind": logits, "gender": np.eye(2, dtype=np.float32)[gender]},
    )


@pytest.fixture(scope="module")
def scored():
    return drawn("test", 3000, seed=1)


@pytest.fixture(scope="module")
def validation():
    return drawn("validation", 4000, seed=2)


@pytest.fixture(scope="module")
def result(scored):
    counts = {"kind": (5, 50, 500, 5000, 0), "gender": (1, 1)}
    return evaluate_predictions(scored, LABELS, resamples=100, train_counts=counts)


def labelled(predictions):
    known = predictions.truth["kind"] >= 0
    return predictions.logits["kind"][known].astype(np.float64), predictions.truth["kind"][known]


def test_everything_is_ready_for_json_and_the_result_is_kept(scored, validation, result):
    before = json.dumps(result)
    found = insights(scored, validation, result, None)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert json.dumps(result) == before
    heads = {label: {**head} for label, head in found["heads"].items()}
    assert all(head.pop("automation") for head in heads.values())
    assert {**{key: found[key] for key in result}, "heads": heads} == result
    assert set(found) - set(result) == {
        "stratified_interval",
        "calibration",
        "automation",
        "confusions",
        "long_tail",
    }


def test_the_temperature_is_fitted_on_validation_and_scored_here(scored, validation):
    found = calibration(scored, validation, "kind", None)
    assert found["temperature"] == pytest.approx(2, rel=0.1)
    assert (found["fitted_on"], found["num_fitted"], found["built_in"]) == (
        "validation",
        3920,
        False,
    )
    logits, truth = labelled(scored)
    for key, temperature in (("before", 1), ("after", found["temperature"])):
        expected = log_loss(truth, softmax(logits / temperature, axis=1), labels=range(5))
        assert found[key]["nll"] == pytest.approx(expected, rel=1e-6)
    assert found["after"]["ece"] < found["before"]["ece"] / 3


def test_a_temperature_that_is_built_in_is_taken_out_for_before(scored):
    plain = calibration(scored, scored, "kind", None)
    scaled = dataclasses.replace(
        scored, logits={"kind": (scored.logits["kind"] / plain["temperature"])}
    )
    decision = Decision("kind", num_examples=77, temperature={"kind": plain["temperature"]})
    found = calibration(scaled, None, "kind", decision)
    assert (found["built_in"], found["num_fitted"]) == (True, 77)
    for key in ("before", "after"):
        for measure in ("nll", "ece"):
            assert found[key][measure] == pytest.approx(plain[key][measure], rel=1e-4)


def test_without_validation_there_is_no_after(scored, result):
    found = calibration(scored, None, "kind", None)
    assert (found["after"], found["temperature"], found["fitted_on"]) == (None, None, None)
    auto = automation(scored, None, result, None, None)
    assert (auto["threshold"], auto["check"], auto["chosen_on"]) == (None, None, None)


def test_the_threshold_is_validations_and_the_check_this_splits(scored, validation, result):
    found = automation(scored, validation, result, None, 0.05)
    assert found["chosen_on"] == "validation"
    assert not found["is_the_runs_own"]
    for predictions, coverage, error in (
        (validation, found["when_chosen"]["coverage"], found["when_chosen"]["error"]),
        (scored, found["check"]["coverage"], found["check"]["error"]),
    ):
        logits, truth = labelled(predictions)
        probabilities = softmax(logits, axis=1)
        accepted = probabilities.max(axis=1) >= found["threshold"]
        wrong = (probabilities.argmax(axis=1) != truth)[accepted]
        assert coverage == pytest.approx(accepted.mean())
        assert error == pytest.approx(wrong.mean())
    interval = binomtest(int(wrong.sum()), len(wrong)).proportion_ci(method="exact")
    assert (found["check"]["low"], found["check"]["high"]) == pytest.approx(tuple(interval))
    assert found["when_chosen"]["error"] <= 0.05


def test_classes_add_up_to_the_whole(scored, validation, result):
    found = automation(scored, validation, result, None, 0.05)
    assert [row["class"] for row in found["per_class"]] == list(CLASSES)
    for key in ("photos", "accepted", "wrong"):
        assert sum(row[key] for row in found["per_class"]) == found["check"][key]


def test_the_runs_own_threshold_is_taken_and_another_target_chooses_anew(
    scored, validation, result
):
    own = Acceptance(0.9, 0.02, coverage=0.5, error=0.011)
    decision = Decision("kind", accept={"kind": own})
    found = automation(scored, validation, result, decision, None)
    assert (found["threshold"], found["target_error"], found["is_the_runs_own"]) == (
        0.9,
        0.02,
        True,
    )
    assert found["when_chosen"] == {"coverage": 0.5, "error": 0.011}
    other = automation(scored, validation, result, decision, 0.1)
    assert (other["target_error"], other["is_the_runs_own"]) == (0.1, False)
    assert other["threshold"] == automation(scored, validation, result, None, 0.1)["threshold"]


def test_a_decision_about_another_head_lends_no_threshold(scored, validation, result):
    decision = Decision("gender", accept={"gender": Acceptance(0.5, 0.3, 1.0, 0.2)})
    found = insights(scored, validation, result, decision)["automation"]
    assert (found["target_error"], found["is_the_runs_own"]) == (0.01, False)
    both = dataclasses.replace(
        decision, accept=decision.accept | {"kind": Acceptance(0.9, 0.02, 0.5, 0.01)}
    )
    found = insights(scored, validation, result, both)["automation"]
    assert (found["threshold"], found["is_the_runs_own"]) == (0.9, True)


def test_each_further_label_has_its_own_threshold_and_check(scored, validation):
    """The same answers as a second label, with another threshold than the headline's."""

    def doubled(predictions):
        truth, logits = predictions.truth["kind"], predictions.logits["kind"]
        return dataclasses.replace(
            predictions,
            truth={"kind": truth, "again": truth, "none": np.full_like(truth, -1)},
            logits={"kind": logits, "again": logits, "none": logits},
        )

    both = doubled(scored)
    classes = [f"class {index}" for index in range(both.logits["kind"].shape[1])]
    result = evaluate_predictions(both, dict.fromkeys(both.truth, classes), resamples=10)
    accept = {"kind": Acceptance(0.9, 0.02, 0.5, 0.01), "again": Acceptance(0.6, 0.02, 0.9, 0.02)}
    found = insights(both, None, result, Decision("kind", accept=accept))
    again = found["heads"]["again"]["automation"]
    assert (found["automation"]["threshold"], again["threshold"]) == (0.9, 0.6)
    assert again["check"]["accepted"] > found["automation"]["check"]["accepted"]
    assert sum(row["accepted"] for row in again["per_class"]) == again["check"]["accepted"]
    assert found["heads"]["none"] == {"num_examples": 0}
    chosen = insights(both, doubled(validation), result, None)["heads"]["again"]["automation"]
    assert chosen["chosen_on"] == "validation" and not chosen["is_the_runs_own"]


def test_no_good_enough_threshold_says_where_it_was_looked_for(scored, validation, result):
    found = automation(scored, validation, result, None, 1e-6)
    assert (found["threshold"], found["check"], found["chosen_on"]) == (None, None, "validation")


def test_the_curve_ends_with_every_photo(scored, validation, result):
    curve = automation(scored, validation, result, None, None)["curve"]
    assert curve["coverage"][-1] == 1
    assert curve["error"][-1] == pytest.approx(1 - result["accuracy"]["value"])
    assert curve["accepted"][-1] == result["num_examples"]
    assert len(curve["coverage"]) <= 201


def test_classes_are_grouped_by_training_photos():
    def row(train, support, f1, recall):
        return {"train_support": train, "support": support, "f1": f1, "recall": recall}

    found = long_tail(
        [row(3, 2, 0.5, 0.5), row(9, 6, 0.1, 1.0), row(99, 0, 0, 0), row(10, 4, 1, 1)]
    )
    assert [(g["classes"], g["photos"]) for g in found] == [(2, 8), (1, 4), (0, 0), (0, 0)]
    assert found[0]["mean_f1"] == pytest.approx(0.3)
    assert found[0]["recall"] == pytest.approx(7 / 8)
    assert (found[3]["mean_f1"], found[3]["recall"]) == (None, None)


def test_without_training_counts_there_is_no_long_tail():
    assert long_tail([{"train_support": None}]) is None
