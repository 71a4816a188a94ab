"""The command convert: what it prints, and how it ends."""

import json
import sys

import pytest
import tensorflow as tf
from drawn_catalogue import draw_catalogue

from fashion_keras.convert import main
from fashion_keras.data import tfrecord


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return str(draw_catalogue(tmp_path_factory.mktemp("shop") / "catalogue", count=30))


def test_converts_and_verifies(source, tmp_path, capsys):
    output = str(tmp_path / "records")
    assert main(["--source", source, "--output", output, "--shards", "2"]) == 0
    printed = capsys.readouterr().out
    assert "train 21, validation 3, test 6" in printed
    assert f"{output}/report.json" in printed
    assert main(["--verify", output]) == 0
    assert "all 30 records are as dataset_info.json says" in capsys.readouterr().out


def test_own_columns(tmp_path):
    shop = tmp_path / "shop"
    draw_catalogue(shop, count=12)
    rows = "\n".join(f"images/{1000 + i}.jpg,{'ab'[i % 2]}" for i in range(12) if i != 10)
    (shop / "own.csv").write_text(f"photo,kind\n{rows}\n")
    options = ["--csv", "own.csv", "--image-column", "photo", "--label-column", "kind"]
    assert main(["--source", str(shop), "--output", str(tmp_path / "out"), *options]) == 0


def test_what_is_odd_about_a_label_is_said_and_stands_in_the_report(tmp_path, capsys):
    shop = tmp_path / "shop"
    draw_catalogue(shop, count=12)
    kinds = ["Hats", "Hats", "hats", "Men|Casual", "none", "Nan"] * 2
    rows = "\n".join(f"images/{1000 + i}.jpg,{kind}" for i, kind in enumerate(kinds) if i != 10)
    (shop / "own.csv").write_bytes(f"photo;Größe\n{rows}\n".replace(",", ";").encode("cp1252"))
    options = ["--csv", "own.csv", "--image-column", "photo", "--label-column", "Größe"]
    command = ["--source", str(shop), "--output", str(tmp_path / "out"), *options]
    assert main(command) == 0
    printed = capsys.readouterr().out
    for line in (
        "own.csv in",
        "is not UTF-8: read as Windows-1252, such as 'Größe'",
        "Größe: 4 classes, 1 photo without it, 3 classes under 3 photos",
        "warning: 2 classes of Größe look alike ('Hats' 4, 'hats' 2): --merge-names",
        "warning: 2 photos seem to have several values of Größe in one cell ('Men|Casual' 2)",
        "warning: 'Nan' 2 of Größe is read as a class",
    ):
        assert line in printed
    report = json.loads((tmp_path / "out/report.json").read_text())
    found = report["labels"]["Größe"]
    assert found["look_alike"] == [{"Hats": 4, "hats": 2}]
    assert found["several_values"] == {"Men|Casual": 2}
    assert (found["classes"], found["photos"], found["without"]) == (4, 10, 1)
    assert main([*command, "--merge-names", "--overwrite"]) == 0
    assert "Größe: names that look alike made one: 'hats' → 'Hats'" in capsys.readouterr().out
    info = json.loads((tmp_path / "out/dataset_info.json").read_text())
    assert info["labels"]["Größe"] == ["Hats", "Men|Casual", "Nan"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--source ARCHIVE and --output DIR are needed"),
        (["--source", "nowhere.zip", "--output", "OUT"], "nowhere.zip does not exist"),
        (["--source", "SOURCE", "--output", "OUT", "--max-size", "0"], "--max-size 0"),
        (["--source", "SOURCE", "--output", "OUT", "--shards", "-1"], "--shards -1"),
        (["--source", "SOURCE", "--output", "OUT", "--label-column", "hue"], "'hue'"),
        (
            ["--source", "SOURCE", "--output", "OUT", "--fractions", "0.9", "0.9", "0.9"],
            "they sum to 2.7, expected 1",
        ),
        (["--source", "SOURCE", "--output", "OUT", "--split", "published"], "published"),
        (["--source", "SOURCE", "--output", "OUT", "--group-column", "brand"], "'brand'"),
        (
            [
                "--source",
                "SOURCE",
                "--output",
                "OUT",
                "--split",
                "published",
                "--group-column",
                "baseColour",
            ],
            "the published split knows no groups",
        ),
        (["--verify", "OUT"], "no records at"),
    ],
)
def test_what_the_user_can_mend_ends_with_code_2(source, tmp_path, capsys, options, message):
    places = {"SOURCE": source, "OUT": str(tmp_path / "out")}
    assert main([places.get(option, option) for option in options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert len(captured.err.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "x.tfrecord; No space left on device"),
        OSError(28, "No space left on device", "x.tfrecord"),
    ],
    ids=["tensorflow", "python"],
)
def test_a_full_disk_is_told_and_the_conversion_can_go_on(
    source, tmp_path, capsys, monkeypatch, error
):
    output = tmp_path / "records"
    write_shard = tfrecord.write_shard

    def full(path, examples):
        if path.name.startswith("test"):
            raise error
        return write_shard(path, examples)

    monkeypatch.setattr(tfrecord, "write_shard", full)
    assert main(["--source", source, "--output", str(output)]) == 2
    assert "no space left" in capsys.readouterr().err
    assert not output.exists()
    monkeypatch.undo()
    assert main(["--source", source, "--output", str(output)]) == 0
    assert "going on" in capsys.readouterr().out


def test_a_bar_is_shown_to_a_person_only(source, tmp_path, capsys, monkeypatch):
    assert main(["--source", source, "--output", str(tmp_path / "a")]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["--source", source, "--output", str(tmp_path / "b")]) == 0
    bars = capsys.readouterr().err
    assert "checking photos: 100%" in bars
    assert "writing records: 100%" in bars
