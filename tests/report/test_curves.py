"""The report's curves: what is drawn is what was measured."""

import numpy as np
import pytest

from fashion_keras.report.curves import automation_figure, long_tail_figure, reliability_figure


def fit(shift):
    return {
        "reliability": [
            {
                "low": low,
                "high": low + 0.5,
                "photos": 10,
                "hits": 5 + number,
                "confidence": low + 0.25 + shift,
                "accuracy": (5 + number) / 10,
            }
            for number, low in enumerate((0.0, 0.5))
        ]
    }


def texts(axes):
    return [text.get_text() for text in axes.texts]


def points(line):
    return np.column_stack(line.get_data()).tolist()


def test_reliability_draws_before_and_after():
    axes, below = reliability_figure({"before": fit(0.1), "after": fit(0.0)}).axes
    _, before, after = axes.lines
    np.testing.assert_allclose(points(before), [[0.35, 0.5], [0.85, 0.6]])
    np.testing.assert_allclose(points(after), [[0.25, 0.5], [0.75, 0.6]])
    assert [bar.get_height() for bar in below.patches] == [10, 10]


def test_reliability_without_a_temperature_draws_what_was_predicted():
    axes = reliability_figure({"before": fit(0.1), "after": None}).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["as predicted"]


def automation(check):
    return {
        "target_error": 0.05,
        "check": check,
        "curve": {
            "accepted": [50, 100],
            "wrong": [1, 8],
            "coverage": [0.5, 1.0],
            "error": [0.02, 0.08],
        },
    }


def test_automation_draws_curve_target_and_choice():
    check = {"accepted": 60, "coverage": 0.6, "error": 0.04, "low": 0.02, "high": 0.07}
    axes = automation_figure(automation(check)).axes[0]
    assert points(axes.lines[0]) == [[0.5, 0.02], [1.0, 0.08]]
    assert set(axes.lines[1].get_ydata()) == {0.05}
    assert "target 5%" in texts(axes)
    assert "60.0% accepted,\n4.00% of them wrong" in texts(axes)
    assert axes.get_ylim()[1] > 0.08


@pytest.mark.parametrize("check", [None, {"accepted": 0, "coverage": 0.0, "high": None}])
def test_automation_without_an_accepted_photo_draws_the_curve_alone(check):
    assert texts(automation_figure(automation(check)).axes[0]) == ["target 5%"]


@pytest.mark.parametrize("last", [0.01, 0.0325, 0.036, 0.045, 0.08, 0.3])
def test_no_two_ticks_of_the_error_have_the_same_label(last):
    """At 3.25% half per cents were written without their decimal: 0%, 0%, 1%, 2%, 2%."""
    drawn = automation(None)
    drawn |= {"target_error": 0.01, "curve": {**drawn["curve"], "error": [0.005, last]}}
    figure = automation_figure(drawn)
    figure.canvas.draw()
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(labels) > 2 and len(set(labels)) == len(labels)


@pytest.mark.parametrize("last", [0.012, 0.17, 0.3])
def test_each_tick_of_the_error_says_where_it_stands(last):
    """Steps of 2.5% were written 2%, 5%, 8%, 10%, 12%."""
    drawn = automation(None)
    drawn |= {"curve": {**drawn["curve"], "error": [0.005, last]}}
    figure = automation_figure(drawn)
    figure.canvas.draw()
    axis = figure.axes[0].yaxis
    for place, text in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True):
        assert float(text.get_text().removesuffix("%")) == pytest.approx(100 * place)


def test_the_targets_name_keeps_away_from_a_dot_at_the_right():
    check = {"accepted": 92, "coverage": 0.92, "error": 0.01, "low": 0.008, "high": 0.013}
    (name,) = (
        text
        for text in automation_figure(automation(check)).axes[0].texts
        if text.get_text().startswith("target")
    )
    assert name.xy[0] < 0.5


def row(name, train, support, f1):
    return {"class": name, "train_support": train, "support": support, "f1": f1}


def test_the_tail_has_a_dot_a_class_with_photos_and_names_the_weak():
    rows = [
        row("Topwear", 10_000, 2000, 1.0),
        row("$\\frac{", 100, 20, 0.5),
        row("Never seen", 0, 3, 0.0),
        row("Absent", 7, 0, 0.0),
    ]
    figure = long_tail_figure(rows)
    axes = figure.axes[0]
    offsets = axes.collections[0].get_offsets().data.tolist()
    assert offsets == [[10_000, 1.0], [100, 0.5], [0.5, 0.0]]
    assert set(texts(axes)) == {"$\\frac{", "Never seen"}
    low, high = axes.get_xlim()
    assert low < 0.5 < 10_000 < high


def test_names_in_the_tail_lie_on_no_other_name_and_within_the_frame():
    generator = np.random.default_rng(4)
    rows = [
        row(f"Class number {n}", int(train), 5, float(f1))
        for n, (train, f1) in enumerate(
            zip(10 ** generator.uniform(0, 4, 60), generator.beta(2, 2, 60), strict=True)
        )
    ]
    figure = long_tail_figure(rows)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) > 10
    for number, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert not any(box.overlaps(other) for other in boxes[:number])
