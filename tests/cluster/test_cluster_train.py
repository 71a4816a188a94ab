"""train --cluster: Ray starts the processes, which share each batch as those of any launcher do."""

import csv
import functools

import pytest
from cluster import tasks
from cluster.nodes import REPOSITORY, several_nodes
from tiny_records import write_tiny_records

from fashion_keras.cluster.actors import run_together
from fashion_keras.cluster.engine import connected
from fashion_keras.progress import Reporter
from fashion_keras.train import main

pytest.importorskip("ray")
SETTINGS = {
    "data.image_size": [40, 32],
    "data.augment": "none",
    "training.batch_size": 16,
    "training.precision": "float32",
}


def history(folder):
    with open(folder / "history.csv", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_nodes_train_as_one_does(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "tests"))
    write_tiny_records(tmp_path / "records")
    with several_nodes(2) as (cluster, _):
        for workers in (1, 2):
            options = {
                "data": str(tmp_path / "records"), "workdir": str(tmp_path / str(workers)),
                "arch": "tiny", "epochs": 2, "settings": SETTINGS,
            }  # fmt: skip
            report_to = Reporter(bars=False)
            with connected(cluster.address, report_to) as found:
                there = functools.partial(tasks.train_tiny, options)
                run_together(found, workers, there, report_to)
    assert history(tmp_path / "2") == pytest.approx(history(tmp_path / "1"), rel=1e-3)


def test_a_training_by_a_cluster_needs_shared_places(capsys):
    assert main(["--cluster", "local[2]", "--data", "records"]) == 2
    assert "give --data and --workdir, folders that all machines share" in capsys.readouterr().err
