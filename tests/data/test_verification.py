"""Verification: what is sound passes, and every kind of damage is found and named."""

import dataclasses
import shutil

import pytest
import tensorflow as tf
import wire

from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.verification import SHOWN, verify
from fashion_keras.errors import UserError
from fashion_keras.reading import sha256_of


@pytest.fixture
def folder(records, tmp_path):
    return shutil.copytree(records, tmp_path / "small")


def shard_of(folder, split="validation"):
    return folder / DatasetInfo.load(folder).splits[split].shards[0].file


def rewrite(path, change):
    """Change the tf.Examples of a shard, and let dataset_info.json say that this is right."""
    examples = [tf.train.Example.FromString(record) for record in wire.records(path)]
    change(examples)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    info = DatasetInfo.load(path.parent)
    splits = {
        name: dataclasses.replace(
            split,
            shards=tuple(
                dataclasses.replace(shard, num_bytes=path.stat().st_size, sha256=sha256_of(path))
                if shard.file == path.name
                else shard
                for shard in split.shards
            ),
        )
        for name, split in info.splits.items()
    }
    dataclasses.replace(info, splits=splits).save(path.parent)


def test_sound_records_are_counted(records):
    seen = []
    assert verify(records, progress=lambda phase, done, total: seen.append((done, total))) == 60
    assert seen[-1] == (60, 60)


def test_a_missing_and_a_strange_shard_are_named(folder):
    shard = shard_of(folder)
    strange = folder / "validation-00007-of-00009.tfrecord"
    shard.rename(strange)
    with pytest.raises(UserError) as error:
        verify(folder)
    assert f"{shard.name}: is missing" in str(error.value)
    assert f"{strange.name}: is not one of the shards" in str(error.value)


def test_a_flipped_bit_is_found_and_placed(folder):
    shard = shard_of(folder)
    data = bytearray(shard.read_bytes())
    data[-10] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError) as error:
        verify(folder)
    count = DatasetInfo.load(folder).splits["validation"].num_examples
    assert f"{shard.name}: its sha256 differs" in str(error.value)
    assert f"{shard.name}: damaged after record number {count - 1}" in str(error.value)


def test_a_truncated_shard_is_found(folder):
    shard = shard_of(folder)
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(UserError, match=f"{shard.name}: has .* bytes, expected"):
        verify(folder)


def set_index(examples):
    examples[2].features.feature["label/subCategory/index"].int64_list.value[0] += 1


def set_missing(examples):
    examples[2].features.feature["label/subCategory/index"].int64_list.value[0] = -1


def set_outside(examples):
    examples[2].features.feature["label/subCategory/index"].int64_list.value[0] = 99


def set_height(examples):
    examples[2].features.feature["image/height"].int64_list.value[0] += 1


def set_photo(examples):
    value = examples[2].features.feature["image/encoded"].bytes_list.value
    value[0] = value[0][: len(value[0]) // 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_index, "has subCategory index"),
        (set_missing, "has subCategory index -1"),
        (set_outside, "has subCategory index 99"),
        (set_height, "pixels, recorded as"),
        (set_photo, "its photo does not decode"),
    ],
)
def test_a_wrong_record_is_named(folder, change, message):
    shard = shard_of(folder)
    id = wire.example(wire.records(shard)[2])["id"].decode()
    rewrite(shard, change)
    with pytest.raises(UserError) as error:
        verify(folder)
    (problem,) = [line for line in str(error.value).splitlines() if message in line]
    assert f"{shard.name}: record {id}" in problem


def test_a_record_without_a_feature_is_placed(folder):
    shard = shard_of(folder)
    rewrite(shard, lambda examples: examples[1].features.feature.pop("image/width"))
    with pytest.raises(UserError, match=r"record number 2 is no tf\.Example of this schema"):
        verify(folder)


def test_an_id_that_comes_twice_is_named(folder):
    train = shard_of(folder, "train")
    twin = tf.train.Example.FromString(wire.records(train)[0])
    id = wire.example(wire.records(train)[0])["id"].decode()

    def replace(examples):
        examples[0].CopyFrom(twin)

    shard = shard_of(folder)
    rewrite(shard, replace)
    with pytest.raises(UserError, match=f"{shard.name}: record {id} is in {train.name} too"):
        verify(folder)


def test_a_lost_record_is_missed(folder):
    shard = shard_of(folder)
    rewrite(shard, lambda examples: examples.pop())
    with pytest.raises(UserError, match=f"{shard.name}: has 8 records, expected 9"):
        verify(folder)


@pytest.mark.parametrize("what", ["class counts", "sizes"])
def test_wrong_numbers_in_the_info_are_found(folder, what):
    info = DatasetInfo.load(folder)
    if what == "sizes":
        info = dataclasses.replace(info, image_sizes={**info.image_sizes, "max_height": 81})
    else:
        test = info.splits["test"]
        counts = {**test.class_counts, "subCategory": (9, 0, 0)}
        test = dataclasses.replace(test, class_counts=counts)
        info = dataclasses.replace(info, splits={**info.splits, "test": test})
    info.save(folder)
    with pytest.raises(UserError, match="recorded as"):
        verify(folder)


def test_only_the_first_problems_are_shown(folder):
    def spoil(examples):
        for example in examples:
            example.features.feature["image/height"].int64_list.value[0] += 1

    rewrite(shard_of(folder, "train"), spoil)
    with pytest.raises(UserError) as error:
        verify(folder)
    assert str(error.value).count("pixels, recorded as") == SHOWN
    assert "…" in str(error.value)
