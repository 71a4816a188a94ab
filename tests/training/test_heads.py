"""Heads trained anew: the classifier against scikit-learn's, and a run before and after."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss

from fashion_keras.config import load_config
from fashion_keras.data.pipeline import Augmentation, make_dataset
from fashion_keras.evaluation.predictions import predict
from fashion_keras.features import Features, embed_varied
from fashion_keras.run import load_run
from fashion_keras.training import heads
from fashion_keras.training.heads import fit_head, heads_table, retrain_heads
from fashion_keras.training.trainer import train

RNG = np.random.default_rng(0)


def overlapping(counts):
    """Return features of classes that no line divides, on different scales."""
    centres = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]])[: len(counts)]
    truth = np.repeat(np.arange(len(counts)), counts)
    values = centres[truth] + RNG.normal(size=(len(truth), 2))
    values = values * [10.0, 0.2] + [500.0, 3.0]
    return Features([str(i) for i in range(len(truth))], {"a": truth}, values.astype(np.float32))


def softmax(features, weights):
    logits = features.values.astype(np.float64) @ weights[0] + weights[1]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_head_is_scikit_learns_logistic_regression():
    features = overlapping((600, 300, 300))
    weights = fit_head(features, "a", 3, epochs=60)
    assert weights[0].shape == (2, 3) and weights[1].shape == (3,)
    scaled = (features.values - [500.0, 3.0]) / [10.0, 0.2]  # lbfgs needs it so
    reference = LogisticRegression(C=1e3).fit(scaled, features.truth["a"])
    expected = reference.predict_proba(scaled)
    found = softmax(features, weights)
    truth = features.truth["a"]
    assert log_loss(truth, found) == pytest.approx(log_loss(truth, expected), abs=0.02)
    assert np.abs(found - expected).mean() < 0.05


def test_products_without_the_label_do_not_count():
    features = overlapping((200, 100))
    missing = Features(
        features.ids,
        {"a": np.where(np.arange(300) % 3 == 0, -1, features.truth["a"])},
        features.values,
    )
    known = missing.truth["a"] >= 0
    some = Features(
        [id for id, is_known in zip(features.ids, known, strict=True) if is_known],
        {"a": features.truth["a"][known]},
        features.values[known],
    )
    for one, other in zip(
        fit_head(missing, "a", 2, epochs=3), fit_head(some, "a", 2, epochs=3), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_balanced_draws_raise_the_rare_class_and_an_unseen_class_is_never_named():
    features = overlapping((500, 40))
    truth = features.truth["a"]
    recall = {}
    for sampling in ("natural", "square-root", "balanced"):
        weights = fit_head(features, "a", 3, epochs=20, sampling=sampling)
        said = softmax(features, weights).argmax(axis=1)
        recall[sampling] = (said[truth == 1] == 1).mean()
        assert 2 not in said
    assert recall["natural"] < recall["square-root"] < recall["balanced"]


@pytest.fixture(scope="module")
def trained(tiny, records, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "run"
    overrides = {
        "model.arch": "tiny",
        "data.image_size": [40, 32],
        "data.auxiliary_labels": {"baseColour": 0.5},
        "training.epochs": 3,
        "training.batch_size": 16,
        "optimizer.learning_rate": 0.02,
        "optimizer.ema": 0,
    }
    config = load_config(None, overrides)
    workdir.mkdir()
    config.save(workdir / "config.yaml")
    train(config, records, workdir, say=lambda line: None)
    return workdir


def test_a_better_head_is_kept_and_nothing_else_changes(trained, records):
    run = load_run(trained)
    kernel, bias = run.model.get_layer("baseColour").get_weights()
    run.model.get_layer("baseColour").set_weights([-kernel, -bias])  # says the other colour
    run.model.save(trained / "best.keras")
    (trained / "decision.json").write_text("of the old heads")
    before = {v.path: np.array(v) for v in run.model.weights}

    phases = []
    found = retrain_heads(run, records, epochs=40, progress=lambda *step: phases.append(step))
    assert [head.label for head in found] == ["subCategory", "baseColour"]
    colour = found[1]
    assert colour.kept and sum(colour.mixed) > sum(colour.before)
    assert all(sum(head.mixed) >= max(sum(head.before), sum(head.after)) for head in found)
    assert "baseColour" in heads_table(found)
    assert ("train, features", 48, 48) in phases and phases[-1] == ("heads", 2, 2)

    assert not (trained / "decision.json").exists(), "a decision of the old heads was left"
    assert sorted(path.name for path in trained.glob("*partial*")) == []
    again = load_run(trained)
    for variable in again.model.weights:
        is_head = "baseColour" in variable.path
        if is_head or (found[0].kept and "subCategory" in variable.path):
            assert not np.array_equal(np.array(variable), before[variable.path])
        else:
            np.testing.assert_array_equal(np.array(variable), before[variable.path])

    # What is written down is what the saved model scores, by scikit-learn.
    predictions = predict(again, records, "validation")
    for entry in json.loads((trained / "heads.json").read_text())["heads"].items():
        label, scores = entry
        now = scores["mixed"]
        known = predictions.truth[label] >= 0
        truth, said = predictions.truth[label][known], predictions.prediction(label)[known]
        assert now["accuracy"] == pytest.approx((truth == said).mean())
        assert now["macro_f1"] == pytest.approx(f1_score(truth, said, average="macro"))


def test_a_head_is_mixed_where_the_mean_of_old_and_new_is_better_than_either(trained, records):
    """The old head has one class wrong, the new one another: between them both are right."""
    run = load_run(trained)
    old = run.model.get_layer("baseColour").get_weights()
    truth = np.array([0, 0, 1, 1])
    ones = np.eye(old[0].shape[0], dtype=np.float32)[:4]
    features = Features(list("abcd"), {"baseColour": truth, "subCategory": truth * 0 - 1}, ones)

    def head(*scores):  # of the first class above the second, for each of the four photos
        kernel = np.zeros_like(old[0])
        kernel[:4, 0] = scores
        return [kernel, np.zeros_like(old[1])]

    run.model.get_layer("baseColour").set_weights(head(1, 1, 1, -3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "embed", lambda *args, **kwargs: features)
        patch.setattr(heads, "fit_head", lambda *args, **kwargs: head(3, -0.6, -2, -1))
        (found,) = retrain_heads(run, records, epochs=1)
    assert found.before == found.after == (0.75, pytest.approx(11 / 15))
    assert found.mixed == (1.0, 1.0) and found.share == pytest.approx(0.4)
    kept = load_run(trained).model.get_layer("baseColour").get_weights()[0]
    np.testing.assert_allclose(kept[:4, 0], [1.8, 0.36, -0.2, -2.2], atol=1e-6)


def test_varied_views_are_the_training_streams_through_the_backbone(trained, records):
    run = load_run(trained)
    found = embed_varied(run, records, Augmentation("light", mixup=0.5), 2, seed=3, batch_size=16)
    stream = make_dataset(
        records,
        "train",
        list(run.labels),
        run.image_size,
        16,
        training=True,
        epochs=2,
        stream=True,
        augmentation=Augmentation("light"),
        seed=3,
    )
    batches = [(run.features.predict_on_batch(x), y) for x, y in stream]
    assert len(batches) == 2 * 3 and found.values.shape == (2 * 48, 16)
    np.testing.assert_array_equal(found.values, np.concatenate([x for x, _ in batches]))
    for label in run.labels:
        one_hot = np.concatenate([y[label].numpy() for _, y in batches])
        known = found.truth[label] >= 0
        np.testing.assert_array_equal(known, one_hot.any(axis=1))
        np.testing.assert_array_equal(found.truth[label][known], one_hot[known].argmax(axis=1))


def test_heads_learn_from_all_views_in_as_many_passes(trained, records, monkeypatch):
    seen = []

    def fit(features, label, classes, *, epochs, **_):
        seen.append((len(features.values), len(features.truth[label]), epochs))
        return [np.zeros((16, classes), np.float32), np.zeros(classes, np.float32)]

    monkeypatch.setattr("fashion_keras.training.heads.fit_head", fit)
    run = load_run(trained, decided=False)
    retrain_heads(run, records, epochs=60, views=3)
    # 48 photos as they are; the varied ones come in whole batches, as in training.
    assert seen == [(3 * 48, 3 * 48, 20)] * 2
    assert json.loads((trained / "heads.json").read_text())["views"] == 3
    plain = dataclasses.replace(run.config.data, augment="none")
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, data=plain))
    retrain_heads(run, records, epochs=60, views=3)
    assert seen[2:] == [(48, 48, 60)] * 2, "photos that training did not vary are not varied"
    assert json.loads((trained / "heads.json").read_text())["views"] == 1


def test_a_head_that_is_no_better_is_not_kept(trained, records, monkeypatch):
    """Heads that say the opposite: the mean with a tenth of them still does."""
    layers = load_run(trained, decided=False).model
    monkeypatch.setattr(
        "fashion_keras.training.heads.fit_head",
        lambda features, label, *_, **__: [-20 * w for w in layers.get_layer(label).get_weights()],
    )
    (trained / "decision.json").write_text("stays")
    saved = (trained / "best.keras").read_bytes()
    run = load_run(trained, decided=False)
    found = retrain_heads(run, records, epochs=1)
    assert not any(head.kept for head in found)
    assert (trained / "best.keras").read_bytes() == saved
    assert (trained / "decision.json").read_text() == "stays"
    (trained / "decision.json").unlink()


def test_a_full_disk_leaves_the_run_as_it_was(trained, records, monkeypatch):
    def full(path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    run = load_run(trained)
    for label in run.labels:
        layer = run.model.get_layer(label)
        layer.set_weights([-weight for weight in layer.get_weights()])  # so that the new is kept
    before = {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()}
    monkeypatch.setattr(run.model, "save", full)
    with pytest.raises(OSError, match="No space"):
        retrain_heads(run, records, epochs=20)
    assert before == {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()}


def test_the_same_seed_gives_the_same_head():
    features = overlapping((50, 50))
    one, other = (fit_head(features, "a", 2, epochs=2, sampling="balanced") for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_channel_that_hardly_speaks_in_training_does_not_shout_later():
    features = overlapping((60, 60))
    whisper = RNG.normal(0, 1e-6, (120, 1)) + (features.truth["a"] == 0)[:, None] * 1e-6
    values = (features.values - [500.0, 3.0]) / [10.0, 0.2]
    with_whisper = Features(
        features.ids, features.truth, np.hstack([values, whisper]).astype(np.float32)
    )
    kernel, _ = fit_head(with_whisper, "a", 2, epochs=5)
    # A new photo in which it is as loud as the others are must not be decided by it alone.
    assert np.abs(kernel[2]).max() < 200 * np.abs(kernel[:2]).max()
