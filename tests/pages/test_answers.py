"""What the page says of dropped files."""

import dataclasses
import re

import numpy as np
import pytest
from serving.tiny import LABELS, PHOTOS, photo, tiny_run

from fashion_keras.decision.parameters import Acceptance, Decision
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
