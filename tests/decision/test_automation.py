"""What a threshold accepts: the curve, the choice, ties, and how honest the choice is."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from fashion_keras.decision.automation import (
    LEAST,
    automation_curve,
    check_by_class,
    check_threshold,
    threshold_for,
)
from fashion_keras.decision.parameters import Acceptance

# Surest first: right, right, wrong, right, wrong; the third and fourth are equally sure.
CONFIDENCE = np.array([0.5, 0.9, 0.7, 0.7, 0.8])
CORRECT = np.array([False, True, False, True, True])


def drawn(photos, seed):
    """Photos that are right as often as the model is sure."""
    generator = np.random.default_rng(seed)
    confidence = 0.1 + 0.9 * generator.beta(6, 0.35, photos)
    return confidence, generator.random(photos) < confidence


def test_curve_by_hand_takes_equals_together():
    curve = automation_curve(CONFIDENCE, CORRECT)
    assert curve.confidence.tolist() == [0.9, 0.8, 0.7, 0.5]
    assert curve.accepted.tolist() == [1, 2, 4, 5]
    assert curve.wrong.tolist() == [0, 0, 1, 2]
    assert curve.coverage.tolist() == [0.2, 0.4, 0.8, 1.0]
    assert curve.error.tolist() == [0, 0, 0.25, 0.4]


def test_error_is_one_minus_scikit_learns_precision_at_every_threshold():
    # Of the answers "the model is right", the accepted ones are those at or above the threshold.
    confidence, correct = drawn(500, seed=1)
    precision, _, thresholds = precision_recall_curve(correct, confidence)
    curve = automation_curve(confidence, correct)
    np.testing.assert_allclose(curve.confidence[::-1], thresholds)
    np.testing.assert_allclose(curve.error[::-1], 1 - precision[:-1], atol=1e-12)


def test_curve_of_no_photos_is_empty():
    assert len(automation_curve(np.array([]), np.array([], bool)).coverage) == 0
    assert threshold_for(np.array([]), np.array([], bool), 0.1) is None


def test_the_threshold_accepts_most_within_the_target_and_lies_between_photos():
    found = threshold_for(CONFIDENCE, CORRECT, 0.25, certainty=None)
    assert found == Acceptance(pytest.approx(0.6), 0.25, coverage=0.8, error=0.25)


def test_of_equally_sure_photos_all_or_none_are_accepted():
    # With the tie parted by luck, three photos with one mistake would do.
    found = threshold_for(CONFIDENCE, CORRECT, 0.24, certainty=None)
    assert found == Acceptance(pytest.approx(0.75), 0.24, coverage=0.4, error=0.0)


def test_error_need_not_fall_with_the_threshold():
    # The surest photo is the mistake: a stricter threshold is worse, and not what is chosen.
    confidence = np.array([0.99, *np.linspace(0.6, 0.9, 19)])
    correct = np.array([False] + [True] * 19)
    found = threshold_for(confidence, correct, 0.05, certainty=None)
    assert (found.coverage, found.error, found.threshold) == (1.0, 0.05, LEAST)


def test_nothing_is_accepted_that_is_hardly_likelier_than_another():
    """Else a product like none of validation's would be tagged with whatever comes first."""
    found = threshold_for([0.9, 0.6, 0.505, 0.3], [True] * 4, 0.5, certainty=None)
    assert found.threshold == pytest.approx((0.6 + 0.505) / 2) and found.coverage == 0.5
    assert threshold_for([0.5, 0.4], [True] * 2, 0.5, certainty=None) is None


def test_no_threshold_is_none():
    assert threshold_for([0.9, 0.8], [False, True], 0.1, certainty=None) is None


def test_few_photos_cannot_vouch_for_a_small_error():
    # 0.99^298 > 0.05 > 0.99^299: so many photos without a mistake it takes.
    assert threshold_for(np.linspace(0.6, 1, 298), np.ones(298, bool), 0.01) is None
    assert threshold_for(np.linspace(0.6, 1, 299), np.ones(299, bool), 0.01).coverage == 1


def test_the_bound_keeps_the_target_on_new_photos_and_the_plain_error_does_not():
    confidence, _ = drawn(200_000, seed=2)

    def share_of_splits_above_target(certainty):
        above = 0
        for seed in range(100):
            found = threshold_for(*drawn(3000, seed=seed), 0.01, certainty=certainty)
            accepted = confidence[confidence >= found.threshold]
            above += (1 - accepted).mean() > 0.01
        return above / 100

    assert share_of_splits_above_target(None) > 0.3
    assert share_of_splits_above_target(0.95) < 0.15


def test_check_by_hand():
    found = check_threshold(CONFIDENCE, CORRECT, 0.7)
    assert (found.photos, found.accepted, found.wrong) == (5, 4, 1)
    assert (found.coverage, found.error) == (0.8, 0.25)
    assert found.low < 0.25 < found.high


def test_check_on_the_choosing_split_is_what_the_choice_says():
    confidence, correct = drawn(3000, seed=3)
    chosen = threshold_for(confidence, correct, 0.02)
    found = check_threshold(confidence, correct, chosen.threshold)
    assert (found.coverage, found.error) == (chosen.coverage, chosen.error)


def test_nothing_accepted_has_no_error():
    found = check_threshold(CONFIDENCE, CORRECT, 0.95)
    assert (found.coverage, found.error, found.low, found.high) == (0, None, None, None)


def test_classes_are_checked_by_what_was_predicted():
    prediction = np.array([0, 0, 2, 2, 2])
    bags, shoes, tops = check_by_class(prediction, CONFIDENCE, CORRECT, 0.7, 3)
    assert (bags.photos, bags.accepted, bags.wrong, bags.coverage) == (2, 1, 0, 0.5)
    assert (shoes.photos, shoes.coverage, shoes.error) == (0, None, None)
    assert (tops.photos, tops.accepted, tops.wrong) == (3, 3, 1)
    whole = check_threshold(CONFIDENCE, CORRECT, 0.7)
    assert sum(c.accepted for c in (bags, shoes, tops)) == whole.accepted
    assert sum(c.wrong for c in (bags, shoes, tops)) == whole.wrong
