"""Records on disk: read back by TensorFlow, by tensorflow-datasets and from the bytes alone."""

import csv
import dataclasses
import hashlib
import shutil

import pytest
import tensorflow as tf
import wire

from fashion_keras.data import schema
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.tfrecord import Record, read_records, to_example, write_shard
from fashion_keras.errors import UserError

RECORD = Record("7", "Röd skjorta", b"\xff\xd8photo", 80, 60, {"colour": "Red", "season": None})
VOCABULARIES = {"colour": {"Blue": 0, "Red": 1}, "season": {"Fall": 0}}
EXPECTED = {
    "id": b"7",
    "name": "Röd skjorta".encode(),
    "image/encoded": b"\xff\xd8photo",
    "image/height": 80,
    "image/width": 60,
    "label/colour/text": b"Red",
    "label/colour/index": 1,
    "label/season/text": b"",
    "label/season/index": -1,
}


def test_an_example_holds_exactly_what_the_schema_says():
    assert wire.example(to_example(RECORD, VOCABULARIES)) == EXPECTED


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000, 3_000_000])
@pytest.mark.parametrize("label", ["colour", "a", "a/j", "größe", "z" * 200])
def test_an_example_is_to_the_byte_what_tensorflow_writes(size, label):
    record = dataclasses.replace(RECORD, encoded=bytes(size), labels={label: "Röd", "a": None})
    vocabularies = {label: {"Röd": 300}, "a": {}} if label != "a" else {"a": {}}
    example = tf.train.Example.FromString(to_example(record, vocabularies))
    assert example.features.feature["image/encoded"].bytes_list.value == [bytes(size)]
    assert example.SerializeToString(deterministic=True) == to_example(record, vocabularies)


def test_a_shard_is_to_the_byte_what_tensorflow_writes(tmp_path):
    examples = [b"", b"one", bytes(range(256)) * 300]
    write_shard(tmp_path / "ours", examples)
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for example in examples:
            writer.write(example)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_the_same_record_is_always_the_same_bytes():
    reversed_labels = dict(reversed(RECORD.labels.items()))
    other = dataclasses.replace(RECORD, labels=reversed_labels)
    backwards = dict(reversed(VOCABULARIES.items()))
    assert to_example(RECORD, VOCABULARIES) == to_example(other, backwards)


def test_tensorflow_datasets_reads_an_example():
    tfds = pytest.importorskip("tensorflow_datasets")
    features = tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "image": {"encoded": tf.string, "height": tf.int64, "width": tf.int64},
            "label": {"colour": {"text": tfds.features.Text(), "index": tf.int64}},
        }
    )
    read = features.deserialize_example(to_example(RECORD, VOCABULARIES))
    assert read["id"] == b"7"
    assert read["image"]["encoded"] == b"\xff\xd8photo"
    assert read["image"]["height"] == 80
    assert read["label"]["colour"] == {"text": b"Red", "index": 1}


def test_a_shard_is_described_as_it_is_on_disk(tmp_path):
    path = tmp_path / "train-00000-of-00001.tfrecord"
    shard = write_shard(path, [b"one", b"three"])
    data = path.read_bytes()
    assert wire.records(path) == [b"one", b"three"]
    assert shard == schema.ShardInfo(path.name, 2, len(data), hashlib.sha256(data).hexdigest())
    assert list(tmp_path.iterdir()) == [path]


def test_a_shard_that_fails_half_way_leaves_no_shard(tmp_path):
    def examples():
        yield b"one"
        raise RuntimeError("disk pulled")

    path = tmp_path / "train-00000-of-00001.tfrecord"
    with pytest.raises(RuntimeError):
        write_shard(path, examples())
    assert not path.exists()


def test_records_are_the_catalogue(records, catalogue):
    info = DatasetInfo.load(records)
    with open(catalogue / "styles.csv") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    stored = [example for split in schema.SPLITS for example in wire.examples(records, info, split)]
    assert sorted(example["id"].decode() for example in stored) == sorted(rows)
    for example in stored:
        row = rows[example["id"].decode()]
        assert example["name"].decode() == row["productDisplayName"]
        for label in schema.LABEL_COLUMNS:
            text = "" if row[label] == "NA" else row[label]
            assert example[f"label/{label}/text"].decode() == text
            index = example[f"label/{label}/index"]
            assert index == (info.labels[label].index(text) if text else -1)


@pytest.mark.parametrize("parallel_reads", [1, 4])
def test_reading_yields_every_record_once(records, parallel_reads):
    info = DatasetInfo.load(records)
    labels = ["subCategory", "baseColour"]
    read = list(
        read_records(
            records, info, "train", labels, texts=True, parallel_reads=parallel_reads
        ).as_numpy_iterator()
    )
    stored = wire.examples(records, info, "train")
    if parallel_reads == 1:
        assert [r["id"] for r in read] == [e["id"] for e in stored]
    by_id = {example["id"]: example for example in stored}
    assert len(read) == len(by_id)
    for record in read:
        example = by_id[record["id"]]
        assert record["encoded"] == example["image/encoded"]
        assert (record["height"], record["width"]) == (
            example["image/height"],
            example["image/width"],
        )
        assert record["index"].tolist() == [example[f"label/{k}/index"] for k in labels]
        assert record["text"].tolist() == [example[f"label/{k}/text"] for k in labels]


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_shard_is_named_before_reading(records, tmp_path, damage):
    folder = shutil.copytree(records, tmp_path / "copy")
    info = DatasetInfo.load(folder)
    shard = folder / info.splits["test"].shards[0].file
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(UserError, match=shard.name):
        read_records(folder, info, "test", ["subCategory"])
