"""scripts/title_baseline.py: what it trains on, what it scores, and what it writes."""

import csv
import importlib.util
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from drawn_catalogue import encode, pixels
from sklearn.metrics import accuracy_score, f1_score

from fashion_keras.data.conversion import Request, convert
from fashion_keras.data.schema import LABEL_COLUMNS

ROOT = Path(__file__).resolve().parents[1]
BRANDS = [f"Brand{number}" for number in range(40)]
KINDS = {"Bags": "Tote", "Shoes": "Sneaker", "Topwear": "Shirt"}


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = load_script("title_baseline")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """360 products of 40 brands and three years; every tenth title names no kind."""
    folder = tmp_path_factory.mktemp("titles") / "shop"
    (folder / "images").mkdir(parents=True)
    photo = encode(pixels(1))
    with open(folder / "styles.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *LABEL_COLUMNS, "year", "productDisplayName"])
        for number in range(360):
            kind = list(KINDS)[number % 3]
            labels = {**dict.fromkeys(LABEL_COLUMNS, "Any"), "subCategory": kind}
            word = "Thing" if number % 10 == 9 else KINDS[kind]
            title = f"{BRANDS[number % 40]} {word} {number // 80}" if number else ""
            writer.writerow([number, *labels.values(), 2015 + number // 3 % 3, title])
            (folder / f"images/{number}.jpg").write_bytes(photo)
    return folder


def run(shop, folder, *options, source="--source"):
    options = [source, str(shop), "--output", str(folder), "--label", "subCategory", *options]
    assert SCRIPT.main([*options]) == 0
    (path,) = folder.glob("*[!s].json")
    with open(next(folder.glob("*-predictions.csv"))) as file:
        return json.loads(path.read_text()), list(csv.DictReader(file))


def titles(shop):
    with open(shop / "styles.csv") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_scores_are_those_of_the_predictions_that_it_writes(shop, tmp_path):
    found, rows = run(shop, tmp_path, "--split", "stratified")
    truth, predicted = ([row[f"subCategory {what}"] for row in rows] for what in
                        ("truth", "prediction"))  # fmt: skip
    score = found["labels"]["subCategory"]
    assert score["accuracy"]["value"] == pytest.approx(accuracy_score(truth, predicted))
    expected = f1_score(truth, predicted, average="macro")
    assert score["macro_f1"]["value"] == pytest.approx(expected)
    low, high = score["accuracy"]["interval"]
    assert low <= score["accuracy"]["value"] <= high
    assert found["scored"] == score["products"] == len(rows) == 54
    assert score["accuracy"]["value"] > 0.8  # the title says the kind
    with open(tmp_path / "stratified-validation.csv") as file:
        (row,) = csv.DictReader(file)
    assert float(row["accuracy"]) == pytest.approx(score["accuracy"]["value"], abs=1e-6)


def test_unseen_brands_are_in_one_split_each(shop, tmp_path):
    def bucket(id):
        word = titles(shop)[id]["productDisplayName"].lower().split()[:1]
        return zlib.crc32(word[0].encode()) % 100 if word else 100

    buckets = {id: bucket(id) for id in titles(shop)}
    scored = {}
    for split, low in (("test", 0), ("validation", 15)):
        folder = tmp_path / split
        _, rows = run(shop, folder, "--split", "stratified", "--unseen", "brands", "--score", split)
        scored[split] = {row["id"] for row in rows}
        assert scored[split] == {id for id, at in buckets.items() if low <= at < low + 15}
    assert scored["test"] and scored["validation"]


def test_unseen_titles_are_not_in_training(shop, tmp_path):
    _, everything = run(shop, tmp_path / "all", "--split", "stratified")
    _, rows = run(shop, tmp_path / "new", "--split", "stratified", "--unseen", "titles")
    _, test = run(shop, tmp_path / "test", "--split", "stratified", "--score", "test")
    name = {id: row["productDisplayName"] for id, row in titles(shop).items()}
    others = {row["id"] for row in (*everything, *test)}
    known = {title for id, title in name.items() if id not in others}
    expected = [row["id"] for row in everything if name[row["id"]] not in known]
    assert [row["id"] for row in rows] == expected
    assert 0 < len(rows) < len(everything)


def test_the_newest_year_is_the_test_and_the_one_before_it_validation(shop, tmp_path):
    for score, year in (("test", "2017"), ("validation", "2016")):
        found, rows = run(
            shop, tmp_path / score, "--split", "stratified", "--unseen", "year", "--score", score
        )
        assert {titles(shop)[row["id"]]["year"] for row in rows} == {year}
        assert found["train"] == 120 * (int(year) - 2015)
        assert found["labels"]["subCategory"]["of_unseen_classes"] == 0


def test_products_of_classes_that_training_has_not_are_counted():
    found = SCRIPT.scored_label(["a", "b", "b", "c"], ["a", "a", "b", "b"], {"a", "b"})
    assert (found["products"], found["of_unseen_classes"]) == (4, 1)
    assert found["accuracy"]["value"] == 0.5


def test_records_give_what_the_archive_gives(shop, tmp_path):
    convert(Request(str(shop), split="stratified"), tmp_path / "records", say=lambda line: None)
    from_archive, rows = run(shop, tmp_path / "a", "--split", "stratified")
    from_records, same = run(tmp_path / "records", tmp_path / "r", source="--data")
    assert from_records["labels"] == from_archive["labels"]
    assert rows == same


def test_a_label_of_one_class_is_refused(shop, tmp_path, capsys):
    options = ["--source", str(shop), "--split", "stratified", "--label", "usage"]
    assert SCRIPT.main(options) == 2
    assert "'usage' has fewer than two classes" in capsys.readouterr().err


def test_characters_help_where_a_word_is_misspelt():
    train = ["red sneaker", "blue sneaker", "red tote", "blue tote"] * 4
    truth = ["Shoes", "Shoes", "Bags", "Bags"] * 4
    rows, asked = SCRIPT.titles_as_features(train, ["red sneakers", "toteq"], "words+characters")
    assert SCRIPT.predicted(rows, truth, asked).tolist() == ["Shoes", "Bags"]
    words, asked = SCRIPT.titles_as_features(train, ["toteq"], "words")
    assert np.asarray(asked.sum()) == 0 and words.shape[1] == asked.shape[1]
