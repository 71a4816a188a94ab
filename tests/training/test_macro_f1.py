"""MacroF1 beside other people's models, against scikit-learn on the same predictions."""

import zipfile

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score

from fashion_keras.errors import UserError
from fashion_keras.training.macro_f1 import MacroF1

CLASSES, TRAIN, VALIDATION = 4, 90, 50  # the last class never occurs
RNG = np.random.default_rng(0)
X, VX = (RNG.normal(size=(n, 5)).astype("float32") for n in (TRAIN, VALIDATION))
Y, VY = (RNG.integers(0, CLASSES - 1, n) for n in (TRAIN, VALIDATION))
WEIGHTS, VALIDATION_WEIGHTS = (RNG.uniform(0.1, 3, n).astype("float32") for n in (TRAIN, 50))

from_logits = keras.losses.CategoricalCrossentropy(from_logits=True)
SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def one_hot(indices, classes=CLASSES):
    """Rows of zeros where an index is negative."""
    return np.eye(classes, dtype="float32")[indices] * (indices >= 0)[:, None]


def classifier(activation=None, outputs=CLASSES):
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(outputs, activation)])


def compiled(model, loss, **options):
    """At learning rate 0, so that every batch is predicted by the same weights."""
    model.compile(keras.optimizers.SGD(0.0), loss, **options)
    return model


def fit(model, *arguments, callback=None, **options):
    callback = callback or MacroF1()
    options = {"batch_size": 16, "epochs": 1, "shuffle": False, **options}
    return model.fit(*arguments, verbose=0, callbacks=[callback], **options).history


def macro_f1(model, features, truth, weights=None, classes=None):
    said = model.predict(features, verbose=0).argmax(axis=1)
    return f1_score(
        truth, said, average="macro", sample_weight=weights, labels=classes, zero_division=0
    )


@pytest.mark.parametrize("activation", [None, "softmax"], ids=["logits", "probabilities"])
@pytest.mark.parametrize(
    ("labels", "sparse"),
    [(one_hot, False), (lambda y: y, True), (lambda y: y[:, None], True)],
    ids=["one-hot", "[N]", "[N, 1]"],
)
def test_it_is_scikit_learns_for_every_kind_of_label_and_output(labels, sparse, activation):
    name = f"{'Sparse' if sparse else ''}CategoricalCrossentropy"
    model = compiled(classifier(activation), getattr(keras.losses, name)(activation is None))
    logs = fit(model, X, labels(Y), validation_data=(VX, labels(VY)))
    assert logs["macro_f1"] == pytest.approx([macro_f1(model, X, Y)])
    assert logs["val_macro_f1"] == pytest.approx([macro_f1(model, VX, VY)])
    every = macro_f1(model, VX, VY, classes=range(CLASSES))
    assert logs["val_macro_f1_all"] == pytest.approx([every])


@pytest.mark.parametrize("labels", [one_hot, lambda y: y], ids=["one-hot", "[N]"])
def test_photos_without_the_label_are_left_out(labels):
    indices = np.where(np.arange(TRAIN) % 4, Y, -1)
    loss = (
        from_logits
        if labels is one_hot
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    )
    model = compiled(classifier(), loss)
    known = indices >= 0
    logs = fit(model, X, labels(indices))
    assert logs["macro_f1"] == pytest.approx([macro_f1(model, X[known], Y[known])])


def test_sample_weights_count_in_training_and_validation():
    model = compiled(classifier(), SPARSE)
    data = (VX, VY, VALIDATION_WEIGHTS)
    logs = fit(model, X, Y, sample_weight=WEIGHTS, validation_data=data)
    assert logs["macro_f1"] == pytest.approx([macro_f1(model, X, Y, WEIGHTS)])
    expected = macro_f1(model, VX, VY, VALIDATION_WEIGHTS)
    assert logs["val_macro_f1"] == pytest.approx([expected])
    assert expected != pytest.approx(macro_f1(model, VX, VY))


def test_class_weights_count_in_training_alone():
    model = compiled(classifier(), SPARSE)
    of_class = {0: 1.0, 1: 5.0, 2: 0.5, 3: 1.0}
    logs = fit(model, X, Y, class_weight=of_class, validation_data=(VX, VY))
    weights = [of_class[label] for label in Y]
    assert logs["macro_f1"] == pytest.approx([macro_f1(model, X, Y, weights)])
    assert logs["val_macro_f1"] == pytest.approx([macro_f1(model, VX, VY)])


def test_without_validation_nothing_is_called_validation():
    logs = fit(compiled(classifier(), SPARSE), X, Y, epochs=2)
    assert set(logs) == {"loss", "macro_f1"}
    assert len(logs["macro_f1"]) == 2


def test_epochs_that_validation_skips_have_no_validation_scores():
    model = compiled(classifier(), SPARSE)
    seen = []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(set(logs)))
    model.fit(
        X,
        Y,
        validation_data=(VX, VY),
        validation_freq=2,
        epochs=4,
        verbose=0,
        callbacks=[MacroF1(), keep],
    )
    assert [("val_macro_f1" in logs, "val_loss" in logs) for logs in seen] == [
        (False, False),
        (True, True),
    ] * 2


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_the_logs_of_others_are_what_they_are_without_it(weights):
    def history(*callbacks):
        model = classifier()
        metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")]
        model.compile(keras.optimizers.SGD(0.1), SPARSE, metrics=metrics)
        options = {"validation_data": (VX, VY), "epochs": 2, "shuffle": False, "verbose": 0}
        fitted = model.fit(X, Y, sample_weight=weights, callbacks=list(callbacks), **options)
        return fitted.history, model.evaluate(VX, VY, verbose=0)

    plain, evaluated = history()
    found, evaluated_with_it = history(MacroF1())
    assert set(found) - set(plain) == {"macro_f1", "val_macro_f1", "val_macro_f1_all"}
    assert {name: found[name] for name in plain} == plain
    assert evaluated_with_it == evaluated


def test_several_steps_in_one_call_count_as_well():
    model = compiled(classifier(), SPARSE, steps_per_execution=4)
    logs = fit(model, X, Y, validation_data=(VX, VY))
    assert logs["macro_f1"] == pytest.approx([macro_f1(model, X, Y)])
    assert logs["val_macro_f1"] == pytest.approx([macro_f1(model, VX, VY)])


def test_another_callbacks_evaluation_leaves_the_training_scores_alone():
    model = compiled(classifier(), SPARSE)

    class Evaluate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.evaluate(VX, VY, verbose=0)

    options = {"batch_size": 16, "epochs": 2, "verbose": 0}
    logs = model.fit(X, Y, callbacks=[Evaluate(), MacroF1()], **options).history
    assert logs["macro_f1"] == pytest.approx([macro_f1(model, X, Y)] * 2)


# ---- one fit after another ----


def test_a_later_fit_counts_from_zero_with_the_same_callback_and_with_another():
    model, first = compiled(classifier(), SPARSE), MacroF1()
    fit(model, VX, VY, callback=first, validation_data=(X, Y))
    for callback in (first, MacroF1()):
        logs = fit(model, X, Y, callback=callback, validation_data=(VX, VY))
        assert logs["macro_f1"] == pytest.approx([macro_f1(model, X, Y)])
        assert logs["val_macro_f1"] == pytest.approx([macro_f1(model, VX, VY)])


def test_a_fit_after_one_without_it_counts():
    model = compiled(classifier(), SPARSE)
    model.fit(X, Y, validation_data=(VX, VY), verbose=0)
    logs = fit(model, X, Y, validation_data=(VX, VY))
    assert logs["macro_f1"] == pytest.approx([macro_f1(model, X, Y)])
    assert logs["val_macro_f1"] == pytest.approx([macro_f1(model, VX, VY)])


def test_a_model_compiled_anew_for_other_labels_is_left_alone_until_it_is_asked_for_again():
    model = compiled(classifier(), SPARSE)
    fit(model, X, Y)
    compiled(model, "binary_crossentropy")
    several = np.ones((TRAIN, CLASSES), "float32")
    assert set(model.fit(X, several, verbose=0).history) == {"loss"}
    compiled(model, from_logits)
    model.fit(X, one_hot(Y), verbose=0)
    logs = fit(model, X, one_hot(Y))
    assert logs["macro_f1"] == pytest.approx([macro_f1(model, X, Y)])


def test_an_interrupted_fit_leaves_nothing_to_the_next():
    model = compiled(classifier(), SPARSE)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                raise KeyboardInterrupt

    callback = MacroF1()
    with pytest.raises(KeyboardInterrupt):
        model.fit(VX, VY, verbose=0, batch_size=8, callbacks=[callback, Stop()])
    logs = fit(model, X, Y, callback=callback)
    assert logs["macro_f1"] == pytest.approx([macro_f1(model, X, Y)])


# ---- several outputs ----


def two_headed(outputs):
    keras.utils.set_random_seed(2)
    inputs = keras.Input((5,))
    kind = keras.layers.Dense(CLASSES, name="kind")(inputs)
    colour = keras.layers.Dense(3, name="colour")(inputs)
    return keras.Model(inputs, outputs(kind, colour))


def as_dict(kind, colour):
    return {"kind": kind, "colour": colour}


def as_list(kind, colour):
    return [kind, colour]


COLOUR, VALIDATION_COLOUR = RNG.integers(0, 3, TRAIN), RNG.integers(0, 3, VALIDATION)


def said_by(model, features):
    said = model.predict(features, verbose=0)
    said = [said["kind"], said["colour"]] if isinstance(said, dict) else said
    return [logits.argmax(axis=1) for logits in said]


@pytest.mark.parametrize("structure", [as_dict, as_list])
def test_every_output_has_scores_under_its_name(structure):
    model = compiled(two_headed(structure), structure(SPARSE, SPARSE))
    weights = structure(WEIGHTS, np.ones(TRAIN, "float32"))
    validation = (VX, structure(VY, VALIDATION_COLOUR))
    logs = fit(model, X, structure(Y, COLOUR), sample_weight=weights, validation_data=validation)
    kind, colour = said_by(model, X)
    expected = f1_score(Y, kind, average="macro", sample_weight=WEIGHTS)
    assert logs["kind_macro_f1"] == pytest.approx([expected])
    assert logs["colour_macro_f1"] == pytest.approx([f1_score(COLOUR, colour, average="macro")])
    kind, colour = said_by(model, VX)
    assert logs["val_kind_macro_f1"] == pytest.approx([f1_score(VY, kind, average="macro")])
    expected = f1_score(VALIDATION_COLOUR, colour, average="macro")
    assert logs["val_colour_macro_f1"] == pytest.approx([expected])


def test_a_regression_beside_a_classifier_is_not_scored():
    inputs = keras.Input((5,))
    kind = keras.layers.Dense(CLASSES, name="kind")(inputs)
    price = keras.layers.Dense(1, name="price")(inputs)
    model = compiled(
        keras.Model(inputs, {"kind": kind, "price": price}), {"kind": SPARSE, "price": "mse"}
    )
    logs = fit(model, X, {"kind": Y, "price": X[:, :1]})
    assert {name for name in logs if "f1" in name} == {"kind_macro_f1"}


def test_only_the_heads_that_are_named_are_scored():
    model = compiled(two_headed(as_dict), as_dict(SPARSE, SPARSE))
    logs = fit(model, X, as_dict(Y, COLOUR), callback=MacroF1(heads=["colour"]))
    assert {name for name in logs if "f1" in name} == {"colour_macro_f1"}
    with pytest.raises(UserError, match="no output 'color' among kind, colour"):
        fit(model, X, as_dict(Y, COLOUR), callback=MacroF1(heads=["color"]))


# ---- other kinds of model ----


@pytest.mark.parametrize("as_column", [False, True])
@pytest.mark.parametrize("logits", [False, True])
def test_one_column_with_a_binary_loss_is_two_classes(logits, as_column):
    truth = (Y > 0).astype("float32")
    model = classifier(None if logits else "sigmoid", outputs=1)
    compiled(model, keras.losses.BinaryCrossentropy(from_logits=logits))
    logs = fit(model, X, truth[:, None] if as_column else truth)
    said = model.predict(X, verbose=0)[:, 0] > (0 if logits else 0.5)
    assert 0 < said.mean() < 1
    assert logs["macro_f1"] == pytest.approx([f1_score(truth, said, average="macro")])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = keras.layers.Dense(CLASSES)

    def call(self, inputs):
        return self.head(inputs)


@pytest.mark.parametrize(
    "build", [Subclassed, lambda: keras.Sequential([keras.layers.Dense(CLASSES)])]
)
def test_a_model_that_its_first_batch_builds_is_scored(build):
    keras.utils.set_random_seed(3)
    model = compiled(build(), SPARSE)
    logs = fit(model, X, Y, validation_data=(VX, VY))
    assert logs["macro_f1"] == pytest.approx([macro_f1(model, X, Y)])
    assert logs["val_macro_f1"] == pytest.approx([macro_f1(model, VX, VY)])


class TellsItsMetrics(keras.Model):
    """As the guides have it: `compute_metrics` that tells every metric itself."""

    def compute_metrics(self, x, y, y_pred, sample_weight):
        for metric in self.metrics:
            if metric.name != "loss":
                metric.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()


def test_a_model_that_tells_its_metrics_itself_is_counted_once():
    inputs = keras.Input((5,))
    model = compiled(TellsItsMetrics(inputs, keras.layers.Dense(CLASSES)(inputs)), SPARSE)
    callback = MacroF1()
    logs = fit(model, X, Y, callback=callback)
    assert logs["macro_f1"] == pytest.approx([macro_f1(model, X, Y)])
    (scores,) = callback.train_scores.values()
    assert scores.support.sum() == TRAIN


def test_a_model_saved_within_fit_holds_nothing_of_it(tmp_path):
    model = compiled(classifier(), SPARSE)
    save = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    model.fit(X, Y, verbose=0, callbacks=[MacroF1(), save])
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    assert not any("counts" in metric.name for metric in loaded.metrics)
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert not any(b"counts" in archive.read(name) for name in archive.namelist())


# ---- what it cannot score ----


def test_targets_of_several_classes_at_once_are_refused():
    model = compiled(classifier("sigmoid"), "binary_crossentropy")
    several = (RNG.random((TRAIN, CLASSES)) < 0.6).astype("float32")
    with pytest.raises(UserError, match=r"targets of .* several classes at once"):
        fit(model, X, several)


def test_a_model_without_a_classifier_is_refused():
    with pytest.raises(UserError, match=r"finds no classifier among the outputs .*\(None, 1\)"):
        fit(compiled(classifier(outputs=1), "mse"), X, Y)


def test_a_step_that_leaves_the_metrics_out_is_named():
    class OwnStep(keras.Model):
        def train_step(self, *_):
            if keras.backend.backend() == "jax":
                return {"loss": 0.0}, _[0]
            return {"loss": 0.0}

    inputs = keras.Input((5,))
    model = compiled(OwnStep(inputs, keras.layers.Dense(CLASSES)(inputs), name="mine"), SPARSE)
    with pytest.raises(UserError, match="told of no photo: does a step of mine"):
        fit(model, X, Y)


def test_a_model_that_hides_its_metrics_is_named():
    class Hiding(keras.Model):
        metrics = property(lambda self: [])

    inputs = keras.Input((5,))
    model = compiled(Hiding(inputs, keras.layers.Dense(CLASSES)(inputs)), SPARSE)
    with pytest.raises(UserError, match="the property `metrics` of Hiding leaves it out"):
        fit(model, X, Y)
