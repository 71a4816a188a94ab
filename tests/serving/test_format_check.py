"""The check of small models: its numbers, against numbers made by hand."""

import numpy as np
import pytest
from tiny_records import LABELS, write_tiny_records

from fashion_keras.errors import UserError
from fashion_keras.serving.small_models import (
    BATCH,
    Photos,
    agreement,
    load_photos,
    measure,
    points_lost,
    results_table,
)


def photos(truth):
    """Photos whose first pixel says what a classifier below answers."""
    return Photos(np.zeros((len(truth), 2, 2, 3), np.uint8), {"a": np.array(truth)})


def answering(*classes):
    """A classifier that gives these classes, told which photo it sees by its first pixel."""
    return lambda images: {"a": np.eye(3, dtype=np.float32)[[classes[i[0, 0, 0]] for i in images]]}


def numbered(truth):
    made = photos(truth)
    made.images[:, 0, 0, 0] = np.arange(len(truth))
    return made


def test_accuracy_and_macro_f1_are_those_of_the_photos_that_have_a_label():
    result = measure(answering(0, 0, 1, 2, 2), numbered([0, 1, 1, 2, -1]), 10)
    assert result["accuracy"]["a"] == 0.75
    # By hand: F1 of class 0 is 2/3, of class 1 2/3, of class 2 (the last photo has no label) 1.
    assert result["macro_f1"]["a"] == pytest.approx(7 / 9, abs=1e-6)
    assert result["bytes"] == 10
    assert result["photos_per_second"] > 0 and result["milliseconds_alone"] >= 0


def test_every_photo_is_asked_once_in_order_also_where_the_last_batch_is_short():
    truth = [i % 3 for i in range(2 * BATCH + 5)]
    result = measure(answering(*truth), numbered(truth), 0)
    assert result["predictions"]["a"].tolist() == truth


def test_agreement_counts_photos_without_a_label_too():
    some = numbered([0, 1, 1, -1])
    one = measure(answering(0, 0, 1, 2), some, 0)
    other = measure(answering(0, 1, 1, 0), some, 0)
    assert agreement(one, other) == {"a": 0.5}


def test_points_lost_are_of_the_accuracy_in_percent():
    better, worse = {"accuracy": {"a": 0.94}}, {"accuracy": {"a": 0.925}}
    assert points_lost(better, worse, "a") == pytest.approx(1.5)
    assert points_lost(worse, better, "a") == pytest.approx(-1.5)


def test_the_table_has_a_line_a_format():
    row = {
        "bytes": 5_265_320,
        "accuracy": {"a": 0.9371},
        "macro_f1": {"a": 0.6149},
        "agreement": {"a": 0.985},
        "photos_per_second": 57.3,
        "milliseconds_alone": 18.04,
    }
    lines = results_table({"keras": row, "litert-int8": row}, "a").splitlines()
    assert len(lines) == 3
    assert lines[2].split() == [
        "litert-int8",
        "5.3",
        "MB",
        "0.9371",
        "0.6149",
        "98.50%",
        "57.3",
        "18.0",
        "ms",
    ]
    assert len({len(line) for line in lines[1:]}) == 1


def test_the_table_of_photos_without_the_label_has_a_dash():
    row = {"bytes": 1_000_000, "accuracy": {}, "macro_f1": {}, "agreement": {"a": 1.0}}
    row |= {"photos_per_second": 1.0, "milliseconds_alone": 1.0}
    assert results_table({"keras": row}, "a").splitlines()[1].split()[3:6] == ["–", "–", "100.00%"]


def test_photos_are_the_first_of_the_split_with_their_classes(tmp_path):
    write_tiny_records(tmp_path)
    found = load_photos(tmp_path, "validation", LABELS, (40, 32), "stretch", 9)
    assert found.images.shape == (9, 40, 32, 3) and found.images.dtype == np.uint8
    assert found.truth["subCategory"].tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    # Every seventh product has no colour.
    assert found.truth["baseColour"].tolist() == [0, 1, 0, 1, 0, 1, -1, 1, 0]


def test_records_of_other_classes_are_refused(tmp_path):
    write_tiny_records(tmp_path)
    labels = {"subCategory": ("Bags", "Belts", "Shirts")}
    with pytest.raises(UserError, match="other subCategory classes"):
        load_photos(tmp_path, "validation", labels, (40, 32), "stretch", 9)
