"""Predictions as lines and as rows."""

import pytest

from fashion_keras.tagging.prediction import LineFormat, Prediction, Row, table_row

SHOES = Prediction("a.jpg", ("Shoes", "Bags", "Ties"), (0.75, 0.2, 0.05), id="a")
BAD = Prediction("b\x1b[2J.jpg", error="empty file", id="b")


def test_lines_are_aligned():
    line = LineFormat(17, 10, top=2)
    assert line(SHOES) == "a.jpg              Shoes       0.750  (Bags 0.200)"


def test_a_line_may_show_one_class_or_several():
    assert LineFormat(5, 5, top=1)(SHOES) == "a.jpg  Shoes  0.750"
    three = LineFormat(5, 5, top=3)(SHOES)
    assert three.endswith("(Bags 0.200, Ties 0.050)")


def test_a_line_shows_an_error_and_nothing_a_terminal_obeys():
    assert LineFormat(len(BAD.path), 5, top=2)(BAD) == r"b\x1b[2J.jpg  error: empty file"


def test_a_line_ends_with_the_decision_where_there_is_a_threshold():
    assert LineFormat(5, 5, top=2, threshold=0.7)(SHOES).endswith("(Bags 0.200)  accept")
    assert LineFormat(5, 5, top=1, threshold=0.8)(SHOES).endswith("0.750  review")


def test_a_row_holds_the_best_two_classes():
    assert table_row(SHOES) == Row("a", "a.jpg", "Shoes", 0.75, "Bags", 0.2)


def test_a_row_of_the_only_class_has_no_runner_up():
    assert table_row(Prediction("c.jpg", ("Shoes",), (1.0,))) == Row("", "c.jpg", "Shoes", 1.0)


def test_a_row_of_a_bad_photo_holds_the_reason_alone():
    assert table_row(BAD) == Row("b", BAD.path, error="empty file")


@pytest.mark.parametrize(("threshold", "decision"), [(0.75, "accept"), (0.7501, "review")])
def test_a_score_from_the_threshold_on_is_accepted(threshold, decision):
    assert table_row(SHOES, threshold).decision == decision


def test_a_bad_photo_is_to_be_reviewed_where_there_is_a_threshold():
    assert table_row(BAD, 0.0).decision == "review"


def test_scores_have_six_digits():
    row = table_row(Prediction("a.jpg", ("Shoes", "Bags"), (2 / 3, 1 / 3)))
    assert (row.score, row.runner_up_score) == (0.666667, 0.333333)
