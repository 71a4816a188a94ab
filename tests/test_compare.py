"""The command compare: it reads what evaluate stored, and refuses what cannot be compared."""

import csv
import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fashion_keras.compare import main
from fashion_keras.config import load_config
from fashion_keras.reading import LIMIT

CLASSES = ("Bags", "Belts", "NA")


def write_run(folder, prediction, truth, *, ids=None, seed=0, split="test", label="subCategory"):
    """Write a run's folder as train and evaluate leave it, as far as it is compared."""
    evaluation = folder / f"evaluation-{split}"
    evaluation.mkdir(parents=True)
    ids = ids or [str(100 + i) for i in range(len(truth))]
    with gzip.open(evaluation / "predictions.csv.gz", "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "truth", "prediction", "probability"])
        writer.writerows(zip(ids, truth, prediction, ["0.9"] * len(ids), strict=True))
    result = {
        "split": split,
        "label": label,
        "num_examples": sum(bool(name) for name in truth),
        "per_class": [{"class": name} for name in CLASSES],
    }
    (evaluation / "evaluation.json").write_text(json.dumps(result))
    load_config(None, {"training.seed": seed, "data.label": label}).save(folder / "config.yaml")
    (folder / "history.csv").write_text(
        "epoch,loss,val_accuracy,val_macro_f1\n1,2.0,0.5,0.4\n2,1.5,0.6,0.5\n"
    )
    return str(folder)


@pytest.fixture
def runs(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.choice(CLASSES, 60).tolist()
    a = np.where(rng.random(60) < 0.4, "Bags", truth).tolist()
    first = write_run(tmp_path / "a", a, truth)
    # In another order, as another version might write them.
    order = rng.permutation(60)
    second = write_run(
        tmp_path / "b",
        [truth[i] for i in order],
        [truth[i] for i in order],
        ids=[str(100 + i) for i in order],
    )
    return first, second, sum(x != y for x, y in zip(a, truth, strict=True))


def test_photos_are_paired_by_id_and_files_written(runs, tmp_path, capsys):
    first, second, wrong = runs
    output = tmp_path / "out"
    assert main([first, second, "--output", str(output), "--resamples", "100"]) == 0
    printed = capsys.readouterr().out
    assert f"({wrong} won, 0 lost)" in printed
    assert (output / "comparison.md").read_text() in printed
    result = json.loads((output / "comparison.json").read_text())
    assert result["differences"][0]["mcnemar"]["only_b"] == wrong
    assert Image.open(output / "curves.png").width > 1000
    assert Image.open(output / "classes.png").width > 500
    assert main([first, second, "--output", str(output), "--resamples", "100"]) == 0


def test_a_class_called_na_is_a_class(tmp_path, capsys):
    truth = ["NA", "NA", "Bags", ""]
    first = write_run(tmp_path / "a", ["NA", "Bags", "Bags", "Bags"], truth)
    second = write_run(tmp_path / "b", ["NA", "NA", "Bags", "Bags"], truth)
    assert main([first, second, "--resamples", "20"]) == 0
    assert "the same 3 photos" in capsys.readouterr().out


def test_an_evaluations_own_folder_is_taken_too(runs, capsys):
    first, second, _ = runs
    assert main([f"{first}/evaluation-test", second, "--resamples", "20"]) == 0
    assert "| a |" in capsys.readouterr().out


def refused(arguments, capsys):
    assert main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) <= 2
    return printed.err


def test_different_photos_are_refused(runs, tmp_path, capsys):
    other = write_run(tmp_path / "c", ["Bags"] * 3, ["Bags"] * 3, ids=["100", "7", "8"])
    message = refused([runs[0], other], capsys)
    assert "different test photos: 59 only in the first, 2 only in the second" in message


def test_different_labels_of_the_same_photos_are_refused(tmp_path, capsys):
    first = write_run(tmp_path / "a", ["Bags"] * 3, ["Bags", "Bags", "Belts"])
    second = write_run(tmp_path / "b", ["Bags"] * 3, ["Bags", "Bags", "Bags"])
    assert "different labels of 1 photos (e.g. 102)" in refused([first, second], capsys)


def test_different_columns_are_refused(tmp_path, capsys):
    first = write_run(tmp_path / "a", ["Bags"], ["Bags"])
    second = write_run(tmp_path / "b", ["Bags"], ["Bags"], label="gender")
    message = refused([first, second], capsys)
    assert "different labels (subCategory, gender)" in message
    assert "evaluate --label subCategory) and name the folders" in message


def test_a_run_without_that_evaluation_is_told_how_to_make_it(runs, tmp_path, capsys):
    first = write_run(tmp_path / "läufe 1", ["Bags"], ["Bags"])
    message = refused([first, runs[0], "--split", "validation"], capsys)
    assert f"fashion-keras evaluate --model '{first}' --data DIR" in message
    assert "--split validation" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["A"], "two or more"), (["A", "A"], "given twice"), (["A", "nowhere"], "no run at nowhere")],
)
def test_what_is_no_comparison_is_refused(runs, capsys, arguments, message):
    assert message in refused([runs[0] if x == "A" else x for x in arguments], capsys)


DAMAGED = {
    "predictions.csv.gz": [
        lambda data: data[:40],
        lambda data: data[:30] + b"\xff" * 9 + data[39:],  # zlib's error, not gzip's
        lambda data: gzip.compress(b"id,truth\n1,Bags\n"),
        lambda data: gzip.compress(b"id,truth,prediction\n1,Bags\n"),
        lambda data: gzip.compress(b"id,truth,prediction\n\xff,Bags,Bags\n"),
        lambda data: gzip.compress(b'id,truth,prediction\n"1,Bags,Bags'),
        lambda data: gzip.compress(b"id,truth,prediction\n" + b"x" * (LIMIT + 1)),
    ],
    "evaluation.json": [
        lambda data: data[:-1],
        lambda data: b"[" * 100_000,
        lambda data: b"[]",
        lambda data: b"\xff\xfe",
        lambda data: data.replace(b'"split"', b'"label": "x", "split"'),
        lambda data: data.replace(b'"subCategory"', b"[3]"),
        lambda data: data.replace(b'"num_examples": 60', b'"num_examples": "60"'),
        lambda data: data.replace(b'{"class": "Bags"}', b'{"class": 5}'),
    ],
    "../history.csv": [
        lambda data: data + b'"',
        lambda data: data + b"3,nothing,0,0\n",
        lambda data: data + b"3,1,0,0,0\n",
    ],
}


@pytest.mark.parametrize(("name", "change"), [(n, c) for n, cs in DAMAGED.items() for c in cs])
def test_damaged_files_are_refused(runs, tmp_path, capsys, name, change):
    path = tmp_path / "a" / "evaluation-test" / name
    path.write_bytes(change(path.read_bytes()))
    assert f"{path.name} is damaged" in refused(runs[:2], capsys)


def test_a_history_that_is_no_text_is_refused(runs, tmp_path, capsys):
    (tmp_path / "a" / "history.csv").write_bytes(b"\xff")
    assert "history.csv: byte 0 is no UTF-8 text" in refused(runs[:2], capsys)


def test_no_tensorflow_is_loaded(runs, tmp_path):
    program = (
        "import sys; from fashion_keras.compare import main; "
        f"main([{runs[0]!r}, {runs[1]!r}, '--output', {str(tmp_path / 'o')!r}]); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=120, check=False).returncode == 0
