"""Which labels are written, which outputs they are read from, and from which score accepted."""

import pytest

from fashion_keras.errors import UserError
from fashion_keras.tagging.batches import heads_of, missing, served_labels, thresholds_of

LABELS = ("kind", "season", "use")
OUTPUTS = ["valid", "classes", "scores", "probabilities", "use_classes", "use_scores"]
OUTPUTS += ["season_classes", "season_scores", "season_probabilities"]


def test_all_labels_are_wanted_unless_some_are_named():
    assert [head.label for head in heads_of(LABELS)] == list(LABELS)
    assert heads_of(LABELS, ["use", "kind", "use"]) == (
        ("use", "use_classes", "use_scores"),
        ("kind", "classes", "scores"),
    )


def test_a_label_that_the_model_has_not_is_an_error_in_a_line():
    with pytest.raises(UserError) as error:
        heads_of(LABELS, ["kind", "saeson"])
    assert str(error.value) == (
        "--label saeson: the model's labels are kind, season, use (did you mean 'season'?)"
    )


def test_a_servers_labels_are_told_by_its_outputs():
    assert served_labels(OUTPUTS) == ("class", "season", "use")
    assert served_labels([*OUTPUTS, "class_classes", "class_scores"])[0] == "class_"
    assert served_labels(["classes", "scores", "valid", "gender_scores"]) == ("class",)


def test_outputs_that_are_not_there_are_named():
    heads = heads_of(LABELS)
    assert missing(heads, "photo", ["image_bytes"], OUTPUTS) == []
    assert missing(heads, "photo", ["image_bytes"], OUTPUTS[2:]) == ["valid", "classes"]
    assert missing(heads, "both", ["image_bytes"], OUTPUTS) == ["title"]


def test_given_thresholds_come_before_fitted_ones():
    fitted = {"kind": 0.9, "use": 0.8, "colour": 0.7}
    assert thresholds_of(LABELS, "kind", fitted, {}) == {"kind": 0.9, "use": 0.8}
    assert thresholds_of(LABELS, "kind", fitted, {None: 0.5, "season": 0.6}) == {
        "kind": 0.5,
        "season": 0.6,
        "use": 0.8,
    }


@pytest.mark.parametrize("given", [{"sleeve": 0.5}, {None: 0.5}])
def test_a_threshold_of_a_label_that_is_not_written_is_an_error(given):
    with pytest.raises(UserError, match=r"is given for (sleeve|kind): .* written are season, use"):
        thresholds_of(LABELS[1:], "kind", {}, given)
