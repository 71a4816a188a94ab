"""What a run's TensorBoard shows, and in which order; read back by TensorBoard's own code."""

from types import SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.get_experiment import Handler as GetExperiment
from tensorboard.plugins.hparams.list_session_groups import Handler as ListSessionGroups

from fashion_keras.config import load_config
from fashion_keras.metrics import scores
from fashion_keras.training.tensorboard import RunBoard

CLASSES = ["Bags", "Flip Flops", "absent"]
# Right and wrong photos of each epoch: the second is the best.
MATRICES = [np.array([[r, 9 - r, 0], [9 - r, r, 0], [0, 0, 0]]) for r in (5, 8, 6)]


def train(run, epochs=3, **options):
    """Call a board as `fit` does, for a run that trains for so many of its three epochs."""
    config = load_config(None, {"training.epochs": 3, **options})
    macro_f1, best = SimpleNamespace(validation_matrices={}), SimpleNamespace(best_epoch=-1)
    board = RunBoard(run / "tensorboard", config, macro_f1, best, CLASSES)
    board.set_params({"epochs": 3})
    board.on_train_begin()
    board.on_train_begin()  # once a stage
    for epoch in range(epochs):
        found = scores(MATRICES[epoch])
        macro_f1.validation_scores = {"subCategory": found}
        best.best_epoch = min(epoch, 1)
        logs = {"loss": 3.0, "accuracy": 0.5, "macro_f1": 0.5}
        logs |= {"val_loss": 3.0, "val_accuracy": found.accuracy, "val_macro_f1": found.macro_f1}
        logs |= {"val_macro_f1_all": found.macro_f1_all, "val_Farbe/Muster_macro_f1": 0.5}
        logs |= {"learning_rate": 0.1, "seconds": 1.0, "photos_per_second": 9.0}
        board.on_epoch_end(epoch, logs)
    return board


@pytest.fixture
def runs(tmp_path):
    """A finished run, and one that is in its second epoch, in a folder of runs."""
    train(tmp_path / "runs" / "one", **{"optimizer.learning_rate": 0.01})
    train(tmp_path / "runs" / "two", 1, **{"model.arch": "resnet18", "data.image_size": [48, 32]})
    return tmp_path / "runs"


def hparams_table(folder):
    """Return the columns' and the metrics' names and a dict a row, as the tab asks for them."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(folder))))
    request = RequestContext()
    experiment = GetExperiment(
        request, context, "", api_pb2.GetExperimentRequest(include_metrics=True)
    ).run()
    asked = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=9,
        allowed_statuses=range(4),
        include_metrics=True,
        col_params=[{"metric": info.name} for info in experiment.metric_infos],
    )
    groups = ListSessionGroups(request, context, "", asked).run().session_groups
    columns = {info.name: info.display_name for info in experiment.hparam_infos}
    metrics = {info.name.tag: info.display_name for info in experiment.metric_infos}
    rows = {
        group.name: {columns[k]: v.string_value or v.number_value for k, v in group.hparams.items()}
        | {metrics[m.name.tag]: m.value for m in group.metric_values}
        for group in groups
    }
    return list(columns.values()), list(metrics.values()), rows


def test_macro_f1_is_the_first_group_of_cards_and_the_classes_are_the_last(runs):
    tags = set()
    for part in ("", "train", "validation"):
        events = EventAccumulator(str(runs / "one" / "tensorboard" / part)).Reload()
        tags |= {tag for tag in events.Tags()["tensors"] if "/" in tag and tag[0] != "_"}
    groups = sorted({tag.split("/")[0] for tag in tags})
    assert (groups[0], groups[-1]) == ("1 macro-F1", "7 F1 of each class")
    assert {"1 macro-F1/macro_f1", "1 macro-F1/macro_f1_all"} <= tags
    assert "3 other labels/Farbe/Muster_macro_f1" in tags
    last = {tag.split("/")[1] for tag in tags if tag.startswith(groups[-1])}
    assert last == {"Bags", "Flip Flops"}


def test_the_hparams_table_begins_with_architecture_learning_rate_and_macro_f1(runs):
    columns, metrics, _ = hparams_table(runs)
    assert columns[:2] == ["model.arch", "optimizer.learning_rate"]
    assert {"data.image_size", "decision.flip", "training.seed"} <= set(columns)
    assert metrics[0] == "macro-F1"


def test_a_trial_is_called_by_its_path_and_shows_while_it_trains(runs):
    _, _, rows = hparams_table(runs)
    assert set(rows) == {"runs/one", "runs/two"}
    assert rows["runs/two"]["model.arch"] == "resnet18"
    assert rows["runs/two"]["data.image_size"] == "48×32"
    assert rows["runs/one"]["optimizer.learning_rate"] == 0.01
    assert rows["runs/two"]["macro-F1"] == pytest.approx(scores(MATRICES[0]).macro_f1)


def test_a_trials_macro_f1_is_that_of_its_best_epoch_and_in_the_end_that_of_what_it_keeps(tmp_path):
    board = train(tmp_path / "runs" / "one")
    _, _, rows = hparams_table(tmp_path)
    assert rows["runs/one"]["macro-F1"] == pytest.approx(scores(MATRICES[1]).macro_f1)
    assert rows["runs/one"]["best epoch"] == 2
    board.write_best({"macro_f1": 0.9, "accuracy": 0.8, "epoch": 2}, step=4)
    _, _, rows = hparams_table(tmp_path)
    assert (rows["runs/one"]["macro-F1"], rows["runs/one"]["best epoch"]) == (pytest.approx(0.9), 2)
