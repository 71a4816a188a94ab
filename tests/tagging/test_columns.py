"""The columns of a table: a label's own, and never two of a name."""

import pytest

from fashion_keras.tagging.row_formats import Columns, Row, labels_in


def test_each_label_has_three_columns_and_the_first_its_runner_up():
    assert Columns(["kind", "season"]).names == (
        *("id", "path", "kind", "kind_score", "kind_decision"),
        *("kind_runner_up", "kind_runner_up_score"),
        *("season", "season_score", "season_decision", "error"),
    )


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (["id", "path", "error"], ["label_id", "label_path", "label_error"]),
        (["kind", "kind_score"], ["kind", "label_kind_score"]),
        (["kind_score", "kind"], ["kind_score", "label_kind"]),
        (["kind", "kind_runner_up"], ["kind", "label_kind_runner_up"]),
        (["id", "label_id"], ["label_id", "label_label_id"]),
    ],
    ids=str,
)
def test_a_label_whose_columns_are_taken_gets_a_name_of_its_own(labels, named):
    columns = Columns(labels)
    assert len(set(columns.names)) == len(columns.names)
    assert [name for name in columns.names if name in named] == named
    assert columns.labels == tuple(labels)


def test_labels_are_found_by_the_columns():
    for labels in (("kind",), ("kind", "season"), ("a_score", "b", "c")):
        assert labels_in(Columns(labels).names) == labels


@pytest.mark.parametrize(
    "names", [(), ("id", "path", "error"), ("id", "path", "kind", "kind_score", "error")]
)
def test_columns_of_another_table_are_refused(names):
    with pytest.raises(ValueError, match="its columns are"):
        labels_in(names)


def test_a_row_has_as_many_cells_as_columns():
    columns = Columns(["kind"])
    cells = ("1", "a.jpg", "Shoes", 0.5, None, None, None, None)
    assert columns.row(cells) == Row("1", "a.jpg", cells[2:7]) and columns.row(cells).cells == cells
    with pytest.raises(ValueError, match="expected 8"):
        columns.row(cells[:5])
