"""scripts/measure_title_audit.py: what it swaps and what it counts as found."""

import importlib.util
from pathlib import Path

import numpy as np

from fashion_keras.auditing.title_audit import Answers

FILE = Path(__file__).resolve().parents[1] / "scripts" / "measure_title_audit.py"
SPEC = importlib.util.spec_from_file_location(FILE.stem, FILE)
SCRIPT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SCRIPT)


def test_the_drawn_pass_their_photos_on_and_the_others_keep_theirs():
    photos, moved = SCRIPT.drawn(500, 0.01, seed=3)
    assert len(moved) == 5 and sorted(photos.tolist()) == list(range(500))
    assert set(np.flatnonzero(photos != np.arange(500)).tolist()) == set(moved.tolist())
    assert photos[moved].tolist() != SCRIPT.drawn(500, 0.01, seed=4)[0][moved].tolist()


def test_a_swap_shows_where_two_known_values_differ():
    truth = {"a": np.array([0, 0, 1, -1]), "b": np.array([0, 0, 0, 1])}
    photos, moved = np.array([1, 2, 3, 0]), np.arange(4)
    assert SCRIPT.visible(truth, photos, moved).tolist() == [False, True, True, True]
    assert SCRIPT.visible({"a": truth["a"]}, photos, moved).tolist() == [False, True, False, False]


def test_sure_answers_find_every_swap_that_shows_by_every_score_and_no_other():
    truth = np.arange(400) % 4
    sure = np.eye(4)[truth]
    answers = Answers(
        "validation", ["1"] * 400, [""] * 400, {"a": truth}, {"a": sure}, {"a": sure}, 0
    )
    for score in SCRIPT.SCORES.values():
        found = SCRIPT.measure(answers, ["a"], {"a": np.full(4, 0.25)}, score, draws=8)
        assert (found[:, 1] == 1).all()  # of those that show, among the first 1%
        assert 0.5 < found[:, 0, 0].mean() < 1
