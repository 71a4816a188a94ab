"""A run copied, zipped and moved, its files' times shuffled: every command does the same."""

import json
import os
import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import fashion_keras as fk
from fashion_keras.models.registry import ARCHITECTURES


@pytest.fixture(params=["now", "0.1"])
def twins(request, finished, tmp_path):
    """The run, and the same one zipped, unpacked elsewhere, and given other times.

    Also as version 0.1 left it, which noted nothing about its files.
    """
    plain = Path(shutil.copytree(finished / "run", tmp_path / "plain"))
    if request.param == "0.1":
        (plain / "run.json").unlink()
    archive = shutil.make_archive(tmp_path / "run", "zip", plain)
    moved = tmp_path / "elsewhere" / "moved"
    with zipfile.ZipFile(archive) as file:
        file.extractall(moved)
    paths = sorted(path for path in moved.rglob("*"))
    times = list(range(1_000_000, 1_000_000 + len(paths)))
    random.Random(1).shuffle(times)
    for path, time in zip(paths, times, strict=True):
        os.utime(path, (time, time))
    return plain, moved


def same(twins, what):
    plain, moved = map(what, twins)
    assert plain == moved


def test_a_finished_run_is_finished(twins, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "tiny", "tiny_arch")
    before = [path / "decision.json" for path in twins]
    texts = [path.read_bytes() for path in before]
    for path in twins:
        fk.train(workdir=path, resume=True, progress=False)
    assert [path.read_bytes() for path in before] == texts
    same(twins, lambda path: sorted(file.name for file in (path / "model").iterdir()))


def test_scores_and_what_is_exported_are_the_same(finished, twins):
    records = finished / "records"

    def scores(path):
        found = fk.evaluate(path, records, "test", resamples=20, progress=False).result
        return {key: value for key, value in found.items() if key not in ("model", "config")}

    def exported(path):
        fk.export(path, path.parent / f"models of {path.name}", progress=False)
        (file,) = (path.parent / f"models of {path.name}").rglob("fashion_keras.json")
        info = json.loads(file.read_text())
        return [info["made_from"], info["accept"], info["labels"]]

    same(twins, scores)
    same(twins, exported)
    same(twins, lambda path: (path / "evaluation-test" / "per_class.csv").read_bytes())


def test_a_decision_is_fitted_anew_and_heads_are_retrained_to_the_same(finished, twins):
    records = finished / "records"

    def calibrated(path):
        return fk.calibrate(path, records, progress=False).decision

    def retrained(path):
        return [
            w.tobytes()
            for w in map(np.asarray, fk.retrain(path, records, progress=False).model.weights)
        ]

    same(twins, calibrated)
    same(twins, retrained)
    same(twins, lambda path: fk.load_run(path).decision)
