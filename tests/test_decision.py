import json

import pytest

from fashion_keras.decision import Acceptance, Decision, Mix
from fashion_keras.errors import UserError

WHOLE = Decision(
    "subCategory",
    num_examples=7,
    flip=True,
    combine={"subCategory": Mix("articleType", 0.25, {"Shirts": {"Topwear": 1.0}})},
    bias={"Topwear": -0.5},
    temperature={"subCategory": 1.25},
    accept=Acceptance(0.9, 0.01, 0.8, 0.005),
)


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
    raw |= {"format": 1, "combine": {mix.pop("finer"): mix}}
    path.write_text(json.dumps(raw))
    assert Decision.load(path) == WHOLE


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3},
        {"temperature": {"subCategory": 0}},
        {"bias": {"Topwear": "much"}},
        {"combine": {"subCategory": {"finer": "articleType", "weight": 1}}},
        {"accept": {"threshold": 1}},
        {"shoe": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_damaged_file_is_refused_with_the_way_to_mend_it(change, tmp_path):
    path = tmp_path / "decision.json"
    WHOLE.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=r"decision.json is damaged.*\n.*calibrate"):
        Decision.load(path)


def test_what_is_no_json_is_refused(tmp_path):
    path = tmp_path / "decision.json"
    path.write_text("{")
    with pytest.raises(UserError, match="damaged"):
        Decision.load(path)
