"""What the page says of dropped files."""

import dataclasses
import re

import numpy as np
import pytest
from serving.tiny import LABELS, PHOTOS, photo, tiny_run
from serving.titled import save_titled_run

from fashion_keras.decision.parameters import Acceptance, Decision
from fashion_keras.errors import UserError
from fashion_keras.pages.answers import answer_html, answer_photo
from fashion_keras.pages.gallery import Neighbour
from fashion_keras.serving.bundle import Bundle
from fashion_keras.serving.savedmodel import export_saved_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle(export_saved_model(tiny_run(), tmp_path_factory.mktemp("shop"), top=3))


GOOD = ("a.jpg", PHOTOS["jpeg"])
CUT = ("cut.jpg", photo()[:300])
NOTES = ("<b>notes.txt", b"no photo")


class TwoProducts:
    """Stands in for an index."""

    def nearest(self, embedding, count):
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-4)
        return [Neighbour("7", "A <shirt>", "", photo(), 0.5)]


def with_threshold(bundle, threshold, **further):
    import copy

    other, accept = copy.copy(bundle), {"subCategory": threshold, **further}
    other.info = dataclasses.replace(bundle.info, accept={"photo": accept})
    return other


def test_a_photo_gets_the_best_classes_of_every_head(bundle):
    answer = answer_photo(bundle, *GOOD)
    assert list(answer.heads) == list(LABELS)
    for label, classes in answer.heads.items():
        scores = [score for _, score in classes]
        assert scores == sorted(scores, reverse=True)
        assert {name for name, _ in classes} <= set(LABELS[label])
    assert len(answer.heads["subCategory"]) == 3
    predicted = tiny_run().model.predict_on_batch(_pixels(GOOD[1]))["gender"][0]
    assert answer.heads["gender"][0][0] == LABELS["gender"][int(predicted.argmax())]


@pytest.mark.parametrize("file", [CUT, NOTES])
def test_a_file_that_is_no_photo_gets_a_sentence_and_nothing_else(bundle, file):
    answer = answer_photo(bundle, *file, gallery=TwoProducts(), look=lambda *a: 1 / 0)
    assert answer.error.endswith(".")
    assert (answer.heads, answer.neighbours, answer.heat) == ({}, [], "")
    assert answer.error in answer_html(bundle, answer)


@pytest.mark.parametrize(("distance", "accepted"), [(-1e-3, True), (0.0, True), (1e-3, False)])
def test_a_photo_is_accepted_from_the_threshold_on(bundle, distance, accepted):
    score = answer_photo(bundle, *GOOD).best[1]
    strict = with_threshold(bundle, score + distance)
    answer = answer_photo(strict, *GOOD)
    assert answer.accepted is accepted
    html = answer_html(strict, answer)
    assert ("accept</b>" in html, "review</b>" in html) == (accepted, not accepted)


def test_a_threshold_of_nothing_says_that_every_answer_is_accepted(bundle):
    lenient = with_threshold(bundle, 0.0)
    html = answer_html(lenient, answer_photo(lenient, *GOOD))
    assert "accept</b> By the photo: the threshold is 0%, so every answer is accepted." in html


def test_without_a_threshold_the_page_says_how_to_get_one(bundle):
    answer = answer_photo(bundle, *GOOD)
    assert answer.accepted is None
    assert "fashion-keras calibrate" in answer_html(bundle, answer)


def test_each_label_is_decided_by_its_own_threshold(bundle):
    answer = answer_photo(bundle, *GOOD)
    assert "<small>" not in answer_html(bundle, answer)
    for threshold, decision in ((0.0, "accept"), (1.0, "review")):
        other = with_threshold(bundle, 0.5, gender=threshold)
        assert f"<h3>gender <small>{decision}</small></h3>" in answer_html(other, answer)


def test_the_threshold_is_the_one_that_was_fitted(tmp_path):
    decision = Decision("subCategory", accept={"subCategory": Acceptance(0.05, 0.02, 0.9, 0.01)})
    run = dataclasses.replace(tiny_run(), decision=decision)
    answer = answer_photo(Bundle(export_saved_model(run, tmp_path / "shop")), *GOOD)
    assert answer.accepted is True


def test_the_heat_map_is_asked_for_the_class_that_is_shown(bundle):
    asked = []

    def look(encoded, index):
        asked.append((encoded, LABELS["subCategory"][index]))
        return "data:heat"

    answer = answer_photo(bundle, *GOOD, look=look)
    assert asked == [(GOOD[1], answer.best[0])]
    assert answer.heat == "data:heat"


def test_what_comes_from_outside_is_escaped(bundle):
    html = answer_html(bundle, answer_photo(bundle, *NOTES))
    assert "&lt;b&gt;notes.txt" in html and "<b>notes" not in html
    html = answer_html(bundle, answer_photo(bundle, *GOOD, gallery=TwoProducts()))
    assert "A &lt;shirt&gt;" in html
    assert "no subCategory" in html


def test_a_files_name_is_shown_short_and_without_what_turns_it_around(bundle):
    answer = answer_photo(bundle, "gpj.\u202eexe" + "x" * 1000, b"")
    assert answer.name.startswith(r"gpj.\u202eexe")
    assert len(answer.name) == 200


def test_a_bar_is_as_long_as_its_probability(bundle):
    answer = answer_photo(bundle, *GOOD)
    widths = [
        float(width) for width in re.findall(r'width="([\d.]+)%', answer_html(bundle, answer))
    ]
    scores = [score for classes in answer.heads.values() for _, score in classes]
    np.testing.assert_allclose(np.array(widths, float), np.multiply(scores, 100), atol=0.051)


def test_nothing_on_the_page_needs_what_its_policy_forbids(bundle):
    html = answer_html(bundle, answer_photo(bundle, *GOOD, gallery=TwoProducts()))
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:|https?:", html)


def _pixels(data):
    from fashion_keras.data.image import decode_and_resize

    return decode_and_resize(data, (40, 32), "stretch")[None].numpy()


TITLE = "Red <b>Shirt</b>"


@pytest.fixture(scope="module")
def titled(tmp_path_factory):
    """A run that takes titles, with another threshold for each of what it sees."""
    found = Bundle(save_titled_run(tmp_path_factory.mktemp("titled") / "run"))
    accept = {"photo": {"subCategory": 0.0}, "both": {"subCategory": 1.0}, "title": {"gender": 0.5}}
    found.info = dataclasses.replace(found.info, accept=accept)
    return found


@pytest.mark.parametrize(
    ("data", "title", "sees", "by", "accepted"),
    [
        (GOOD[1], "", "photo", "By the photo:", True),
        (GOOD[1], " - ! 👗", "photo", "By the photo:", True),
        (GOOD[1], TITLE, "both", "By photo and title:", False),
        (None, TITLE, "title", "By the title alone. The model has no threshold", None),
    ],
)
def test_the_answer_says_what_it_goes_by_and_has_its_threshold(
    titled, data, title, sees, by, accepted
):
    answer = answer_photo(titled, "" if data is None else "a.jpg", data, title)
    assert (answer.sees, answer.accepted) == (sees, accepted)
    assert answer.heads == titled.classify(data, title if sees != "photo" else "")
    html = answer_html(titled, answer)
    assert by in html
    assert ("<h2>A title alone</h2>" in html) == (data is None)


def test_photo_title_and_both_are_three_answers(titled):
    asked = (GOOD[1], ""), (GOOD[1], TITLE), (None, TITLE)
    scores = {titled.classify(*each)["subCategory"][0][1] for each in asked}
    assert len(scores) == 3


def test_a_title_of_signs_alone_gets_a_sentence(titled):
    answer = answer_photo(titled, "", None, " ?! 👗 ")
    assert "neither a letter nor a digit" in answer.error and not answer.heads
    assert answer.error in answer_html(titled, answer)


@pytest.mark.parametrize("file", [CUT, NOTES])
def test_a_file_that_is_no_photo_is_not_answered_by_its_title(titled, file):
    answer = answer_photo(titled, *file, TITLE)
    assert answer.error and not answer.heads


def test_a_title_alone_has_neither_neighbours_nor_a_heat_map(titled):
    answer = answer_photo(titled, "", None, TITLE, gallery=TwoProducts(), look=lambda *a: 1 / 0)
    assert (answer.shown, answer.heat, answer.neighbours) == ("", "", [])
    assert "<img" not in answer_html(titled, answer)


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        (TITLE, "<bdi>Red &lt;b&gt;Shirt&lt;/b&gt;</bdi>"),
        ("<img src=x onerror=alert(1)>", "<bdi>&lt;img src=x onerror=alert(1)&gt;</bdi>"),
        ("قميص أحمر 👗🏽", "<bdi>قميص أحمر 👗🏽</bdi>"),
        ("a\u202eb\x1fc\0", r"<bdi>a\u202eb\x1fc\x00</bdi>"),
        ("x" * 10_000, f"<bdi>{'x' * 300}…</bdi>"),
    ],
)
def test_a_title_is_shown_escaped_short_and_in_its_own_direction(titled, title, shown):
    for data in (GOOD[1], None):
        assert shown in answer_html(titled, answer_photo(titled, "a.jpg", data, title))


def test_a_model_of_photos_alone_refuses_titles(bundle):
    for data in (GOOD[1], None):
        with pytest.raises(UserError, match="takes no titles"):
            bundle.classify(data, TITLE)


def test_an_exported_model_takes_what_its_run_takes(titled, tmp_path):
    exported = Bundle(export_saved_model(titled.run, tmp_path / "shop"))
    assert exported.info.takes == titled.info.takes == ("photo", "title", "both")
    assert exported.run is None
    for data in (GOOD[1], None):
        best, same = (each.classify(data, TITLE)["subCategory"][0] for each in (exported, titled))
        assert best[0] == same[0] and best[1] == pytest.approx(same[1], abs=1e-5)
