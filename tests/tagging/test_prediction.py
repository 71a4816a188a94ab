"""Predictions as lines and as rows."""

import pytest

from fashion_keras.tagging.prediction import LineFormat, Prediction, Ranking, table_row
from fashion_keras.tagging.row_formats import Row

KIND = {"kind": Ranking(("Shoes", "Bags", "Ties"), (0.75, 0.2, 0.05))}
SHOES = Prediction("a.jpg", KIND, id="a")
SEASON = {"season": Ranking(("Winter", "Fall"), (0.6, 0.3)), "use": Ranking(("Sports",), (1.0,))}
WINTER = Prediction("a.jpg", KIND | SEASON, id="a")
BAD = Prediction("b\x1b[2J.jpg", error="empty file", id="b")
LABELS = ["kind", "season", "use"]


def line_format(path=5, kind=5, top=2, labels=("kind",), thresholds=None):
    return LineFormat(labels, path, kind, top, {"photo": thresholds or {}})


def test_lines_are_aligned():
    assert line_format(17, 10)(SHOES) == "a.jpg              Shoes       0.750  (Bags 0.200)"


def test_a_line_may_show_one_class_or_several():
    assert line_format(top=1)(SHOES) == "a.jpg  Shoes  0.750"
    assert line_format(top=3)(SHOES).endswith("(Bags 0.200, Ties 0.050)")


def test_a_line_shows_an_error_and_nothing_a_terminal_obeys():
    line = line_format(len(BAD.path), labels=LABELS)
    assert line(BAD) == r"b\x1b[2J.jpg  error: empty file"


def test_a_line_ends_with_the_decision_where_there_is_a_threshold():
    assert line_format(thresholds={"kind": 0.7})(SHOES).endswith("(Bags 0.200)  accept")
    assert line_format(top=1, thresholds={"kind": 0.8})(SHOES).endswith("0.750  review")


def test_further_labels_stand_below_and_say_what_is_to_be_reviewed():
    line = line_format(top=1, labels=LABELS, thresholds={"season": 0.7, "use": 0.7})
    assert line(WINTER).splitlines() == [
        "a.jpg  Shoes  0.750",
        "    season: Winter 0.60 review, use: Sports 1.00",
    ]


def test_many_labels_are_broken_between_labels():
    labels = [f"label {number}" for number in range(12)]
    ranking = Ranking(("A class of two words or more",), (0.5,))
    photo = Prediction("a.jpg", dict.fromkeys(labels, ranking))
    _, *below = line_format(top=1, labels=labels)(photo).splitlines()
    assert max(map(len, below)) <= 100 and len(below) == 6
    assert " ".join(line.strip() for line in below) == ", ".join(
        f"{label}: A class of two words or more 0.50" for label in labels[1:]
    )


def test_a_row_holds_the_best_two_classes_of_the_first_label_and_the_best_of_others():
    tags = ("Shoes", 0.75, None, "Bags", 0.2)
    assert table_row(SHOES, ["kind"]) == Row("a", "a.jpg", tags)
    further = ("Winter", 0.6, "accept", "Sports", 1.0, None)
    assert table_row(WINTER, LABELS, {"season": 0.6}) == Row("a", "a.jpg", tags + further)
    assert table_row(WINTER, ["season", "kind"]).tags[:5] == ("Winter", 0.6, None, "Fall", 0.3)


def test_a_row_of_the_only_class_has_no_runner_up():
    assert table_row(WINTER, ["use"]).tags == ("Sports", 1.0, None, None, None)


def test_a_row_of_a_bad_photo_holds_the_reason_alone():
    assert table_row(BAD, LABELS) == Row("b", BAD.path, (None,) * 11, error="empty file")


@pytest.mark.parametrize(("threshold", "decision"), [(0.75, "accept"), (0.7501, "review")])
def test_a_score_from_the_threshold_on_is_accepted(threshold, decision):
    assert table_row(SHOES, ["kind"], {"kind": threshold}).tags[2] == decision


def test_a_bad_photo_is_to_be_reviewed_where_there_is_a_threshold():
    tags = table_row(BAD, LABELS, {"kind": 0.0, "use": 0.0}).tags
    assert [tag for tag in tags if tag] == ["review", "review"] and tags[2] == tags[-1] == "review"


def test_scores_have_six_digits():
    thirds = Prediction("a.jpg", {"kind": Ranking(("Shoes", "Bags"), (2 / 3, 1 / 3))})
    assert table_row(thirds, ["kind"]).tags == ("Shoes", 0.666667, None, "Bags", 0.333333)
