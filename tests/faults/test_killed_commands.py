"""kill -9 of convert, predict, export, index building and evaluate, and the same command again."""

import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest
from faults.children import REPOSITORY, run_child
from faults.killing import Case, kill_and_go_on
from faults.listing import contents, names
from faults.shop import convert_argv, evaluate_argv, export_argv, index_argv, predict_argv

pytestmark = pytest.mark.faults


def check(case, tmp_path, figures, least=8):
    found = kill_and_go_on(case, tmp_path)
    figures(f"kills: {case.name}: {found.killed} killed, {len(found.wrong)} wrong afterwards")
    assert not found.wrong, "\n".join(found.wrong)
    assert found.killed >= least


def test_convert_goes_on_to_the_same_bytes(shop, tmp_path, figures):
    def argv(place):
        return convert_argv(shop.catalogue, place / "records")

    case = Case(
        "convert", "fashion_keras.convert", argv, lambda place: [argv(place)],
        lambda place: contents(place / "records"), steps=24, moments=8,
    )  # fmt: skip
    check(case, tmp_path, figures)


def of_session(leader: int) -> list[str]:
    """The processes of a session that still run (proc(5): field 3 is the state, 6 the session)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def test_convert_as_a_program_takes_its_processes_with_it(shop, tmp_path, figures):
    """As a shell starts it: without TensorFlow, photos are read by processes of its own."""
    rng, killed, left = random.Random(0), 0, 0
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    for number in range(10):
        records = tmp_path / str(number) / "records"
        records.parent.mkdir()
        words = map(str, convert_argv(shop.catalogue, records))
        command = [sys.executable, "-m", "fashion_keras.convert", *words]
        how = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, start_new_session=True, **how)
        # From 0.3 s on there is something to kill; the whole takes about a second.
        time.sleep(rng.uniform(0.3, 2))
        killed += process.poll() is None
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while of_session(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        left += len(of_session(process.pid))
        assert subprocess.run(command, **how).returncode == 0
        assert contents(records) == contents(shop.records)
        assert [path.name for path in records.parent.iterdir()] == ["records"]
    figures(f"kills: convert as a program: {killed} killed, {left} processes left")
    assert killed and not left


def test_convert_that_replaces_goes_on_to_the_same_bytes(shop, tmp_path, figures):
    def argv(place):
        return convert_argv(shop.catalogue, place / "records", "--seed", "7", "--overwrite")

    case = Case(
        "convert --overwrite", "fashion_keras.convert", argv, lambda place: [argv(place)],
        lambda place: contents(place / "records"),
        before=lambda place: shop.copy("records", place / "records"), steps=24, moments=4,
    )  # fmt: skip
    check(case, tmp_path, figures)


def rows(table: Path):
    """The rows of a finished table."""
    if table.suffix == ".parquet":
        return pyarrow.parquet.read_table(table).to_pylist()
    return table.read_bytes()


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_predict_goes_on_to_the_same_rows(shop, tmp_path, figures, ending):
    def argv(place):
        return predict_argv(shop.bundle, place / f"tags.{ending}", shop.photos)

    case = Case(
        f"predict .{ending}", "fashion_keras.predict", argv,
        lambda place: [[*argv(place), "--resume"]],
        lambda place: rows(place / f"tags.{ending}"), steps=6, moments=4,
    )  # fmt: skip
    check(case, tmp_path, figures, least=4)


def test_predict_that_replaces_goes_on_to_the_same_rows(shop, tmp_path, figures):
    def argv(place):
        return predict_argv(shop.bundle, place / "tags.csv", shop.photos)

    def before(place):
        few = predict_argv(shop.bundle, place / "tags.csv", shop.photos / "1000.jpg")
        assert run_child("fashion_keras.predict", few, place.with_name("said")).code == 0

    def again(place):
        # Without rows in the .partial, --resume would keep those of the table that was there.
        resume = ["--resume"] if (place / "tags.csv.partial").exists() else []
        return [[*argv(place), *resume]]

    case = Case(
        "predict, a table replaced", "fashion_keras.predict", argv, again,
        lambda place: rows(place / "tags.csv"), before=before, steps=6, moments=3,
    )  # fmt: skip
    check(case, tmp_path, figures, least=4)


def version(folder: Path):
    """What a bundle's version says and has learnt; TensorFlow numbers its parts anew each time."""
    import tensorflow as tf

    info = json.loads((folder / "assets" / "fashion_keras.json").read_text())
    for name, sha256 in info["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
    stored = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    weights = [stored.get_tensor(name) for name in stored.get_variable_to_shape_map()]
    return {
        "names": names(folder),
        "info": {key: info[key] for key in info.keys() - {"files", "sha256"}},
        "weights": sorted(w.tobytes() for w in weights if getattr(w, "dtype", None) == "float32"),
        **contents(folder, "assets/labels.json"),
    }


def test_export_goes_on_to_a_complete_version(shop, tmp_path, figures):
    def argv(place):
        return export_argv(shop.run, place / "models")

    def result(place):
        folder = place / "models" / "shop"
        found = [version(path) for path in folder.iterdir()]  # what stands beside is a version too
        assert all(one == found[0] for one in found), "an incomplete version"
        beside = [name for name in names(place / "models") if not name.startswith("shop")]
        return found[0], beside, sorted(path.name for path in place.iterdir())

    case = Case(
        "export", "fashion_keras.export", argv, lambda place: [argv(place)], result,
        steps=7, moments=6, same_names=False,
    )  # fmt: skip
    check(case, tmp_path, figures)


@pytest.mark.parametrize("replaces", [False, True], ids=["anew", "replacing"])
def test_index_building_goes_on_to_a_whole_index(shop, tmp_path, figures, replaces):
    def argv(place):
        return index_argv(shop.bundle, shop.records, place / "index")

    def result(place):
        products = pyarrow.parquet.read_table(place / "index" / "products.parquet")
        return products.num_rows, contents(place / "index")

    def before(place):
        if replaces:
            few = index_argv(shop.bundle, shop.records, place / "index", "--limit", "3")
            assert run_child("fashion_keras.demo", few, place.with_name("said")).code == 0

    case = Case(
        f"index building{', replacing' * replaces}", "fashion_keras.demo", argv,
        lambda place: [argv(place)], result, before=before, steps=7, moments=3,
    )  # fmt: skip
    check(case, tmp_path, figures)


@pytest.mark.parametrize("replaces", [False, True], ids=["anew", "replacing"])
def test_evaluate_goes_on_to_the_same_scores(shop, tmp_path, figures, replaces):
    def argv(place):
        return evaluate_argv(place / "run", shop.records, place / "scores")

    def before(place):
        shop.copy("run", place / "run")
        if replaces:
            few = [*argv(place), "--label", "baseColour"]
            assert run_child("fashion_keras.evaluate", few, place.with_name("said")).code == 0

    def result(place):
        scores = json.loads((place / "scores" / "evaluation.json").read_text("utf-8"))
        predictions = gzip.decompress((place / "scores" / "predictions.csv.gz").read_bytes())
        digest = hashlib.sha256(predictions).hexdigest()
        return scores["per_class"], scores["accuracy"], digest, names(place / "scores")

    case = Case(
        f"evaluate{', replacing' * replaces}", "fashion_keras.evaluate", argv,
        lambda place: [argv(place)], result, before=before, steps=7, moments=3,
    )  # fmt: skip
    check(case, tmp_path, figures)
