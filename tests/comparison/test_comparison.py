"""The paired comparison: every number against scikit-learn, SciPy or a count by hand."""

import re
from math import comb
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score

from fashion_keras.comparison.comparison_report import differences_figure, markdown
from fashion_keras.comparison.runs import StoredRun, compare_runs, mcnemar, pool_seeds
from fashion_keras.config import load_config
from fashion_keras.errors import UserError
from fashion_keras.evaluation.intervals import paired_bootstrap
from fashion_keras.evaluation.plots import figure_to_png

CLASSES = ("Bags", "Belts", "Shoes", "Ties")


def stored(name, prediction, truth, *, seed=None, **options):
    config = load_config(None, {"training.seed": seed, **options}) if seed is not None else None
    ids = tuple(str(i) for i in range(len(truth)))
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    return StoredRun(
        name, Path(name), "test", "subCategory", CLASSES, ids, truth, prediction, config, ()
    )


@pytest.fixture
def noisy():
    """Truth of 400 photos, a model that errs in 30% of them, and one that errs in 15%."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 400)

    def guess(errors):
        return np.where(rng.random(400) < errors, rng.integers(0, 4, 400), truth)

    return truth, guess(0.3), guess(0.15)


def test_scores_and_differences_are_scikit_learns(noisy):
    truth, a, b = noisy
    result = compare_runs([stored("a", a, truth), stored("b", b, truth)], resamples=50)
    macro = [f1_score(truth, guess, average="macro") for guess in (a, b)]
    right = [accuracy_score(truth, guess) for guess in (a, b)]
    (row,) = result["differences"]
    assert [run["macro_f1"] for run in result["runs"]] == pytest.approx(macro)
    assert [run["accuracy"] for run in result["runs"]] == pytest.approx(right)
    assert row["macro_f1"]["value"] == pytest.approx(macro[1] - macro[0])
    assert row["accuracy"]["value"] == pytest.approx(right[1] - right[0])


def test_the_bootstrap_is_that_of_drawing_photos_one_by_one(noisy):
    truth, a, b = noisy
    found = paired_bootstrap(truth, [a, b], 4, resamples=3000, seed=1)
    rng = np.random.default_rng(2)
    by_hand = []
    for _ in range(600):
        drawn = rng.integers(0, len(truth), len(truth))
        scored = [
            (
                accuracy_score(truth[drawn], guess[drawn]),
                f1_score(truth[drawn], guess[drawn], average="macro", zero_division=0),
            )
            for guess in (a, b)
        ]
        by_hand.append(np.subtract(scored[1], scored[0]))
    by_hand = np.array(by_hand)
    for ours, theirs in ((found["accuracy"], by_hand[:, 0]), (found["macro_f1"], by_hand[:, 1])):
        change = ours[:, 1] - ours[:, 0]
        assert change.mean() == pytest.approx(theirs.mean(), abs=0.004)
        assert change.std() == pytest.approx(theirs.std(), rel=0.12)


def test_the_interval_of_a_difference_holds_only_where_the_models_differ(noisy):
    truth, a, _ = noisy
    b = a.copy()
    b[0] = truth[0] if a[0] != truth[0] else (truth[0] + 1) % 3
    result = compare_runs([stored("a", a, truth), stored("b", b, truth)], resamples=2000)
    (row,) = result["differences"]
    # One photo of 400: unpaired intervals would be ±4 points wide.
    assert row["accuracy"]["high"] - row["accuracy"]["low"] < 0.012


def test_the_bootstrap_of_accuracy_agrees_with_scipy(noisy):
    truth, a, b = noisy
    change = (b == truth).astype(float) - (a == truth)
    theirs = stats.bootstrap(
        (change,), np.mean, n_resamples=4000, method="percentile", rng=0
    ).confidence_interval
    result = compare_runs([stored("a", a, truth), stored("b", b, truth)], resamples=4000)
    found = result["differences"][0]["accuracy"]
    assert (found["low"], found["high"]) == pytest.approx(tuple(theirs), abs=0.004)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 6), (5, 5), (3, 11), (40, 61)])
def test_mcnemar_is_the_sum_of_binomial_tails(only_a, only_b):
    n, fewer = only_a + only_b, min(only_a, only_b)
    tail = sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    assert mcnemar(only_a, only_b) == pytest.approx(min(1.0, 2 * tail))


def test_wins_and_losses_are_counted_by_class():
    truth = [0, 0, 0, 1, 1, 2, -1]
    a = [0, 1, 1, 1, 0, 2, 0]
    b = [1, 0, 0, 1, 1, 2, 1]
    (row,) = compare_runs([stored("a", a, truth), stored("b", b, truth)], resamples=10)[
        "differences"
    ]
    found = {one["class"]: (one["support"], one["won"], one["lost"]) for one in row["classes"]}
    assert found == {"Bags": (3, 2, 1), "Belts": (2, 1, 0), "Shoes": (1, 0, 0), "Ties": (0, 0, 0)}
    assert row["mcnemar"]["only_a"] == 1 and row["mcnemar"]["only_b"] == 3


def test_a_photo_without_a_label_counts_nowhere():
    truth, a, b = [0, 1, -1], [0, 0, 0], [0, 1, 1]
    result = compare_runs([stored("a", a, truth), stored("b", b, truth)], resamples=10)
    assert result["num_examples"] == 2
    assert [run["accuracy"] for run in result["runs"]] == [0.5, 1.0]


def test_seeds_of_one_config_are_pooled_with_mean_and_standard_deviation(noisy):
    truth, a, b = noisy
    rng = np.random.default_rng(0)
    seeds = [np.where(rng.random(400) < 0.05, rng.integers(0, 3, 400), b) for _ in range(3)]
    runs = [stored("big", a, truth, seed=0, **{"training.epochs": 3})]
    runs += [stored(f"net-seed{i}", guess, truth, seed=i) for i, guess in enumerate(seeds)]
    result = compare_runs(runs, resamples=200)
    assert [group["name"] for group in result["groups"]] == ["big", "net"]
    scores = [accuracy_score(truth, guess) for guess in seeds]
    pooled = result["groups"][1]["accuracy"]
    assert pooled["value"] == pytest.approx(np.mean(scores))
    assert pooled["sd"] == pytest.approx(np.std(scores, ddof=1))
    assert result["groups"][0]["accuracy"]["sd"] is None
    (row,) = result["differences"]
    assert row["accuracy"]["value"] == pytest.approx(np.mean(scores) - accuracy_score(truth, a))
    assert row["mcnemar"] is None
    gained = np.mean([guess == truth for guess in seeds], axis=0) - (a == truth)
    assert sum(one["won"] for one in row["classes"]) == pytest.approx(gained[gained > 0].sum())
    assert "net (3 seeds)" in markdown(result) and "±" in markdown(result)


def test_two_configs_with_seeds_are_told_apart_by_welchs_test(noisy):
    truth, a, b = noisy
    rng = np.random.default_rng(0)

    def worse(guess):
        return np.where(rng.random(400) < 0.05, rng.integers(0, 3, 400), guess)

    one, other = [worse(a) for _ in range(3)], [worse(b) for _ in range(3)]
    runs = [stored(f"a{i}", g, truth, seed=i) for i, g in enumerate(one)]
    runs += [stored(f"b{i}", g, truth, seed=i, **{"data.mixup": 0.2}) for i, g in enumerate(other)]
    row = compare_runs(runs, resamples=20)["differences"][0]
    scores = [[accuracy_score(truth, g) for g in some] for some in (one, other)]
    expected = stats.ttest_ind(*scores, equal_var=False).pvalue
    assert row["accuracy"]["welch_p"] == pytest.approx(expected)


def test_seeds_alone_give_no_difference():
    runs = [stored(f"net-{i}", [0, 1], [0, 1], seed=i) for i in range(2)]
    result = compare_runs(runs, resamples=10)
    assert result["differences"] == []
    assert "net (2 seeds)" in markdown(result)


def test_only_runs_that_differ_in_the_seed_alone_are_pooled():
    runs = [
        stored("a", [0], [0], seed=0),
        stored("b", [0], [0], seed=1),
        stored("c", [0], [0], seed=1, **{"optimizer.ema": 0.5}),
        stored("again", [0], [0], seed=0),
        stored("unknown", [0], [0]),
    ]
    found = [[run.name for run in group] for group in pool_seeds(runs).values()]
    assert found == [["a", "b"], ["c"], ["again"], ["unknown"]]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_no_run_is_lost_where_seeds_begin_with_the_name_of_another(order):
    runs = [
        stored("net-1", [0], [0], seed=0),
        stored("net-2", [0], [0], seed=1),
        stored("net", [0], [0], seed=0, **{"optimizer.ema": 0.5}),
    ]
    groups = pool_seeds([runs[place] for place in order])
    found = {frozenset(run.name for run in group) for group in groups.values()}
    assert found == {frozenset({"net-1", "net-2"}), frozenset({"net"})}
    assert [run.name for run in groups["net"]] == ["net"]


def test_any_class_name_can_stand_in_the_picture_of_what_changed():
    changed = [
        {"class": name, "support": 3, "won": 2, "lost": 1} for name in (r"$\frac{$", "Tops " * 30)
    ]
    result = {"differences": [{"a": "one", "b": "two", "classes": changed}]}
    figure = differences_figure(result)
    figure_to_png(figure)
    assert figure.axes[0].bbox.width > figure.bbox.width / 2


def test_one_run_is_no_comparison():
    with pytest.raises(UserError, match="at least two"):
        compare_runs([stored("a", [0], [0])])


def test_names_in_the_table_are_shown_and_not_obeyed():
    markdown_it = pytest.importorskip("markdown_it")
    bad = "<img src=x> [b](http://shop.example) **c** | `d`"
    runs = [stored(bad, [0, 1], [0, 0]), stored(f"{bad}2", [0, 0], [0, 0], **{"data.mixup": 0.2})]
    result = compare_runs(runs, resamples=10)
    for row in result["differences"]:
        for one in row["classes"]:
            one["class"] += bad
    page = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(markdown(result))
    assert set(re.findall(r"<(\w+)", page)) == {"p", "table", "thead", "tbody", "tr", "th", "td"}
    assert "&lt;img src=x&gt; [b](http://shop.example) **c** | `d`" in page
