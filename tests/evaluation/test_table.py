"""The table on the screen."""

import copy

import numpy as np
import pytest

from fashion_keras.evaluation.files import table
from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.evaluation.results import evaluate_predictions
from fashion_keras.metrics import METRICS

LABELS = {"subCategory": ("Bags", "Shoes", "Topwear", "Watches"), "gender": ("Men", "Women")}


@pytest.fixture(scope="module")
def result():
    generator = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [20, 1500, 80])
    predicted = np.where(generator.random(1600) < 0.8, truth, 1)
    found = Predictions(
        "test",
        [str(index) for index in range(1600)],
        {"subCategory": truth, "gender": np.full(1600, -1)},
        {
            "subCategory": np.eye(4, dtype=np.float32)[predicted],
            "gender": np.zeros((1600, 2), np.float32),
        },
    )
    counts = {"subCategory": (100, 7000, 400, 3)}
    return evaluate_predictions(found, LABELS, resamples=300, train_counts=counts)


def test_headline_lines_give_value_and_interval(result):
    line = next(line for line in table(result).splitlines() if line.startswith("accuracy"))
    score = result["accuracy"]
    assert line.split() == [
        "accuracy",
        f"{score['value']:.4f}",
        f"{score['low']:.4f}",
        "–",
        f"{score['high']:.4f}",
    ]


def test_both_macro_f1s_say_how_many_classes_they_average(result):
    assert "macro-F1, the 3 classes that occur" in table(result)
    assert "macro-F1, all 4 classes" in table(result)


def test_classes_are_sorted_by_support_and_aligned(result):
    lines = table(result).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("class "))
    rows = lines[start : start + 4]
    assert [row.split()[0] for row in rows] == ["class", "Shoes", "Topwear", "Bags"]
    assert rows[1].split()[1] == "1,500"
    assert rows[1].split()[-1] == "7,000"
    assert len({len(row) for row in rows}) == 1


def test_classes_that_do_not_occur_are_named_below(result):
    assert table(result).splitlines()[-1] == "1 of 4 classes do not occur: Watches"


def test_a_head_without_labels_has_dashes(result):
    line = next(line for line in table(result).splitlines() if line.startswith("gender"))
    assert line.split() == ["gender", "0", *["–"] * 6]


def test_each_label_tells_what_is_accepted_and_how_much_of_that_is_wrong(result):
    accept = {"threshold": 0.9, "target_error": 0.01, "coverage": 0.925, "accepted": 1480}
    accept |= {"error": 0.0123, "low": 0.008, "high": 0.0189}
    head = {key: result[key] for key in ("num_examples", *(metric.key for metric in METRICS))}
    found = {**result, "acceptance": accept, "heads": {"use": {**head, "acceptance": accept}}}
    lines = table(found).splitlines()
    assert (
        "accepted from 0.9000: 92.5% of the photos, 1.23% wrong (0.80% – 1.89%); "
        "the target is 0.01" in lines
    )
    at = next(number for number, line in enumerate(lines) if line.startswith("other labels"))
    heads, use = lines[at : at + 2]
    assert heads.split()[-2:] == ["accepted", "wrong"]
    assert use.split()[0] == "use" and use.split()[-2:] == ["92.5%", "1.23%"]
    nothing = {**accept, "accepted": 0, "coverage": 0.0, "error": None, "low": None, "high": None}
    assert "0.0% of the photos, – wrong; the" in table({**found, "acceptance": nothing})


def test_a_value_outside_its_interval_is_explained(result):
    assert "outside its interval" not in table(result)
    shifted = copy.deepcopy(result)
    shifted["macro_f1_all"]["high"] = shifted["macro_f1_all"]["value"] - 0.01
    assert "outside its interval" in table(shifted)
