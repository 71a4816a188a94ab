"""Callbacks on a model small enough to read: what they write, save, count and refuse."""

import csv
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from fashion_keras.errors import UserError
from fashion_keras.training.callbacks import (
    BestModel,
    EpochLine,
    ExponentialMovingAverage,
    RunScores,
    StopOnNaN,
    Throughput,
)
from fashion_keras.training.checkpoint import History, RunCheckpoint
from fashion_keras.training.macro_f1 import MacroF1
from fashion_keras.training.tensorboard import RunBoard

CLASSES = {"subCategory": 4, "gender": 3}  # subCategory's last never occurs


def build_model():
    inputs = keras.Input((5,))
    outputs = {name: keras.layers.Dense(n, name=name)(inputs) for name, n in CLASSES.items()}
    return keras.Model(inputs, outputs, name="tiny")


def draw_data(seed, count=40):
    """Return random features and, for each head, class indices, -1 where there is no label."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 5)).astype("float32")
    indices = {"subCategory": rng.integers(0, 3, count), "gender": rng.integers(0, 3, count)}
    indices["gender"][::6] = -1
    return features, indices


def as_dataset(features, indices, batch_size=16):
    # A row of zeros where the index is -1: no label.
    one_hot = {
        name: np.eye(n)[indices[name]] * (indices[name] >= 0)[:, None]
        for name, n in CLASSES.items()
    }
    return tf.data.Dataset.from_tensor_slices((features, one_hot)).batch(batch_size)


def compile_model(model, learning_rate=0.1):
    model.compile(
        keras.optimizers.SGD(learning_rate),
        loss={
            name: keras.losses.CategoricalCrossentropy(from_logits=True, name=f"{name}_loss")
            for name in CLASSES
        },
    )


class Keep(keras.callbacks.Callback):
    """Keep each epoch's logs as the callbacks before have left them."""

    def __init__(self):
        super().__init__()
        self.logs = []

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append(dict(logs))


@pytest.fixture(scope="module")
def fitted():
    """Two epochs at learning rate 0, so that every batch is predicted by the same weights."""
    keras.utils.set_random_seed(1)
    model = build_model()
    compile_model(model, learning_rate=0.0)
    macro_f1, keep = MacroF1(), Keep()
    training, validation = draw_data(0), draw_data(1)
    model.fit(
        as_dataset(*training),
        validation_data=as_dataset(*validation),
        epochs=2,
        callbacks=[macro_f1, RunScores(macro_f1, list(CLASSES)), keep],
        verbose=0,
        shuffle=False,
    )
    return model, macro_f1, keep.logs, {"": training, "val_": validation}


def truth_and_prediction(model, data, label):
    features, indices = data
    known = indices[label] >= 0
    predicted = model.predict(features, verbose=0)[label].argmax(axis=1)
    return indices[label][known], predicted[known]


@pytest.mark.parametrize("label", CLASSES)
@pytest.mark.parametrize("split", ["", "val_"])
def test_logs_are_what_scikit_learn_makes_of_the_predictions(fitted, split, label):
    model, _, logs, data = fitted
    truth, predicted = truth_and_prediction(model, data[split], label)
    prefix = split if label == "subCategory" else f"{split}{label}_"
    for epoch in logs:
        assert epoch[f"{prefix}accuracy"] == pytest.approx(accuracy_score(truth, predicted))
        expected = f1_score(truth, predicted, average="macro")
        assert epoch[f"{prefix}macro_f1"] == pytest.approx(expected)


@pytest.mark.parametrize("label", CLASSES)
def test_macro_f1_all_counts_every_class_of_the_vocabulary(fitted, label):
    model, _, logs, data = fitted
    truth, predicted = truth_and_prediction(model, data["val_"], label)
    every = range(CLASSES[label])
    expected = f1_score(truth, predicted, average="macro", labels=every, zero_division=0)
    prefix = "val_" if label == "subCategory" else f"val_{label}_"
    assert logs[0][f"{prefix}macro_f1_all"] == pytest.approx(expected)


def test_logs_hold_both_losses_and_no_name_of_kerass_own(fitted):
    _, _, logs, _ = fitted
    scores = {"accuracy", "macro_f1"}
    own = scores | {f"gender_{name}" for name in scores}
    held_out = {f"val_{name}" for name in own} | {"val_macro_f1_all", "val_gender_macro_f1_all"}
    assert set(logs[0]) == {"loss", "val_loss"} | own | held_out


@pytest.mark.parametrize("label", CLASSES)
def test_the_validation_matrix_is_kept_for_pictures(fitted, label):
    model, macro_f1, _, data = fitted
    truth, predicted = truth_and_prediction(model, data["val_"], label)
    expected = confusion_matrix(truth, predicted, labels=range(CLASSES[label]))
    np.testing.assert_array_equal(macro_f1.validation_matrices[label], expected)
    assert macro_f1.validation_scores[label].support.tolist() == expected.sum(axis=1).tolist()


def weights_of(model):
    return [np.array(v) for v in model.trainable_variables]


def best_model(path, model, average=None):
    best = BestModel(path, average)
    best.set_model(model)
    return best


def test_best_model_keeps_the_best_epoch(tmp_path):
    model = build_model()
    best = best_model(tmp_path / "best.keras", model)
    for epoch, score in enumerate([0.4, 0.7, 0.6, 0.7]):
        model.set_weights([np.full(w.shape, epoch) for w in model.get_weights()])
        best.on_epoch_end(epoch, {"val_macro_f1": score})
    assert (best.best, best.best_epoch) == (0.7, 1)
    loaded = keras.models.load_model(tmp_path / "best.keras")
    assert all((w == 1).all() for w in weights_of(loaded))
    assert [path.name for path in tmp_path.iterdir()] == ["best.keras"]


def test_best_model_goes_by_the_score_it_is_told(tmp_path):
    model = build_model()
    best = BestModel(tmp_path / "best.keras", None, "val_accuracy")
    best.set_model(model)
    for epoch, (f1, accuracy) in enumerate([(0.9, 0.4), (0.5, 0.7), (0.8, 0.6)]):
        best.on_epoch_end(epoch, {"val_macro_f1": f1, "val_accuracy": accuracy})
    assert (best.best, best.best_epoch) == (0.7, 1)


def test_best_model_answers_as_the_model_it_was_saved_from_and_holds_no_optimizer(tmp_path, fitted):
    model, _, _, data = fitted
    best_model(tmp_path / "best.keras", model).on_epoch_end(0, {"val_macro_f1": 0.1})
    loaded = keras.models.load_model(tmp_path / "best.keras")
    features, _ = data["val_"]
    for name, logits in model.predict(features, verbose=0).items():
        np.testing.assert_allclose(loaded.predict(features, verbose=0)[name], logits, rtol=1e-6)
    assert not loaded.compiled


def test_a_score_of_zero_is_better_than_none(tmp_path):
    best_model(tmp_path / "best.keras", build_model()).on_epoch_end(0, {"val_macro_f1": 0.0})
    assert (tmp_path / "best.keras").is_file()


def test_best_model_broken_off_in_mid_write_leaves_the_last_best(tmp_path, monkeypatch):
    model = build_model()
    best = best_model(tmp_path / "best.keras", model)
    best.on_epoch_end(0, {"val_macro_f1": 0.4})
    before = (tmp_path / "best.keras").read_bytes()

    def broken(self, path, *_, **__):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "save", broken)
    with pytest.raises(KeyboardInterrupt):
        best.on_epoch_end(1, {"val_macro_f1": 0.9})
    assert (tmp_path / "best.keras").read_bytes() == before


def test_best_model_saves_the_average_and_trains_on_with_the_weights(tmp_path):
    model = build_model()
    average = ExponentialMovingAverage(0.5)
    average.set_model(model)
    averaged = weights_of(model)
    model.set_weights([w + 1 for w in model.get_weights()])
    current = weights_of(model)
    best_model(tmp_path / "best.keras", model, average).on_epoch_end(0, {"val_macro_f1": 0.4})
    for saved, expected in zip(
        weights_of(keras.models.load_model(tmp_path / "best.keras")), averaged, strict=True
    ):
        np.testing.assert_array_equal(saved, expected)
    for left, expected in zip(weights_of(model), current, strict=True):
        np.testing.assert_array_equal(left, expected)


@pytest.fixture
def guard():
    guard = StopOnNaN()
    guard.set_model(build_model())
    return guard


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_loss_that_is_no_number_stops_and_says_what_to_try(guard, loss):
    with pytest.raises(UserError) as raised:
        guard.on_train_batch_end(6, {"loss": loss})
    first, second = str(raised.value).splitlines()
    assert first.startswith(f"the loss became {loss} at batch 7: training stopped")
    assert "optimizer.learning_rate" in second and "training.precision=float32" in second


def test_a_loss_that_is_a_number_goes_on(guard):
    guard.on_train_batch_end(0, {"loss": 1e30})
    guard.on_epoch_end(0, {"loss": 1.0, "val_loss": 1e30})


def test_a_validation_loss_that_is_no_number_stops(guard):
    with pytest.raises(UserError, match="the validation loss became nan after epoch 3"):
        guard.on_epoch_end(2, {"loss": 1.0, "val_loss": math.nan})


def test_weights_that_are_no_numbers_stop_before_anything_saves_them(guard):
    guard.model.set_weights([np.full(w.shape, np.nan) for w in guard.model.get_weights()])
    with pytest.raises(UserError, match="weights became nan after epoch 1"):
        guard.on_epoch_end(0, {"loss": 1.0, "val_loss": 1.0})


def test_throughput_counts_photos_of_training_and_seconds_of_the_whole_epoch(monkeypatch):
    clock = iter([100.0, 104.0, 110.0])  # epoch begins, validation begins, epoch ends
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    throughput = Throughput(batch_size=16)
    model = build_model()
    compile_model(model, learning_rate=0.25)
    throughput.set_model(model)
    throughput.on_epoch_begin(0)
    for batch in range(5):
        throughput.on_train_batch_begin(batch)
    throughput.on_test_begin()
    logs = {}
    throughput.on_epoch_end(0, logs)
    assert logs == {"photos_per_second": 5 * 16 / 4, "seconds": 10, "learning_rate": 0.25}


def test_throughput_counts_each_epoch_anew(monkeypatch):
    clock = iter([0.0, 2.0, 3.0, 10.0, 11.0, 12.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    throughput = Throughput(batch_size=8)
    model = build_model()
    compile_model(model)
    throughput.set_model(model)
    found = []
    for epoch, batches in enumerate((4, 3)):
        throughput.on_epoch_begin(epoch)
        for batch in range(batches):
            throughput.on_train_batch_begin(batch)
        throughput.on_test_begin()
        logs = {}
        throughput.on_epoch_end(epoch, logs)
        found.append(logs["photos_per_second"])
    assert found == [4 * 8 / 2, 3 * 8 / 1]


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_history_is_a_row_an_epoch_counted_from_1(tmp_path):
    history = History(tmp_path / "history.csv")
    history.append(0, {"loss": np.float32(0.5), "val_loss": 2})
    history.append(1, {"loss": 0.25, "val_loss": 1})
    assert read_rows(tmp_path / "history.csv") == [
        {"epoch": "1", "loss": "0.5", "val_loss": "2.0"},
        {"epoch": "2", "loss": "0.25", "val_loss": "1.0"},
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_history_keeps_all_digits_of_a_figure(tmp_path):
    History(tmp_path / "history.csv").append(0, {"loss": 1 / 3})
    assert float(read_rows(tmp_path / "history.csv")[0]["loss"]) == 1 / 3


def test_a_figure_that_comes_later_gets_its_column(tmp_path):
    history = History(tmp_path / "history.csv", [{"epoch": 1, "loss": 1.0}])
    history.append(1, {"loss": 0.5, "extra": 3})
    assert read_rows(tmp_path / "history.csv") == [
        {"epoch": "1", "loss": "1.0", "extra": ""},
        {"epoch": "2", "loss": "0.5", "extra": "3.0"},
    ]


@pytest.mark.parametrize(
    "callback",
    [
        ExponentialMovingAverage,
        MacroF1,
        RunScores,
        Throughput,
        BestModel,
        EpochLine,
        RunBoard,
        RunCheckpoint,
    ],
)
def test_no_callback_makes_keras_wait_for_a_steps_losses(callback):
    """Keras reads them before it calls a method of a batch's end, unless it is safe in a thread."""
    for name in ("on_batch_end", "on_train_batch_end", "on_test_batch_end"):
        assert getattr(callback, name) is getattr(keras.callbacks.Callback, name)
    assert StopOnNaN.async_safe


@pytest.fixture
def saved(tmp_path):
    """A model's checkpoint after its first epoch, and what has saved it."""
    model = build_model()
    compile_model(model)
    model.optimizer.build(model.trainable_variables)
    history, best = History(tmp_path / "history.csv"), BestModel(tmp_path / "best.keras", None)
    best.best, best.best_epoch = 0.5, 0
    checkpoint = RunCheckpoint(tmp_path / "checkpoints", history, best, None, None)
    checkpoint.set_model(model)
    checkpoint.set_params({"epochs": 3})
    checkpoint.on_epoch_end(0, {"loss": 0.5})
    return model, checkpoint


def test_a_checkpoint_brings_back_what_it_saved_and_nothing_lies_beside_it(saved):
    model, checkpoint = saved
    expected = weights_of(model)
    model.set_weights([w + 1 for w in model.get_weights()])
    checkpoint.restore_weights(model)
    for found, value in zip(weights_of(model), expected, strict=True):
        np.testing.assert_array_equal(found, value)
    checkpoint.set_params({"epochs": 2})
    checkpoint.on_epoch_end(1, {"loss": 0.25})
    assert [path.name for path in checkpoint.folder.iterdir()] == ["epoch-0002"]
    assert len(checkpoint.folder.parent.joinpath("history.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize("file", ["model.weights.h5", "state.json"])
def test_a_checkpoint_of_which_one_byte_has_changed_is_refused(saved, file):
    model, checkpoint = saved
    path = checkpoint.folder / "epoch-0001" / file
    data = bytearray(path.read_bytes())
    place = data.index(b"0.5") if file == "state.json" else len(data) - 5
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"cannot resume from .*epoch-0001: .*\nRemove that folder"):
        checkpoint.restore_weights(model)


@pytest.mark.parametrize("state", ["[]", "{}", "null", '{"epoch": 1}', '{"history": 7}'])
def test_a_checkpoints_state_of_another_shape_is_refused(saved, state):
    _, checkpoint = saved
    (checkpoint.folder / "epoch-0001" / "state.json").write_text(state)
    with pytest.raises(UserError, match="cannot resume from"):
        checkpoint.restore_state()
