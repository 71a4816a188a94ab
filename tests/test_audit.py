"""The command audit: doubtful labels by a run and by cross-fitting, and what it refuses."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_records import write_tiny_records

from fashion_keras.audit import main
from fashion_keras.auditing.pairs import similar_pairs
from fashion_keras.data.near_duplicates import PhotoHashes
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.models.registry import ARCHITECTURES

CONFIG = """\
data: {label: subCategory, image_size: [40, 32], augment: none}
model: {arch: tiny}
training: {epochs: 2, batch_size: 16, seed: 3}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tiny records, a config, and what cross-fitting in two folds wrote."""
    folder = tmp_path_factory.mktemp("audit")
    write_tiny_records(folder / "records")
    (folder / "tiny.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "tiny", "tiny_arch")
        assert (
            main(arguments(folder, "out", "--folds", "2", "--config", f"{folder}/tiny.yaml")) == 0
        )
    return folder


def arguments(folder, output, *more):
    return ["--labels", "--data", f"{folder}/records", "--output", f"{folder}/{output}", *more]


def rows(path):
    return list(csv.DictReader(path.open()))


def test_cross_fitting_looks_at_every_training_photo_once(folder):
    report = json.loads((folder / "out/labels.json").read_text())
    assert report["photos"] == {"train": 48}
    assert report["probabilities"] == "cross-fitted in 2 folds"
    assert report["issues"] == len(rows(folder / "out/label_issues.csv"))
    assert Image.open(folder / "out/label_issues.png").height > 20


def test_each_folds_run_has_not_seen_its_fold(folder):
    runs = sorted((folder / "out/folds").iterdir())
    assert [run.name for run in runs] == ["fold-1-of-2", "fold-2-of-2"]
    for run in runs:
        described = json.loads((run / "records.json").read_text())["split"]
        assert described["strategy"] == "fold"
        assert (run / "best.keras").is_file()


def test_a_run_ranks_the_splits_that_it_did_not_train_on(folder, capsys):
    # The records of a fold are gone, so this run cannot be held to them.
    run = shutil.copytree(folder / "out/folds/fold-1-of-2", folder / "run")
    (run / "records.json").unlink()
    more = ("--model", f"{run}", "--splits", "validation")
    assert main(arguments(folder, "by-run", *more)) == 0
    assert "validation 20 photos, by runs that trained on neither" in capsys.readouterr().out
    report = json.loads((folder / "by-run/labels.json").read_text())
    assert report["photos"] == {"validation": 20}
    two = ("--model", f"{run}", f"{folder}/out/folds/fold-2-of-2/best.keras")
    shutil.copy(run / "labels.json", folder / "out/folds/fold-2-of-2/labels.json")
    (folder / "out/folds/fold-2-of-2/records.json").unlink()
    assert main(arguments(folder, "by-two", *two)) == 0
    report = json.loads((folder / "by-two/labels.json").read_text())
    assert report["photos"] == {"validation": 20, "test": 12}


def test_a_run_of_other_records_is_refused(folder, capsys):
    other = shutil.copytree(folder / "out/folds/fold-1-of-2", folder / "other")
    if not (other / "records.json").is_file():
        pytest.fail("a fold's run does not say which records it is of")
    assert main(arguments(folder, "refused", "--model", str(other))) == 2
    assert "holds other records than the run" in capsys.readouterr().err


def test_near_duplicates_by_a_model_are_written(folder):
    run = folder / "out/folds/fold-1-of-2"
    output = folder / "twins"
    data = ["--data", f"{folder}/records", "--output", str(output)]
    assert main([*data, "--model", str(run), "--min-similarity", "0.9999"]) == 0
    report = json.loads((output / "audit.json").read_text())["by_embedding"]
    assert report["pairs"] == len(rows(output / "similar.csv"))
    assert report["pairs"] == report["new_pairs"] + report["found_of_the_hash_pairs"]
    assert (output / "similar.png").is_file()


def test_similar_pairs_are_those_of_the_cosine():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 3)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    ids = tuple(str(i) for i in range(40))
    thumbnails = np.zeros((40, 24, 24, 3), np.uint8)
    crowded = int(((features @ features.T) >= 0.95).sum(axis=1).argmax())
    thumbnails[crowded] = 128  # alike to the model, but not in pixels
    photos = PhotoHashes(ids, np.zeros((40, 4), np.uint64), thumbnails, (), ())
    order = rng.permutation(40)
    pairs, cosine = similar_pairs(
        photos, [ids[i] for i in order], features[order], min_similarity=0.95, neighbours=39
    )
    expected = {
        (a, b): float(features[a] @ features[b])
        for a in range(40)
        for b in range(a + 1, 40)
        if features[a] @ features[b] >= 0.95 and crowded not in (a, b)
    }
    ends = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    assert dict(zip(ends, cosine.tolist(), strict=True)) == pytest.approx(expected, abs=1e-5)
    assert len(expected) > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels"], "--labels needs --model RUN, or --folds K"),
        (["--labels", "--folds", "3"], "give the config, and no --model"),
        (["--labels", "--folds", "1", "--config", "CONFIG"], "expected at least 2"),
        (
            ["--labels", "--folds", "2", "--config", "LEARNT"],
            "model.weights: runs/first, which may",
        ),
        (["--labels", "--folds", "2", "--config", "TAUGHT"], "training.teacher: runs/first, which"),
        (["--folds", "3"], "--folds belongs to --labels"),
        (["--labels", "--model", "nowhere", "--splits", "train"], "cannot doubt them"),
        (["--labels", "--model", "nowhere", "--splits", "tset"], "did you mean 'test'"),
        (["--labels", "--model", "nowhere"], "no trained model at nowhere"),
        (["--label", "hue"], "unknown label 'hue'"),
        (["--predictions", "nowhere.csv.gz"], "cannot read the predictions nowhere.csv.gz"),
        (["--labels", "--model", "nowhere", "--predictions", "x"], "leave out --labels"),
        (["--max-difference", "1.5"], "--max-difference 1.5: expected a number from 0 to 1"),
        (["--max-distance", "-1"], "--max-distance -1: expected a number from 0 to 256"),
        (["--min-similarity", "0.9"], "add --model RUN"),
        (["--output", "CONFIG"], "is a file: --output names a folder"),
    ],
)
def test_what_does_not_fit_is_refused(folder, capsys, options, message):
    config = (folder / "tiny.yaml").read_text()
    (folder / "learnt.yaml").write_text(
        config.replace("arch: tiny", "arch: tiny, weights: runs/first")
    )
    (folder / "taught.yaml").write_text(config.replace("seed: 3", "seed: 3, teacher: runs/first"))
    files = {"CONFIG": "tiny.yaml", "LEARNT": "learnt.yaml", "TAUGHT": "taught.yaml"}
    options = [f"{folder}/{files[word]}" if word in files else word for word in options]
    data = ["--data", f"{folder}/records", "--output", f"{folder}/none"]
    assert main([*data, *options]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) <= 2
    assert not (folder / "none").exists()


def test_the_records_stay_as_they_are(folder):
    assert DatasetInfo.load(folder / "records").splits["train"].num_examples == 48
    assert not (folder / "out/folds/records").exists()
