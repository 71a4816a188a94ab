"""Doubtful labels: what was mislabelled on purpose is found, ranked, and can be acted upon."""

import re

import numpy as np
import pytest

from fashion_keras.auditing.label_audit import assign_folds, rank_label_issues
from fashion_keras.auditing.sheets import csv_bytes
from fashion_keras.data.corrections import read_corrections
from fashion_keras.errors import UserError

CLASSES = ("Bags", "Belts", "Shoes", "Ties", "Socks")


@pytest.fixture
def sample():
    """600 photos of four classes, a sure model, and 24 labels that were changed."""
    rng = np.random.default_rng(0)
    right = rng.integers(0, 4, 600)
    logits = rng.normal(0, 0.5, (600, 5))
    logits[np.arange(600), right] += 4
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given, wrong = right.copy(), rng.choice(600, 24, replace=False)
    given[wrong] = (right[wrong] + 1) % 4
    ids = [str(1000 + i) for i in range(600)]
    return ids, given, probabilities.astype(np.float32), right, set(wrong.tolist())


def ranked(sample, **changes):
    ids, given, probabilities, *_ = sample
    return rank_label_issues(
        ids,
        changes.get("splits", ["test"] * len(ids)),
        changes.get("given", given),
        changes.get("probabilities", probabilities),
        "subCategory",
        CLASSES,
    )


def test_labels_changed_on_purpose_are_found_and_others_left_alone(sample):
    found = {int(row["id"]) - 1000 for row in ranked(sample)}
    assert found <= sample[4] and len(found) >= 20


def test_the_true_class_is_suggested(sample):
    for row in ranked(sample):
        index = int(row["id"]) - 1000
        assert row["subCategory"] == CLASSES[sample[3][index]]
        assert row["given"] == CLASSES[sample[1][index]]
        assert row["p_given"] == pytest.approx(sample[2][index, sample[1][index]], abs=1e-5)
        assert row["p_suggested"] == pytest.approx(sample[2][index].max(), abs=1e-5)


def test_the_order_is_that_of_the_given_labels_probability(sample):
    rows = ranked(sample)
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    given = [row["p_given"] for row in rows]
    assert given == sorted(given)


def test_photos_without_a_label_are_not_looked_at(sample):
    given = sample[1].copy()
    unlabelled = sorted(sample[4])[:5]
    given[unlabelled] = -1
    found = {int(row["id"]) - 1000 for row in ranked(sample, given=given)}
    assert found and found <= sample[4] - set(unlabelled)


def test_a_model_that_agrees_leaves_nothing_to_doubt(sample):
    assert ranked(sample, given=sample[3]) == []


def test_one_class_or_no_label_is_refused(sample):
    with pytest.raises(UserError, match="no photo has a value for 'subCategory'"):
        ranked(sample, given=np.full(600, -1))
    with pytest.raises(UserError, match="every photo has the same subCategory"):
        ranked(sample, given=np.zeros(600, int))


def test_the_csv_is_what_convert_relabel_reads(sample, tmp_path):
    rows = ranked(sample)
    (tmp_path / "label_issues.csv").write_bytes(csv_bytes(rows))
    found = read_corrections(None, tmp_path / "label_issues.csv", ["subCategory", "gender"])
    assert found.relabel == {row["id"]: {"subCategory": row["subCategory"]} for row in rows}


def test_labels_that_begin_as_formulas_come_back_as_they_were(tmp_path):
    rows = [
        {"rank": 1, "id": "=7", "given": "Ties", "=label": "@Bags"},
        {"rank": 2, "id": "-8", "given": "Ties", "=label": "'=Shoes"},
    ]
    (tmp_path / "label_issues.csv").write_bytes(csv_bytes(rows))
    text = (tmp_path / "label_issues.csv").read_text()
    assert not [cell for cell in re.split("[,\n]", text) if cell.startswith(("=", "@"))]
    found = read_corrections(None, tmp_path / "label_issues.csv", ["=label"]).relabel
    assert found == {"=7": {"=label": "@Bags"}, "-8": {"=label": "'=Shoes"}}
    excluded = read_corrections(tmp_path / "label_issues.csv", None, []).exclude
    assert excluded == {"=7", "-8"}


# ---- folds ----


def test_folds_hold_every_photo_once_with_classes_in_proportion():
    classes = ["a"] * 60 + ["b"] * 30 + ["c"] * 2
    folds = assign_folds(classes, list(range(92)), 3)
    assert set(folds.tolist()) == {0, 1, 2}
    for name, share in (("a", 20), ("b", 10)):
        counts = np.bincount(folds[np.array(classes) == name], minlength=3)
        assert counts.tolist() == [share] * 3


def test_a_group_is_in_one_fold():
    groups = [i // 3 for i in range(90)]
    folds = assign_folds(["a", "b", "a"] * 30, groups, 5)
    assert all(len(set(folds[i : i + 3].tolist())) == 1 for i in range(0, 90, 3))


def test_more_folds_than_photos_are_refused():
    with pytest.raises(UserError, match="--folds 5: the training split has only 2 photos"):
        assign_folds(["a", "b", "a"], [0, 0, 1], 5)
