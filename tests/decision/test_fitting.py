"""Parts of a decision on made-up logits in which each part has something to find."""

import dataclasses

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss

from fashion_keras.config import DecisionConfig
from fashion_keras.decision import parts
from fashion_keras.decision.fitting import fit_decision, parts_of
from fashion_keras.decision.layer import apply_decision, apply_decision_of_both
from fashion_keras.decision.parts import Counts, combinations_known, log_prior_of
from fashion_keras.evaluation.predictions import Predictions

LABELS = {"sub": ("common", "other", "rare"), "type": ("a", "b", "c", "d")}
TYPES = {"a": 0, "b": 0, "c": 1, "d": 2}  # what each type implies
JOINT = {"sub": {"type": np.array([[500, 0, 0], [400, 0, 0], [0, 90, 0], [0, 0, 10]])}}
COUNTS = [900, 90, 10]
NOTHING = DecisionConfig(temperature=False, agree=False)


@pytest.fixture(scope="module")
def predictions():
    """A headline head that is unsure and shy of the rare class, and a finer head that is good."""
    rng = np.random.default_rng(0)
    types = rng.choice(4, 600, p=[0.5, 0.3, 0.14, 0.06])
    truth = np.array([TYPES[LABELS["type"][t]] for t in types])
    sub = rng.normal(size=(600, 3)) + 1.5 * np.eye(3)[truth] + 0.5 * np.log(np.array(COUNTS) / 1000)
    finer = rng.normal(size=(600, 4)) + 3.0 * np.eye(4)[types]
    truth[:5] = -1
    return Predictions(
        "validation",
        [str(i) for i in range(600)],
        {"sub": truth, "type": types},
        {"sub": (4 * sub).astype("float32"), "type": finer.astype("float32")},
    )


def counts(joint, combinations=None):
    return Counts(joint, log_prior_of(COUNTS), combinations or {})


def fit(predictions, **options):
    options = DecisionConfig(**{**vars(NOTHING), **options})
    return fit_decision(options, predictions, LABELS, counts(JOINT))


def test_steps_hold_scikit_learns_figures_of_the_logits(predictions):
    decision, (step,) = fit(predictions)
    truth, logits = predictions.truth["sub"][5:], predictions.logits["sub"][5:]
    said = logits.argmax(axis=1)
    assert step.accuracy == pytest.approx(accuracy_score(truth, said))
    assert step.macro_f1 == pytest.approx(f1_score(truth, said, average="macro"))
    assert step.nll == pytest.approx(log_loss(truth, softmax(logits.astype(float), axis=1)))
    assert decision.num_examples == 595
    assert not (decision.combine or decision.bias or decision.temperature or decision.flip)


def test_finer_head_is_mixed_in_and_lowers_the_loss(predictions):
    decision, steps = fit(predictions, combine=True, temperature=True)
    (before, mixed, scaled) = steps
    assert mixed.accuracy > before.accuracy + 0.02 and scaled.nll < before.nll
    assert list(decision.combine) == ["sub"]
    mix = decision.combine["sub"]
    assert mix.finer == "type" and 0.5 < mix.weight <= 1
    assert mix.implies == {name: {LABELS["sub"][index]: 1.0} for name, index in TYPES.items()}


def test_another_head_than_the_headline_is_mixed_too(predictions):
    """The same heads with the finer one as the headline: the coarser one gains all the same."""
    turned = {name: LABELS[name] for name in ("type", "sub")}
    options = DecisionConfig(combine=True, temperature=False)
    shares = [500, 400, 90, 10]
    joint = {"type": {"sub": JOINT["sub"]["type"].T}, **JOINT}
    decision, steps = fit_decision(
        options, predictions, turned, Counts(joint, log_prior_of(shares))
    )
    assert list(decision.combine) == ["sub"] and len(steps) == 1
    whole, _ = fit(predictions, combine=True)
    assert decision.combine["sub"] == whole.combine["sub"]


def test_head_that_leaves_a_choice_is_not_mixed_in(predictions):
    coarse = {"sub": {"type": np.array([[450, 45, 5]] * 4)}}
    options = DecisionConfig(combine=True, temperature=False)
    decision, steps = fit_decision(options, predictions, LABELS, counts(coarse))
    assert not decision.combine and len(steps) == 1


def test_class_bias_raises_macro_f1_and_costs_next_to_no_accuracy(predictions):
    decision, (before, after) = fit(predictions, class_bias=True)
    assert after.macro_f1 > before.macro_f1
    assert after.accuracy >= before.accuracy - 0.001
    shifts = decision.bias
    assert shifts["rare"] > shifts["other"] > shifts["common"]
    # Proportional to −log prior.
    prior = np.log(np.array(COUNTS) / 1000)
    tau = shifts["rare"] / -prior[2]
    np.testing.assert_allclose([shifts[name] for name in LABELS["sub"]], -tau * prior)


def test_class_bias_that_takes_the_order_of_the_sure_photos_is_left_out(monkeypatch):
    """Fifty rare photos would be won by little, and forty common ones surely be lost."""
    margins = [(0, 6.0, 2000), (0, 1.0, 40), (2, 3.9, 50)]  # truth, common over rare, photos
    truth = np.concatenate([[index] * photos for index, _, photos in margins])
    rare = -np.concatenate([[margin] * photos for _, margin, photos in margins])
    logits = np.stack([np.zeros_like(rare), np.full_like(rare, -30.0), rare], axis=1)
    made_up = Predictions("validation", ["x"] * len(truth), {"sub": truth}, {"sub": logits})

    def coverage_and_bias(**options):
        options = DecisionConfig(temperature=False, target_error=0.01, **options)
        labels = {"sub": LABELS["sub"]}
        decision, _ = fit_decision(options, made_up, labels, counts({}))
        accept = decision.accept.get("sub")
        return (accept.coverage if accept else 0.0), bool(decision.bias)

    assert coverage_and_bias()[0] > 0.9
    assert coverage_and_bias(class_bias=True) == coverage_and_bias()
    monkeypatch.setattr(parts, "_COVERAGE_LOSS", 1.0)
    assert coverage_and_bias(class_bias=True)[1]


def test_temperature_of_each_head_minimises_its_loss(predictions):
    decision, steps = fit(predictions, temperature=True)
    assert steps[-1].nll < steps[0].nll and steps[-1].ece < steps[0].ece
    for name in LABELS:
        known = predictions.truth[name] >= 0
        truth, logits = predictions.truth[name][known], predictions.logits[name][known]
        best = decision.temperature[name]
        losses = [
            log_loss(truth, softmax(logits / t, axis=1), labels=range(len(LABELS[name])))
            for t in (best * 0.97, best, best * 1.03)
        ]
        assert losses[1] < losses[0] and losses[1] < losses[2]


def test_model_with_the_decision_built_in_gives_the_scores_of_the_last_step(predictions):
    decision, steps = fit(predictions, combine=True, class_bias=True, temperature=True)
    inputs = keras.Input((7, 1, 1))
    flat = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, {"sub": flat[:, :3], "type": flat[:, 3:]})
    stacked = np.concatenate([predictions.logits["sub"], predictions.logits["type"]], axis=1)
    outputs = apply_decision(model, LABELS, decision)(stacked[:, :, None, None])
    log_p = log_softmax(np.array(outputs["sub"], float), axis=1)[5:]
    truth = predictions.truth["sub"][5:]
    assert accuracy_score(truth, log_p.argmax(axis=1)) == pytest.approx(steps[-1].accuracy)
    assert log_loss(truth, np.exp(log_p)) == pytest.approx(steps[-1].nll, rel=1e-4)


def test_each_label_has_a_threshold_of_its_own_or_none(predictions):
    decision, _ = fit(predictions, temperature=True, target_error=0.05)
    for name, accept in decision.accept.items():
        known = predictions.truth[name] >= 0
        logits = predictions.logits[name][known].astype(float) / decision.temperature[name]
        accepted = softmax(logits, axis=1).max(axis=1) >= accept.threshold
        assert accepted.mean() == pytest.approx(accept.coverage, abs=0.05)
        wrong = logits.argmax(axis=1) != predictions.truth[name][known]
        assert wrong[accepted].mean() <= 0.05
    assert "type" in decision.accept
    assert fit(predictions, temperature=True, target_error=1e-4)[0].accept == {}


def test_threshold_is_chosen_on_photos_that_no_part_was_fitted_to(predictions, monkeypatch):
    """Another truth of one photo changes how sure the others look, and not how sure it does."""
    asked = []

    def listen(confidence, correct, target_error):
        asked.append(confidence)

    monkeypatch.setattr(parts, "threshold_for", listen)
    fit(predictions, combine=True, temperature=True)
    truth = predictions.truth["sub"].copy()
    truth[5] = (truth[5] + 1) % 3  # the first photo with a label
    turned = dataclasses.replace(predictions, truth=predictions.truth | {"sub": truth})
    fit(turned, combine=True, temperature=True)
    before, _, after, _ = asked  # of sub and type each
    assert before[0] == after[0]
    changed = before != after
    assert 0.7 < changed.mean() < 0.9  # the four other fifths


PAIRS = {("sub", "type"): np.array([[0, 0], [0, 1], [1, 2], [2, 3]])}


def together(logits):
    return np.stack([logits[name].argmax(axis=1) for name in LABELS], axis=1)


def test_labels_that_go_together_are_never_answered_apart(predictions):
    options = dataclasses.replace(NOTHING, agree=True)
    decision, steps = fit_decision(options, predictions, LABELS, counts({}, PAIRS))
    (agreement,) = decision.agree
    assert agreement.combinations == (
        ("common", "a"),
        ("common", "b"),
        ("other", "c"),
        ("rare", "d"),
    )
    fitted = parts.Parts(agree=PAIRS).decide(predictions.logits)
    rows = {tuple(row) for row in PAIRS["sub", "type"]}
    assert not {tuple(row) for row in together(predictions.logits)} <= rows
    assert {tuple(row) for row in together(fitted)} <= rows
    assert steps[-1].accuracy > steps[0].accuracy  # the finer head is the better one


def test_the_best_combination_is_answered_and_the_rest_stays(predictions):
    """Against all combinations, one by one."""
    found = parts.agreed(predictions.logits, ("sub", "type"), PAIRS["sub", "type"])
    log_p = {name: log_softmax(predictions.logits[name], axis=1) for name in LABELS}
    pairs = PAIRS["sub", "type"].tolist()
    for row in range(600):
        sums = [log_p["sub"][row, one] + log_p["type"][row, other] for one, other in pairs]
        best = pairs[int(np.argmax(sums))]
        for name, chosen in zip(LABELS, best, strict=True):
            before, after = predictions.logits[name][row], found[name][row]
            if before.argmax() == chosen:
                np.testing.assert_array_equal(after, before)
            else:
                assert after.argmax() == chosen and softmax(after).max() <= 0.51
                behind = before < before[chosen]
                np.testing.assert_array_equal(after[behind], before[behind])


def test_a_class_in_no_combination_is_never_answered(predictions):
    some = PAIRS["sub", "type"][:3]  # not the rare class, nor its type
    found = together(parts.agreed(predictions.logits, ("sub", "type"), some))
    assert found.max(axis=0).tolist() == [1, 2]


def test_combinations_are_those_of_training():
    kind = np.array([0, 0, 1, 1, -1, 0])
    article = np.array([0, 1, 2, 2, 3, -1])
    colour = np.array([0, 1, 0, 1, 0, 1])
    found = combinations_known(np.stack([article, kind, colour], axis=1), ["a", "k", "c"])
    assert list(found) == [("a", "k")]
    assert found["a", "k"].tolist() == [[0, 0], [1, 0], [2, 1]]
    apart = np.array([[0, 0, -1], [1, 0, -1], [2, 1, -1], [-1, 0, 0], [-1, 0, 1], [-1, 1, 2]])
    assert combinations_known(apart, ["article", "kind", "other"]) == {}  # none has all three
    alike = combinations_known(np.stack([kind, kind], axis=1), ["k", "same"])
    assert alike == {}


def test_photo_and_title_are_weighed_by_what_they_know(predictions):
    rng = np.random.default_rng(1)
    titles = {
        "sub": rng.normal(size=(600, 3)) + 4 * np.eye(3)[np.maximum(predictions.truth["sub"], 0)],
        "type": rng.normal(size=(600, 4)),  # says nothing of it
    }
    options = dataclasses.replace(NOTHING, temperature=True)
    decision, steps = fit_decision(options, predictions, LABELS, counts({}), titles)
    said, seen = decision.weights["sub"], decision.weights["type"]
    assert said.title > 0 and said.photo > 0 and seen.photo > 10 * seen.title
    assert [step.part for step in steps] == [
        "logits",
        "the title alone",
        "photo and title",
        "temperature",
    ]
    assert steps[2].accuracy > max(steps[0].accuracy, steps[1].accuracy)


def test_the_model_of_both_gives_the_scores_of_the_last_step(predictions):
    titles = {name: values[::-1].copy() for name, values in predictions.logits.items()}
    options = dataclasses.replace(
        NOTHING, combine=True, class_bias=True, temperature=True, agree=True
    )
    decision, steps = fit_decision(options, predictions, LABELS, counts(JOINT, PAIRS), titles)
    photo, title = keras.Input((7, 1, 1)), keras.Input([7], name="title_ids")
    flat = keras.layers.Flatten()(photo)
    models = [
        keras.Model(inputs, {"sub": values[:, :3], "type": values[:, 3:]})
        for inputs, values in ((photo, flat), (title, title))
    ]
    stacked, said = (
        np.concatenate([logits["sub"], logits["type"]], axis=1)
        for logits in (predictions.logits, titles)
    )
    both = apply_decision_of_both(*models, LABELS, (None, None), decision)
    log_p = log_softmax(np.array(both([stacked[:, :, None, None], said])["sub"], float), axis=1)[5:]
    truth = predictions.truth["sub"][5:]
    assert accuracy_score(truth, log_p.argmax(axis=1)) == pytest.approx(steps[-1].accuracy)
    assert log_loss(truth, np.exp(log_p)) == pytest.approx(steps[-1].nll, rel=1e-3)


def test_what_photo_and_title_both_know_of_frequency_counts_once(predictions):
    """Photo and title are noisy measurements; each one's logits are its log p, the prior in it."""
    rng = np.random.default_rng(0)
    share = np.array([0.9, 0.07, 0.03])
    truth = rng.choice(3, size=600, p=share)
    seen, said = (
        log_softmax(
            -((rng.normal(size=(600, 1)) * 0.7 + truth[:, None] - np.arange(3)) ** 2) / 0.98
            + np.log(share),
            axis=1,
        )
        for _ in range(2)
    )
    rest = {"type": np.tile(np.eye(4)[0], (600, 1))}
    photo, title = (
        dataclasses.replace(
            predictions,
            truth={"sub": truth, "type": np.zeros(600, int)},
            logits={"sub": values, **rest},
        )
        for values in (seen, said)
    )
    shares = {"sub": share, "type": np.full(4, 0.25)}
    counted = Counts({}, np.log(share), {}, shares)
    alone = tuple(fit_decision(NOTHING, p, LABELS, counted)[0] for p in (photo, title))
    decision, steps = fit_decision(NOTHING, photo, LABELS, counted, title.logits, alone)
    bayes = seen + said - np.log(share)
    assert decision.weights["sub"].prior > 0
    assert steps[-1].accuracy >= (bayes.argmax(axis=1) == truth).mean() - 0.003
    assert steps[-1].accuracy > ((seen + said).argmax(axis=1) == truth).mean()
    image, ids = keras.Input((7, 1, 1)), keras.Input([7], name="title_ids")
    flat = keras.layers.Flatten()(image)
    models = [
        keras.Model(inputs, {"sub": values[:, :3], "type": values[:, 3:]})
        for inputs, values in ((image, flat), (ids, ids))
    ]
    model = apply_decision_of_both(*models, LABELS, alone, decision)
    found = model(
        [np.hstack([v, rest["type"]])[:, :, None, None] for v in (seen,)]
        + [np.hstack([said, rest["type"]])]
    )
    expected = parts_of(decision, LABELS).decide(photo.logits, title.logits)["sub"]
    doubtful = np.ptp(np.sort(np.array(found["sub"]), axis=1)[:, 1:], axis=1) < 2e-3
    np.testing.assert_allclose(np.array(found["sub"])[~doubtful], expected[~doubtful], atol=1e-4)
    assert doubtful.mean() < 0.2


def test_photo_and_title_of_two_products_are_looked_at_by_a_person(predictions):
    """Titles are the products' own but for fifty, which have one of another class."""
    truth = predictions.truth["type"]
    said = truth.copy()
    said[100:150] = (truth[100:150] + 2) % 4
    titles = {
        "sub": 12.0 * np.eye(3)[np.array([TYPES[LABELS["type"][t]] for t in said])],
        "type": 12.0 * np.eye(4)[said],
    }
    sure = {name: 3 * values for name, values in predictions.logits.items()}
    photo = dataclasses.replace(predictions, logits=sure)
    options = dataclasses.replace(NOTHING, temperature=True, target_error=0.2)
    counted = Counts(
        {}, log_prior_of(COUNTS), {}, {k: np.full(len(v), 1 / len(v)) for k, v in LABELS.items()}
    )
    by_title = dataclasses.replace(predictions, logits=titles)
    alone = tuple(fit_decision(options, p, LABELS, counted)[0] for p in (photo, by_title))
    decision, _ = fit_decision(options, photo, LABELS, counted, titles, alone)
    assert decision.shares == {"sub": (1 / 3,) * 3, "type": (0.25,) * 4}
    image, ids = keras.Input((7, 1, 1)), keras.Input([7], name="title_ids")
    flat = keras.layers.Flatten()(image)
    models = [
        keras.Model(inputs, {"sub": values[:, :3], "type": values[:, 3:]})
        for inputs, values in ((image, flat), (ids, ids))
    ]
    seen, read = (np.concatenate([v["sub"], v["type"]], axis=1) for v in (sure, titles))
    model = apply_decision_of_both(*models, LABELS, alone, decision)
    found = model([seen[:, :, None, None], read])
    sureness = softmax(np.array(found["type"], float), axis=1).max(axis=1)
    swapped = np.zeros(600, bool)
    swapped[100:150] = True
    assert (sureness[swapped] <= 0.5003).mean() > 0.8 > 0.1 > (sureness[~swapped] <= 0.5003).mean()
    held = parts.are_doubtful(
        *(parts_of(d, LABELS).decide(v) for d, v in zip(alone, (sure, titles), strict=True)),
        counted.shares,
    )
    even = {k: dataclasses.replace(w, prior=0.0) for k, w in decision.weights.items()}
    plain = dataclasses.replace(decision, shares={}, weights=even)  # classes of one share each
    before = apply_decision_of_both(*models, LABELS, alone, plain)([seen[:, :, None, None], read])
    for name in LABELS:
        expected = parts.doubted(np.array(before[name], float), held)
        of_each = [log_softmax(np.array(z, float), axis=1) for z in (found[name], expected)]
        np.testing.assert_allclose(*of_each, atol=1e-3)
        np.testing.assert_array_equal(
            np.argmax(found[name], axis=1), np.argmax(before[name], axis=1)
        )


@pytest.mark.parametrize("photos", [1, 2, 4, 7])
def test_a_few_validation_photos_are_enough(predictions, photos):
    rows = np.arange(5, 5 + photos)
    few = Predictions(
        "validation",
        [predictions.ids[row] for row in rows],
        {name: values[rows] for name, values in predictions.truth.items()},
        {name: values[rows] for name, values in predictions.logits.items()},
    )
    decision, _ = fit(few, combine=True, class_bias=True, temperature=True)
    assert decision.num_examples == photos and decision.accept == {}


def test_another_split_than_validation_is_refused(predictions):
    other = Predictions("test", predictions.ids, predictions.truth, predictions.logits)
    with pytest.raises(ValueError, match="validation"):
        fit_decision(NOTHING, other, LABELS, counts(JOINT))
