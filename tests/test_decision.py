import dataclasses
import json

import pytest

from fashion_keras.decision.parameters import Acceptance, Agreement, Decision, Mix, Weights
from fashion_keras.errors import UserError

WHOLE = Decision(
    "subCategory",
    num_examples=7,
    flip=True,
    combine={"subCategory": Mix("articleType", 0.25, {"Shirts": {"Topwear": 1.0}})},
    weights={"subCategory": Weights(0.5, 2.0)},
    bias={"Topwear": -0.5},
    agree=(Agreement(("subCategory", "articleType"), (("Topwear", "Shirts"),)),),
    temperature={"subCategory": 1.25},
    accept={"subCategory": Acceptance(0.9, 0.01, 0.8, 0.005)},
)


ACCEPT = {"threshold": 0.9, "target_error": 0.01, "coverage": 0.8, "error": 0.005}


@pytest.mark.parametrize("decision", [WHOLE, Decision("gender")])
def test_saved_and_loaded_it_is_equal(decision, tmp_path):
    decision.save(tmp_path / "decision.json")
    assert Decision.load(tmp_path / "decision.json") == decision
    assert [path.name for path in tmp_path.iterdir()] == ["decision.json"]


def test_file_of_format_1_says_the_same(tmp_path):
    path = tmp_path / "decision.json"
    WHOLE.save(path)
    raw = json.loads(path.read_text())
    mix = raw["combine"]["subCategory"]
    raw |= {"format": 1, "combine": {mix.pop("finer"): mix}, "accept": ACCEPT}
    path.write_text(json.dumps(raw))
    assert Decision.load(path) == WHOLE


@pytest.mark.parametrize(("written", "accept"), [(ACCEPT, WHOLE.accept), (None, {})])
def test_threshold_of_format_2_is_the_headlines(written, accept, tmp_path):
    path = tmp_path / "decision.json"
    WHOLE.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2, "accept": written}))
    assert Decision.load(path) == dataclasses.replace(WHOLE, accept=accept)


def test_a_decision_of_another_model_is_refused():
    labels = {"subCategory": ("Topwear",), "articleType": ("Shirts",)}
    WHOLE.check_heads(labels)
    with pytest.raises(UserError, match="names a head 'articleType', the model has subCategory"):
        WHOLE.check_heads({"subCategory": ("Topwear",)})
    with pytest.raises(UserError, match="names a subCategory 'Topwear' that the model has not"):
        WHOLE.check_heads({**labels, "subCategory": ("Shoes",)})
    with pytest.raises(UserError, match="names a articleType 'Shirts' that the model has not"):
        WHOLE.check_heads({**labels, "articleType": ("Shoes",)})
    with pytest.raises(UserError, match="names a head 'gender'"):
        Decision("subCategory", accept={"gender": Acceptance(**ACCEPT)}).check_heads(labels)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 4},
        {"temperature": {"subCategory": 0}},
        {"bias": {"Topwear": "much"}},
        {"combine": {"subCategory": {"finer": "articleType", "weight": 1}}},
        {"temperature": {"subCategory": True}},
        {"bias": {"Topwear": None}},
        {"accept": None},
        {"accept": {"threshold": 1}},
        {"accept": {"subCategory": None}},
        *(
            {"accept": {"subCategory": ACCEPT | {"threshold": threshold}}}
            for threshold in (7, "1", None)
        ),
        {"format": 2, "accept": ACCEPT | {"threshold": 7}},
        {"weights": {"subCategory": {"photo": -1, "title": 1}}},
        {"weights": {"subCategory": {"photo": 1}}},
        {"agree": [{"labels": ["subCategory", "articleType"], "combinations": [["Topwear"]]}]},
        {"agree": [{"labels": ["subCategory"], "combinations": []}]},
        {"flip": "yes"},
        {"flip": 1},
        {"fitted_on": "test"},
        {"num_examples": -1},
        {"num_examples": 7.5},
        {"label": None},
        {"shoe": 1},
        *(
            {"combine": {"subCategory": {"finer": "articleType", "weight": weight, **shares}}}
            for weight, shares in (
                (7, {"implies": {}}),
                (-0.5, {"implies": {}}),
                (True, {"implies": {}}),
                (0.5, {"implies": {"Shirts": {"Topwear": 1.5}}}),
                (0.5, {"implies": {"Shirts": {"Topwear": 0.5}}}),
            )
        ),
    ],
    ids=str,
)
def test_damaged_file_is_refused_with_the_way_to_mend_it(change, tmp_path):
    path = tmp_path / "decision.json"
    WHOLE.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=r"decision.json is damaged.*\n.*calibrate"):
        Decision.load(path)


@pytest.mark.parametrize(
    "text",
    ["{", "null", "[]", '{"format": 2, "label": "a", "bias": {"b": NaN}}', '{"a": 1, "a": 2}'],
)
def test_what_is_no_json_object_is_refused(tmp_path, text):
    path = tmp_path / "decision.json"
    path.write_text(text)
    with pytest.raises(UserError, match="damaged"):
        Decision.load(path)
