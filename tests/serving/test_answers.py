"""What the page says of dropped files."""

import dataclasses
import re

import numpy as np
import pytest
from serving.tiny import LABELS, PHOTOS, photo, tiny_run

from fashion_keras.decision import Acceptance, Decision
from fashion_keras.serving.answers import MAX_PHOTOS, answer_files, answers_html
from fashion_keras.serving.bundle import Bundle
from fashion_keras.serving.gallery import Neighbour
from fashion_keras.serving.savedmodel import export_saved_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle(export_saved_model(tiny_run(), tmp_path_factory.mktemp("shop"), top=3))


@pytest.fixture
def files(tmp_path):
    """A photo, a damaged one, a text and another photo, by name."""
    contents = {
        "a.jpg": PHOTOS["jpeg"],
        "cut.jpg": photo()[:300],
        "<b>notes.txt": b"no photo",
        "z.png": PHOTOS["png"],
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    return [tmp_path / name for name in contents]


class TwoProducts:
    """Stands in for an index."""

    def nearest(self, embedding, count):
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-4)
        return [Neighbour("7", "A <shirt>", "", photo(), 0.5)]


def with_threshold(bundle, threshold):
    import copy

    other = copy.copy(bundle)
    other.info = dataclasses.replace(bundle.info, accept=threshold)
    return other


def test_a_photo_gets_the_best_classes_of_every_head(bundle, files):
    [answer] = answer_files(bundle, files[:1])
    assert list(answer.heads) == list(LABELS)
    for label, classes in answer.heads.items():
        scores = [score for _, score in classes]
        assert scores == sorted(scores, reverse=True)
        assert {name for name, _ in classes} <= set(LABELS[label])
    assert len(answer.heads["subCategory"]) == 3
    predicted = tiny_run().model.predict_on_batch(_pixels(files[0]))["gender"][0]
    assert answer.heads["gender"][0][0] == LABELS["gender"][int(predicted.argmax())]


def test_bad_files_get_a_sentence_and_spare_the_others(bundle, files):
    answers = answer_files(bundle, files)
    assert [answer.name for answer in answers] == [path.name for path in files]
    assert [bool(answer.error) for answer in answers] == [False, True, True, False]
    for answer, path in zip(answers[::3], files[::3], strict=True):
        alone = answer_files(bundle, [path])[0]
        assert answer.best[0] == alone.best[0]
        assert answer.best[1] == pytest.approx(alone.best[1], abs=1e-5)


def test_bad_files_alone_are_no_trouble(bundle, files):
    answers = answer_files(bundle, files[1:3], gallery=TwoProducts(), look=lambda *a: 1 / 0)
    assert all(answer.error for answer in answers)


@pytest.mark.parametrize(("distance", "accepted"), [(-1e-3, True), (0.0, True), (1e-3, False)])
def test_a_photo_is_accepted_from_the_threshold_on(bundle, files, distance, accepted):
    score = answer_files(bundle, files[:1])[0].best[1]
    strict = with_threshold(bundle, score + distance)
    [answer] = answer_files(strict, files[:1])
    assert answer.accepted is accepted
    html = answers_html(strict, [answer], 1)
    assert ("accept</b>" in html, "review</b>" in html) == (accepted, not accepted)


def test_without_a_threshold_the_page_says_how_to_get_one(bundle, files):
    [answer] = answer_files(bundle, files[:1])
    assert answer.accepted is None
    assert "fashion_keras.calibrate" in answers_html(bundle, [answer], 1)


def test_the_threshold_is_the_one_that_was_fitted(tmp_path, files):
    decision = Decision("subCategory", accept=Acceptance(0.05, 0.02, 0.9, 0.01))
    run = dataclasses.replace(tiny_run(), decision=decision)
    [answer] = answer_files(Bundle(export_saved_model(run, tmp_path / "shop")), files[:1])
    assert answer.accepted is True


def test_the_heat_map_is_asked_for_the_class_that_is_shown(bundle, files):
    asked = []

    def look(encoded, classes):
        asked.extend(zip(encoded, classes, strict=True))
        return ["data:heat"] * len(encoded)

    answers = answer_files(bundle, files, look=look)
    assert [data for data, _ in asked] == [files[0].read_bytes(), files[3].read_bytes()]
    for answer, (_, index) in zip(answers[::3], asked, strict=True):
        assert LABELS["subCategory"][index] == answer.best[0]
        assert answer.heat == "data:heat"


def test_what_comes_from_outside_is_escaped(bundle, files):
    html = answers_html(bundle, answer_files(bundle, files, gallery=TwoProducts()), len(files))
    assert "&lt;b&gt;notes.txt" in html and "<b>notes" not in html
    assert "A &lt;shirt&gt;" in html
    assert "no subCategory" in html


def test_a_bar_is_as_long_as_its_probability(bundle, files):
    [answer] = answer_files(bundle, files[:1])
    widths = [
        float(width) for width in re.findall(r"width: ([\d.]+)%", answers_html(bundle, [answer], 1))
    ]
    scores = [score for classes in answer.heads.values() for _, score in classes]
    np.testing.assert_allclose(widths, np.multiply(scores, 100), atol=0.051)


def test_too_many_files_are_cut_off_and_the_page_says_so(bundle, files):
    paths = files[:1] * (MAX_PHOTOS + 2)
    answers = answer_files(bundle, paths)
    assert len(answers) == MAX_PHOTOS
    assert f"first {MAX_PHOTOS} of {MAX_PHOTOS + 2}" in answers_html(bundle, answers, len(paths))


def _pixels(path):
    from fashion_keras.data.image import decode_and_resize

    return decode_and_resize(path.read_bytes(), (40, 32), "stretch")[None].numpy()
