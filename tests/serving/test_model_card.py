"""The model card: figures from the evaluation, and plain words where there are none."""

import dataclasses
import json
import re

import numpy as np
import pytest
import yaml
from serving.tiny import LABELS, tiny_run

from fashion_keras.data.schema import DatasetInfo
from fashion_keras.decision.parameters import Acceptance, Decision
from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.evaluation.results import evaluate_predictions
from fashion_keras.reading import sha256_of
from fashion_keras.run import save_records
from fashion_keras.serving.model_card import model_card

SIGNATURES = ("serving_default", "serve_pixels", "embed")


def evaluation(split, seed=0):
    rng = np.random.default_rng(seed)
    truth = {label: rng.integers(0, len(names), 80) for label, names in LABELS.items()}
    logits = {
        label: (np.eye(len(names))[truth[label]] + rng.normal(0, 0.5, (80, len(names))))
        for label, names in LABELS.items()
    }
    predictions = Predictions(split, [str(i) for i in range(80)], truth, logits)
    counts = {label: [5, 500, *range(100, 100 + len(n))][: len(n)] for label, n in LABELS.items()}
    return evaluate_predictions(predictions, LABELS, resamples=50, train_counts=counts)


@pytest.fixture
def run(tmp_path):
    return dataclasses.replace(tiny_run(), path=tmp_path)


def save(folder, name, result):
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "evaluation.json").write_text(json.dumps(result))
    return folder / name / "evaluation.json"


def front_matter(card):
    start, matter, _ = card.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(matter)


def row(card, first):
    (line,) = [line for line in card.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_scores_have_their_intervals_and_every_class_its_row(run, tmp_path):
    result = evaluation("test")
    save(tmp_path, "evaluation-test", result)
    save(tmp_path, ".", evaluation("validation", seed=1))
    card = model_card(run, "shop", SIGNATURES)
    assert "## Scores, test split, 80 photos" in card
    accuracy = result["accuracy"]
    assert row(card, "accuracy")[1:] == [
        f"{accuracy['value']:.4f}",
        f"{accuracy['low']:.4f} – {accuracy['high']:.4f}",
    ]
    for found in result["per_class"]:
        cells = row(card, found["class"])
        assert cells[1:3] == [str(found["support"]), str(found["train_support"])]
        assert cells[5] == f"{found['f1']:.3f}"
    gender = result["heads"]["gender"]["accuracy"]
    assert f"| gender | 80 | {gender['value']:.4f} [{gender['low']:.4f} – " in card
    assert "Fewer than 20 training photos, so not to be relied on: Bags." in card


def test_front_matter_is_what_hubs_read(run, tmp_path):
    result = evaluation("test")
    save(tmp_path, "evaluation-test", result)
    matter = front_matter(model_card(run, "shop", SIGNATURES))
    assert matter["pipeline_tag"] == "image-classification"
    assert matter["library_name"] == "keras"
    assert matter["license"] == "other"
    (model,) = matter["model-index"]
    (found,) = model["results"]
    assert model["name"] == "shop"
    assert found["dataset"]["split"] == "test"
    values = {metric["type"]: metric["value"] for metric in found["metrics"]}
    assert values == {
        "accuracy": round(result["accuracy"]["value"], 4),
        "f1": round(result["macro_f1"]["value"], 4),
    }


def test_without_an_evaluation_the_card_says_so_and_claims_nothing(run):
    card = model_card(run, "shop", SIGNATURES)
    assert "Not measured" in card
    assert "model-index" not in front_matter(card)


@pytest.mark.parametrize("text", ["{", "[]", '{"label": "subCategory"}', "\xff"])
def test_a_damaged_evaluation_counts_as_none(run, tmp_path, text):
    (tmp_path / "evaluation.json").write_text(text, encoding="latin-1")
    assert "Not measured" in model_card(run, "shop", SIGNATURES)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accuracy", "high"),
        ("accuracy", {"value": "0.9", "low": 0, "high": 1}),
        ("macro_f1", {"value": 0.9}),
        ("made_from", ["best.keras"]),
        ("num_examples", "80"),
        ("heads", {"gender": {"num_examples": 5}}),
        ("heads", ["gender"]),
        ("per_class", [{"class": "Bags"}]),
        ("per_class", {"class": "Bags"}),
        ("rules", {}),
        ("interval", {"confidence": "much"}),
        ("records_source", "shop.zip"),
    ],
    ids=str,
)
def test_an_evaluation_with_a_damaged_value_counts_as_none(run, tmp_path, key, value):
    save(tmp_path, "evaluation-test", evaluation("test") | {key: value})
    assert "Not measured" in model_card(run, "shop", SIGNATURES)


@pytest.mark.parametrize(
    "text", ["[]", '{"source": 5}', '{"source": [], "split": [], "shards": 1}']
)
def test_records_that_are_damaged_are_none_that_are_known(run, tmp_path, text):
    (tmp_path / "records.json").write_text(text)
    assert model_card(run, "shop", SIGNATURES)


def test_validation_scores_are_called_flattering(run, tmp_path):
    save(tmp_path, ".", evaluation("validation"))
    card = model_card(run, "shop", SIGNATURES)
    assert "## Scores, validation split" in card
    assert "flatter the model" in card


def test_another_labels_evaluation_is_not_taken_for_the_headlines(run, tmp_path):
    save(tmp_path, "evaluation-test", evaluation("test") | {"label": "gender"})
    assert "Not measured" in model_card(run, "shop", SIGNATURES)


def test_a_decision_is_told_and_scores_from_before_it_are_marked(run, tmp_path):
    save(tmp_path, "evaluation-test", evaluation("test"))
    accept = {
        "subCategory": Acceptance(threshold=0.8, target_error=0.02, coverage=0.91, error=0.019)
    }
    decision = Decision("subCategory", temperature={"subCategory": 1.25}, accept=accept)
    decision.save(tmp_path / "decision.json")
    decided = dataclasses.replace(run, decision=decision)
    card = model_card(decided, "shop", SIGNATURES)
    assert "taken without the decision below" in card
    assert "subCategory 1.25" in card
    assert "accept subCategory from a score of 0.800: on validation that took 91.0%" in card
    assert "not calibrated" not in card
    made_from = {"decision.json": sha256_of(tmp_path / "decision.json")}
    save(tmp_path, "evaluation-test", evaluation("test") | {"made_from": made_from})
    assert "without the decision below" not in model_card(decided, "shop", SIGNATURES)


def test_scores_of_another_model_are_none_of_this_one(run, tmp_path):
    (tmp_path / "best.keras").write_bytes(b"weights")
    made_from = {"best.keras": sha256_of(tmp_path / "best.keras")}
    save(tmp_path, "evaluation-test", evaluation("test") | {"made_from": made_from})
    assert "## Scores, test split" in model_card(run, "shop", SIGNATURES)
    (tmp_path / "best.keras").write_bytes(b"other weights")
    assert "Not measured" in model_card(run, "shop", SIGNATURES)


def test_kaggles_data_and_licence_are_named_and_a_shops_are_left_to_it(run, tmp_path):
    info = DatasetInfo(
        1, LABELS, {}, {}, {"path": "a.zip", "layout": "small"}, {"strategy": "published"}, {}, {}
    )
    save_records(tmp_path, info)
    card = model_card(run, "shop", SIGNATURES)
    assert "Kaggle, Fashion Product Images" in card
    assert "split: strategy published" in card
    assert front_matter(card)["license"] == "apache-2.0"
    save_records(tmp_path, dataclasses.replace(info, source={"path": "shop", "layout": "own"}))
    card = model_card(run, "shop", SIGNATURES)
    assert "Kaggle" not in card
    assert front_matter(card)["license"] == "other"


def test_only_the_signatures_that_there_are_get_a_row(run):
    card = model_card(run, "shop", SIGNATURES[:2])
    assert "`serve_pixels`" in card
    assert "`embed`" not in card


def test_names_of_the_catalogue_are_shown_and_not_obeyed(run, tmp_path):
    markdown_it = pytest.importorskip("markdown_it")
    bad = "<img src=x onerror=alert(1)> [b](javascript:alert(1)) **c** | `d`\n# e"
    names = {bad: (bad, f"{bad}2"), f"{bad}2": (bad, "Ties")}
    truth = {label: np.array([0, 1] * 20) for label in names}
    logits = {label: np.eye(2, dtype=np.float32)[truth[label]] for label in names}
    predictions = Predictions("test", [str(i) for i in range(40)], truth, logits)
    counts = {label: [5, 500] for label in names}
    result = evaluate_predictions(predictions, names, resamples=10, train_counts=counts)
    save(tmp_path, "evaluation-test", result)
    source = {"path": f"`{bad}``", "layout": "own", "fingerprint": bad}
    save_records(tmp_path, DatasetInfo(1, names, {}, {}, source, {"strategy": bad}, {}, {}))
    decision = Decision(bad, temperature={bad: 1.25}, fitted_on=bad)
    hostile = dataclasses.replace(run, label=bad, labels=names, decision=decision)
    card = model_card(hostile, "$(touch x) <b>", SIGNATURES)
    assert "models/%24%28touch%20x%29%20%3Cb%3E:predict" in card
    assert front_matter(card)["model-index"][0]["name"] == "$(touch x) <b>"
    page = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(card.split("---\n", 2)[2])
    tags = set(re.findall(r"<(\w+)", page))
    tables = {"table", "thead", "tbody", "tr", "th", "td"}
    assert tags == {"h1", "h2", "p", "ul", "li", "pre", "code", *tables}
    assert "&lt;img src=x onerror=alert(1)&gt; [b](javascript:alert(1)) **c** | `d` # e" in page
    assert page.count("<h1>") == 1
