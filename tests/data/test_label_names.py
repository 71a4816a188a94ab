"""Cells of label columns: which say nothing, which look alike, which hold several values."""

import pytest

from fashion_keras.data.catalog import (
    doubtful_names,
    label_value,
    look_alikes,
    several_values,
    spelled_out,
)

NOTHING = (
    "", " ", "None", "none", "NONE", "Null", "null", "NULL", "n/a", "N/A", "#N/A", "#n/a",
    "<NA>", "<na>", "NA", "na", "NaN", "nan", "NAN", " none ",
)  # fmt: skip


@pytest.mark.parametrize("text", NOTHING)
def test_what_says_nothing_is_no_class_whatever_the_case(text):
    assert label_value(text) is None


@pytest.mark.parametrize("text", ["Nan", "Na", "Nana", "No", "Nothing", "0", "-", "Not Applicable"])
def test_a_name_is_a_class(text):
    assert label_value(f" {text} ") == text


def test_names_that_may_mean_nothing_are_told():
    assert doubtful_names(["Nan", "Hat", "Na", "Nana"]) == ["Na", "Nan"]


@pytest.mark.parametrize(
    "name",
    ["hats", "HATS", "Ha ts", "Hats\u200b", "\ufeffHats", "Ha\u00adts", "Ｈats", "Hats\xa0"],
)
def test_names_that_differ_in_what_is_not_seen_look_alike(name):
    assert look_alikes({"Hats": 5, name: 2, "Caps": 9}) == [["Hats", name]]


def test_an_accent_of_one_character_and_of_two_look_alike():
    assert look_alikes({"Béret": 1, "Be\u0301ret": 2}) == [["Be\u0301ret", "Béret"]]


def test_other_names_do_not_look_alike():
    assert look_alikes({"Hats": 1, "Hat": 1, "Bats": 1, "Beret": 1, "Béret": 1, "Maße": 1}) == []
    assert look_alikes({"Maße": 1, "Masse": 1}) == []


def test_the_most_frequent_comes_first_and_then_the_alphabet_decides():
    assert look_alikes({"hats": 2, "HATS": 3, "Hats": 2}) == [["HATS", "Hats", "hats"]]


def test_what_cannot_be_seen_is_written_out():
    assert spelled_out(["Hats", "Hats\u200b"]) == ["'Hats'", "'Hats\\u200b'"]
    assert spelled_out(["Béret", "Be\u0301ret"]) == ["'B\\xe9ret'", "'Be\\u0301ret'"]
    assert spelled_out(["Hut", "Mütze\x1b[2J"]) == ["'Hut'", "'Mütze\\x1b[2J'"]


def test_cells_of_several_values_are_found():
    names = ["Men|Casual", "Tops > Shirts, Sale", "Red; Blue", "Hat,Cap", "a\nb", "Red/Blue"]
    assert several_values([*names, "Red", "Blue"]) == sorted(names)


@pytest.mark.parametrize(
    "name", ["T-Shirt/Top", "Bath & Body", "1,5 l", "> 50 cm", "Men's", "Hats, ", "|", "3.5-inch"]
)
def test_a_sign_within_a_name_is_no_several_values(name):
    assert several_values([name, "Red", "Top"]) == []
