"""kill -9 of train, and --resume: the same history, the same weights, nothing left over."""

import csv

import pytest
from faults.killing import Case, kill_and_go_on
from faults.listing import weights
from faults.shop import train_argv

pytestmark = pytest.mark.faults

TIMINGS = {"photos_per_second", "seconds"}


def history(run):
    with open(run / "history.csv", encoding="utf-8", newline="") as file:
        return [
            {key: value for key, value in row.items() if key not in TIMINGS}
            for row in csv.DictReader(file)
        ]


def learnt(place):
    run = place / "run"
    same = ("labels.json", "records.json", "decision.json", "config.yaml")
    return history(run), weights(run / "best.keras"), [(run / name).read_bytes() for name in same]


def again(shop, place):
    """Resume where there is something to resume, else begin as before."""
    argv = train_argv(shop.records, place / "run")
    return [[*argv, "--resume"], argv]


@pytest.mark.parametrize("part", [1, 2])
def test_train_goes_on_to_the_same_history(shop, tmp_path, figures, part):
    case = Case(
        f"train, part {part}", "fashion_keras.train",
        lambda place: train_argv(shop.records, place / "run"),
        lambda place: again(shop, place), learnt, steps=3, moments=1,
    )  # fmt: skip
    found = kill_and_go_on(case, tmp_path, seed=part)
    figures(f"kills: {case.name}: {found.killed} killed, {len(found.wrong)} wrong afterwards")
    assert not found.wrong, "\n".join(found.wrong)
    assert found.killed >= 3
