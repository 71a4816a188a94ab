"""Groups of rows: who belongs together, what their photos are called, which labels they share."""

import random

import pytest

from fashion_keras.data.product_groups import (
    fill_labels,
    group_names,
    joined_groups,
    numbered_photos,
    photo_ids,
    photo_names,
)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a/1.jpg", "a/2.jpg"], ["1", "2"]),
        (["a/1.jpg", "b/1.jpg"], ["a/1", "b/1"]),
        (["a\\1.jpg", "b\\1.jpg"], ["a/1", "b/1"]),
        (["1.jpg", "1.png"], ["1.jpg", "1.png"]),
    ],
)
def test_photos_have_the_shortest_names_that_tell_them_apart(texts, expected):
    assert photo_names(texts, texts) == expected


def test_two_ways_to_write_one_photo_are_one_name():
    assert photo_names(["1", "1.jpg", "./1.jpg"], ["1.jpg"] * 3) == ["1", "1", "1"]


def test_a_product_of_several_photos_has_an_id_for_each():
    products = ["A", "B", "A", "C", "C"]
    texts = ["x/1.jpg", "x/2.jpg", "x/3.jpg", "x/4.jpg", "x/4.jpg"]
    assert photo_ids(products, texts, texts) == ["A/1", "B", "A/3", "C", "C"]


def test_ids_do_not_depend_on_the_order_of_rows():
    rows = [(f"p{i // 3}", f"{i}.jpg") for i in range(30)]
    ids = dict(zip(rows, photo_ids(*zip(*rows, strict=True), [t for _, t in rows]), strict=True))
    random.Random(0).shuffle(rows)
    again = photo_ids(*zip(*rows, strict=True), [t for _, t in rows])
    assert dict(zip(rows, again, strict=True)) == ids


def test_a_row_without_photo_makes_no_product_one_of_several():
    assert photo_ids(["A", "A"], ["1.jpg", ""], ["1.jpg", ""]) == ["A", "A"]


def test_rows_with_the_same_cell_are_a_group_and_others_stand_alone():
    cells = ["Nike", "nike ", "", "NA", "Puma"]
    assert group_names(cells, ["1", "2", "3", "4", "5"]) == ["Nike", "Nike", "", "", "Puma"]


def test_rows_of_one_product_are_in_its_group_where_the_cell_is_empty():
    assert group_names(["Nike", "", ""], ["A", "A", "B"]) == ["Nike", "Nike", ""]
    assert group_names(["", ""], ["A", "A"]) == ["A", "A"]


def test_a_product_in_two_groups_makes_them_one():
    found = group_names(["x", "y", "x", "y"], ["A", "A", "B", "C"])
    assert len(set(found)) == 1


def test_groupings_are_joined_over_any_number_of_steps():
    joined = joined_groups({"1": "a", "2": "a", "5": "c"}, {"2": 0, "3": 0, "4": 1, "6": 1})
    assert joined["1"] == joined["2"] == joined["3"]
    assert len({joined[id] for id in "1456"}) == 3 and joined["4"] == joined["6"]


def test_a_label_fills_the_rows_of_its_group():
    rows = [{"kind": "Hat"}, {"kind": None}, {"kind": None}, {"kind": None}]
    filled, found = fill_labels(rows, ["a", "a", "b", ""])
    assert [row["kind"] for row in filled] == ["Hat", "Hat", None, None]
    assert found.cells == {"kind": 1} and not found.contradictions
    assert rows[1] == {"kind": None}


def test_a_group_that_contradicts_itself_is_reported_and_not_filled():
    rows = [
        {"kind": "Hat", "hue": "Red"},
        {"kind": "Cap", "hue": None},
        {"kind": None, "hue": None},
    ]
    filled, found = fill_labels(rows, ["a", "a", "a"])
    assert [row["kind"] for row in filled] == ["Hat", "Cap", None]
    assert [row["hue"] for row in filled] == ["Red", "Red", "Red"]
    assert found.contradictions == {"kind": {"a": ["Cap", "Hat"]}}


def test_numbered_photos_look_like_products_with_several():
    names = [f"shirt{i}_{n}" for i in range(5) for n in (1, 2, 3)]
    assert numbered_photos(names) == names
    assert numbered_photos(["hat (1)", "hat (2)", "cap-01", "cap-02"])


@pytest.mark.parametrize(
    "names",
    [
        [f"shirt_{n}" for n in range(1, 60)],  # a class that is numbered
        [str(n) for n in range(1000, 1060)],
        ["shirt_1", "shirt_2", *(f"x{n}y" for n in range(100))],  # chance
        ["shirt_1", "hat_7", "cap_3"],
    ],
)
def test_other_names_do_not(names):
    assert numbered_photos(names) == []
