"""What an exported model says of itself: read back, from the format before, and refused."""

import dataclasses

import pytest
from serving.tiny import save_tiny_run

from fashion_keras.config import load_config
from fashion_keras.errors import UserError
from fashion_keras.io import write_sealed
from fashion_keras.run import load_run, save_config
from fashion_keras.serving.layout import ModelInfo

LABELS = {"kind": ("Bags", "Shoes"), "season": ("Summer", "Winter")}
ACCEPT = {"photo": {"kind": 0.75, "season": 0.5}, "title": {"kind": 0.9}}
INFO = ModelInfo("0.2.0", "kind", LABELS, (40, 32), "pad", 2, accept=ACCEPT)


def written(folder, **change):
    """Write an info as another version would, with a seal that fits."""
    (folder / "assets").mkdir(parents=True)
    raw = dataclasses.asdict(INFO) | {"files": {}} | change
    raw = {key: value for key, value in raw.items() if key != "takes" or value is not None}
    write_sealed(folder / "assets" / "fashion_keras.json", raw)
    return folder


def test_saved_and_loaded_it_is_equal(tmp_path):
    INFO.save(tmp_path)
    assert ModelInfo.load(tmp_path) == INFO


def test_each_view_has_its_thresholds_and_one_without_a_decision_none():
    assert INFO.thresholds() == {"kind": 0.75, "season": 0.5}
    assert (INFO.thresholds("title"), INFO.thresholds("both")) == ({"kind": 0.9}, {})


def test_a_model_says_what_it_takes_and_one_that_does_not_takes_photos(tmp_path):
    assert ModelInfo.load(written(tmp_path / "old", takes=None)).takes == ("photo",)
    both = ModelInfo.load(written(tmp_path / "new", takes=["photo", "both"]))
    assert both.takes == ("photo", "both")


def test_a_runs_files_say_what_the_loaded_run_says(tmp_path):
    """Also where its config names a label that the model has not."""
    run = save_tiny_run(tmp_path / "run")
    save_config(run, load_config(run / "config.yaml", {"data.label": "sleeve"}))
    found, expected = ModelInfo.of_folder(run, 2), ModelInfo.of(load_run(run), 2)
    assert found == dataclasses.replace(expected, made_from={})
    assert found.label == "subCategory"


@pytest.mark.parametrize(("accept", "thresholds"), [(0.75, {"kind": 0.75}), (None, {})])
def test_threshold_of_format_2_is_the_headlines_of_a_photo(accept, thresholds, tmp_path):
    info = ModelInfo.load(written(tmp_path, format=2, accept=accept))
    assert info == dataclasses.replace(INFO, accept={"photo": thresholds})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 4}, "has format 4, this fashion_keras reads 3: export the model again"),
        ({"accept": 0.75}, "damaged.*accept"),
        ({"accept": {"photo": {"kind": 7}}}, "damaged.*accept"),
        ({"accept": {"smell": {}}}, "damaged.*'smell' is none of photo, title, both"),
        ({"accept": {"photo": {"sleeve": 0.5}}}, "damaged.*has no label 'sleeve'"),
        ({"takes": ["photo", "smell"]}, "damaged.*takes: 'smell' is none of photo, title, both"),
        ({"format": 2, "accept": 7}, "damaged.*accept"),
    ],
    ids=str,
)
def test_what_is_no_info_is_refused(change, said, tmp_path):
    with pytest.raises(UserError, match=said):
        ModelInfo.load(written(tmp_path, **change))
