"""What a person is told of each label before training: classes, gaps, and likely mistakes."""

import json

from fashion_keras.data.catalog import describe_labels, label_lines


def described(*names, label="kind"):
    return describe_labels([label], [{label: name} for name in names])


def text(*names):
    return "\n".join(label_lines(described(*names)))


def test_figures_of_each_label_are_ready_for_json():
    photos = [{"kind": "Hat", "colour": "Red"}] * 3 + [{"kind": "Cap", "colour": None}]
    found = describe_labels(["kind", "colour"], photos)
    assert json.loads(json.dumps(found)) == found
    assert found["kind"]["classes"] == 2 and found["kind"]["under_three"] == {"Cap": 1}
    assert (found["colour"]["photos"], found["colour"]["without"]) == (3, 1)


def test_a_label_has_a_line():
    assert text(*["Hat"] * 3, *["Cap"] * 2, "Bag", None) == (
        "kind: 3 classes, 1 photo without it, 2 classes under 3 photos ('Bag' 1, 'Cap' 2)"
    )
    assert text(*["Hat"] * 3) == "kind: 1 class"


def test_a_label_on_few_photos_is_a_warning():
    warning = "warning: only 4 of 10 photos have a kind: is it the right column?"
    assert warning in text(*["Hat"] * 4, *[None] * 6)
    assert "warning" not in text(*["Hat"] * 5, *[None] * 5)


def test_names_that_look_alike_are_a_warning_that_offers_to_merge_them():
    lines = text(*["Hats"] * 5, *["hats\u200b"] * 3)
    assert "2 classes of kind look alike ('Hats' 5, 'hats\\u200b' 3): --merge-names" in lines


def test_cells_of_several_values_are_a_warning():
    lines = text(*["Men|Casual"] * 5, *["Men"] * 3)
    assert "5 photos seem to have several values of kind in one cell ('Men|Casual' 5)" in lines


def test_a_class_called_nan_is_a_warning():
    assert "'Nan' 3 of kind is read as a class" in text(*["Nan"] * 3)


def test_a_label_that_is_a_name_is_a_warning():
    names = [f"Blue shirt no {number}" for number in range(60)]
    assert "most classes of kind have fewer than 3 photos: is it a name" in text(*names)
    assert "is it a name" not in text(*names[:40])


def test_long_lists_are_cut():
    lines = text(*"abcdefgh")
    assert lines.endswith("8 classes under 3 photos ('a' 1, 'b' 1, 'c' 1, 'd' 1, 'e' 1, …)")
