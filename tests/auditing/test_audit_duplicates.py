"""Near-duplicates within and across splits: counts by hand on photos that are known twins."""

import dataclasses
import json

import numpy as np
import pytest
from drawn_catalogue import encode
from drawn_products import product
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score

from fashion_keras.audit import main
from fashion_keras.auditing.duplicate_audit import scores_with_and_without
from fashion_keras.auditing.label_audit import folds_of
from fashion_keras.auditing.pairs import (
    RecordedPhotos,
    conflicts,
    duplicates_report,
    has_near_duplicate_in,
    pair_rows,
    photo_bytes,
    read_photos,
)
from fashion_keras.data.near_duplicates import Pairs, find_pairs, hash_photos
from fashion_keras.data.schema import SCHEMA_VERSION, DatasetInfo, SplitInfo
from fashion_keras.data.tfrecord import Record, shard_name, to_example, write_shard
from fashion_keras.errors import UserError

# id, split, seed of the photo, JPEG quality, kind. 1, 2 and 7 are twins, 3 and 8, 5 and 6.
PHOTOS = (
    ("1", "train", 1, 92, "Hat"),
    ("2", "train", 1, 92, "Shoe"),
    ("3", "train", 2, 92, "Hat"),
    ("4", "train", 3, 92, "Hat"),
    ("5", "validation", 4, 92, "Shoe"),
    ("6", "test", 4, 60, ""),
    ("7", "test", 1, 92, "Hat"),
    ("8", "test", 2, 92, "Hat"),
    ("9", "test", 5, 92, "Shoe"),
)
KINDS = ("Hat", "Shoe")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_records(tmp_path_factory.mktemp("twins"))


def write_records(folder, damaged=None, groups=None):
    """Write `PHOTOS`, that with the id `damaged` as bytes that are no photo.

    `groups` are those of ids, where there is a column of groups.
    """
    folder.mkdir(exist_ok=True)
    splits = {}
    for split in ("train", "validation", "test"):
        some = [row for row in PHOTOS if row[1] == split]
        examples = [
            to_example(
                Record(
                    id,
                    "",
                    b"?" if id == damaged else encode(product(seed), quality=quality),
                    80,
                    60,
                    {"kind": kind or None},
                    None if groups is None else groups.get(id, ""),
                ),
                {"kind": {name: i for i, name in enumerate(KINDS)}},
            )
            for id, _, seed, quality, kind in some
        ]
        shard = write_shard(folder / shard_name(split, 0, 1), examples)
        counts = tuple(sum(row[4] == name for row in some) for name in KINDS)
        splits[split] = SplitInfo(len(some), (shard,), {"kind": counts})
    DatasetInfo(SCHEMA_VERSION, {"kind": KINDS}, splits, {}, {}, {"strategy": "own"}, {}, {}).save(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def photos(records):
    return read_photos(records)


def test_a_fold_holds_twins_and_what_is_of_one_group(tmp_path, photos):
    assert photos.groups.tolist() == [""] * len(PHOTOS)
    apart = [folds_of(photos, "kind", 3)[id] for id in "1234"]
    assert apart[0] == apart[1] and len(set(apart)) == 3, "1 and 2 are twins"
    grouped = read_photos(write_records(tmp_path / "grouped", groups={"3": "a hat", "1": "a hat"}))
    assert grouped.groups.tolist() == ["a hat", "", "a hat", *[""] * 6]
    found = [folds_of(grouped, "kind", 2)[id] for id in "1234"]
    assert found[0] == found[1] == found[2] != found[3]
    with pytest.raises(UserError, match="only 2 photos, or groups"):
        folds_of(grouped, "kind", 3)


@pytest.fixture(scope="module")
def pairs(photos):
    return find_pairs(photos.hashes)


def test_records_are_read_with_split_and_labels(photos):
    assert photos.ids == tuple(row[0] for row in PHOTOS)
    assert photos.splits.tolist() == [row[1] for row in PHOTOS]
    assert photos.labels["kind"].tolist() == [row[4] for row in PHOTOS]


def test_stored_bytes_are_found_by_id(records):
    found = photo_bytes(records, {"3", "9"})
    assert found == {"3": encode(product(2)), "9": encode(product(5))}


def test_pairs_are_counted_by_their_splits(photos, pairs):
    report = duplicates_report(photos, pairs)
    assert report["pairs"] == {
        "train–train": 1,
        "train–validation": 0,
        "train–test": 3,
        "validation–validation": 0,
        "validation–test": 1,
        "test–test": 0,
    }
    assert report["photos"] == {"train": 4, "validation": 1, "test": 4}


def test_a_photo_counts_once_however_many_twins_it_has(photos, pairs):
    report = duplicates_report(photos, pairs)["with_near_duplicate"]
    assert report["test"] == {"in train": 2, "in validation": 1, "in test": 0, "anywhere": 3}
    assert report["train"] == {"in train": 2, "in validation": 0, "in test": 3, "anywhere": 3}
    marked = np.flatnonzero(has_near_duplicate_in(photos, pairs, "train"))
    assert [photos.ids[i] for i in marked] == ["1", "2", "7", "8"]


def test_groups_and_identical_photos_are_counted(photos, pairs):
    report = duplicates_report(photos, pairs)
    assert report["groups"] == {"groups": 3, "photos": 7, "largest": 3}
    # 5 and 6 are one photo at two qualities: near, but not the same.
    assert report["identical"]["bytes"]["groups"] == 2
    assert report["identical"]["pixels"] == {
        "groups": 2,
        "photos": 5,
        "groups_with_conflicting": {"kind": 1},
    }


def test_conflicting_labels_of_one_photo_are_listed(photos):
    assert conflicts(photos) == [
        {
            "label": "kind",
            "ids": ["1", "2", "7"],
            "splits": ["train", "train", "test"],
            "values": ["Hat", "Shoe", "Hat"],
        }
    ]


def test_a_missing_value_conflicts_with_nothing(photos, pairs):
    rows = {(row["id_a"], row["id_b"]): row for row in pair_rows(photos, pairs)}
    assert rows["5", "6"]["labels_that_differ"] == ""
    assert not rows["5", "6"]["same_pixels"]
    assert rows["1", "2"]["labels_that_differ"] == "kind"
    assert duplicates_report(photos, pairs)["pairs_with_other_labels"] == {"kind": 2}


def test_no_pairs_at_all():
    hashes = hash_photos([(str(i), encode(product(i))) for i in range(3)])
    photos = RecordedPhotos(
        np.array(["train"] * 3), {"kind": np.array(["Hat"] * 3)}, np.full(3, ""), hashes
    )
    none = Pairs(*(np.zeros(0, int) for _ in range(3)), np.zeros(0))
    report = duplicates_report(photos, none)
    assert report["groups"] == {"groups": 0, "photos": 0, "largest": 0}
    assert report["pairs"] == {"train–train": 0}
    assert conflicts(photos) == []


# ---- the score with and without ----


def test_scores_with_and_without_are_scikit_learns():
    rng = np.random.default_rng(1)
    ids = [str(i) for i in range(300)]
    truth = rng.choice(["Hat", "Shoe", "Tie"], 300)
    said = np.where(rng.random(300) < 0.3, "Hat", truth)
    twice = np.arange(300) < 80
    said[twice] = truth[twice]
    found = scores_with_and_without(
        ids, truth.tolist(), said.tolist(), {id for id, t in zip(ids, twice, strict=True) if t}
    )
    for name, chosen in (("all", twice | True), ("without", ~twice)):
        assert found[name]["num_examples"] == chosen.sum()
        right = accuracy_score(truth[chosen], said[chosen])
        assert found[name]["accuracy"]["value"] == pytest.approx(right)
        macro = f1_score(truth[chosen], said[chosen], average="macro")
        assert found[name]["macro_f1"]["value"] == pytest.approx(macro)
    assert found["with_near_duplicate_in_train"]["accuracy"]["value"] == 1.0
    difference = accuracy_score(truth, said) - accuracy_score(truth[~twice], said[~twice])
    inflation = found["inflation"]
    assert inflation["value"] == pytest.approx(difference)
    # Against drawing photos one by one.
    drawn = rng.integers(0, 300, (4000, 300))
    right, alone = (said == truth)[drawn], ~twice[drawn]
    by_hand = right.mean(axis=1) - (right & alone).sum(axis=1) / alone.sum(axis=1)
    low, high = np.quantile(by_hand, (0.025, 0.975))
    assert (inflation["low"], inflation["high"]) == pytest.approx((low, high), abs=0.006)


def test_without_any_twin_there_is_no_part_with_and_no_inflation():
    found = scores_with_and_without(["1", "2"], ["a", "b"], ["a", "a"], set())
    assert found["with_near_duplicate_in_train"] is None
    assert found["inflation"]["value"] == 0


def test_photos_without_a_truth_are_left_out():
    found = scores_with_and_without(["1", "2"], ["a", ""], ["a", "a"], {"2"})
    assert found["all"]["num_examples"] == 1


# ---- the command ----


def test_the_command_writes_numbers_pairs_and_pictures(records, tmp_path, capsys):
    predictions = tmp_path / "predictions.csv"
    predictions.write_text("id,truth,prediction\n7,Hat,Hat\n8,Hat,Hat\n9,Shoe,Hat\n")
    output = tmp_path / "out"
    arguments = ["--data", str(records), "--output", str(output)]
    assert main([*arguments, "--predictions", str(predictions)]) == 0
    printed = capsys.readouterr().out
    assert "test: 2 of 4 photos (50.0%) have a near-duplicate in train" in printed
    report = json.loads((output / "audit.json").read_text())
    assert report["scores"]["near_duplicates"]["without"]["accuracy"]["value"] == 0.0
    assert report["scores"]["near_duplicates"]["all"]["num_examples"] == 3
    assert (output / "pairs.csv").read_text().count("\n") == 1 + 5
    assert "Hat; Shoe; Hat" in (output / "conflicts.csv").read_text()
    for name in ("pairs.png", "distances.png", "conflicts.png"):
        assert Image.open(output / name).height > 100


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("id,truth,prediction\n1,Hat,Hat\n", "predictions of training photos"),
        ("id,truth,prediction\n77,Hat,Hat\n", "names 1 photos that"),
        ("id,truth\n7,Hat\n", "expected id, truth, prediction"),
        ("id,truth,prediction\n", "holds no predictions"),
    ],
)
def test_other_predictions_are_refused(records, tmp_path, capsys, rows, message):
    predictions = tmp_path / "predictions.csv"
    predictions.write_text(rows)
    arguments = ["--data", str(records), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--predictions", str(predictions)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_photo_that_cannot_be_decoded_is_named_and_spares_the_others(tmp_path, capsys):
    records, output = write_records(tmp_path / "records", damaged="7"), tmp_path / "audit"
    assert main(["--data", str(records), "--output", str(output)]) == 0
    report = json.loads((output / "audit.json").read_text())
    assert list(report["unreadable"]) == ["7"] and "not a photo" in report["unreadable"]["7"]
    assert report["photos"] == {"train": 4, "validation": 1, "test": 3}
    assert "unreadable: 1 photos, in none of these counts" in capsys.readouterr().out
    found = read_photos(records)
    assert found.ids == tuple(row[0] for row in PHOTOS if row[0] != "7")
    assert found.labels["kind"].tolist() == [row[4] for row in PHOTOS if row[0] != "7"]


def test_a_look_at_no_photos_but_train(records, tmp_path):
    info = DatasetInfo.load(records)
    counts = {label: (0,) * len(names) for label, names in info.labels.items()}
    empty = dataclasses.replace(info.splits["test"], num_examples=0, shards=(), class_counts=counts)
    alone = dataclasses.replace(info, splits={**info.splits, "test": empty, "validation": empty})
    for shard in info.splits["train"].shards:
        (tmp_path / shard.file).write_bytes((records / shard.file).read_bytes())
    alone.save(tmp_path)
    assert read_photos(tmp_path).splits.tolist() == ["train"] * 4


def test_copies_beyond_the_first_ones_are_told_of(records, tmp_path, capsys, monkeypatch):
    arguments = ["--data", str(records), "--output"]
    assert main([*arguments, str(tmp_path / "all")]) == 0
    assert " copies in a split" not in capsys.readouterr().out
    for module in ("fashion_keras.data.near_duplicates", "fashion_keras.auditing.duplicate_audit"):
        monkeypatch.setattr(f"{module}.COPIES", 1)
    assert main([*arguments, str(tmp_path / "some")]) == 0
    assert "one photo is there 3 times: of more than 1 copies" in capsys.readouterr().out
    every, some = (
        json.loads((tmp_path / name / "audit.json").read_text()) for name in ("all", "some")
    )
    assert some["rules"].pop("copies") == {"listed": 1, "largest": 3}
    assert {k: v for k, v in some.items() if k != "pairs"} == {
        k: v for k, v in every.items() if k != "pairs"
    }, "but for the pairs that are listed, all is as it was"
