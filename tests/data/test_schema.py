"""dataset_info.json: written, read again, and what is said of a wrong one."""

import dataclasses
import json
import re

import pytest
from tiny_records import write_tiny_records

from fashion_keras.data import schema
from fashion_keras.data.schema import DatasetInfo, did_you_mean
from fashion_keras.errors import UserError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return folder, write_tiny_records(folder, train=6, validation=3, test=2)


def refusal(call, *arguments) -> str:
    with pytest.raises(UserError) as raised:
        call(*arguments)
    assert len(str(raised.value).splitlines()) <= 2
    return str(raised.value)


def rewrite(info, folder, **changes):
    info.save(folder)
    path = folder / schema.INFO_FILE
    raw = json.loads(path.read_text(encoding="utf-8")) | changes | {"sha256": None}
    path.write_text(json.dumps({k: v for k, v in raw.items() if v is not None}))


def test_saved_and_loaded_again_it_is_equal(tiny, tmp_path):
    _, info = tiny
    info.save(tmp_path)
    assert DatasetInfo.load(tmp_path) == info
    assert [path.name for path in tmp_path.iterdir()] == [schema.INFO_FILE]


def test_names_outside_ascii_are_kept_readable(tiny, tmp_path):
    changes = {"labels": {"Größe": ("süß", "靴")}, "splits": {}}
    info = DatasetInfo(**{**vars(tiny[1]), **changes})
    info.save(tmp_path)
    assert "靴" in (tmp_path / schema.INFO_FILE).read_text(encoding="utf-8")
    assert DatasetInfo.load(tmp_path).vocabulary("Größe") == ("süß", "靴")


def test_feature_keys_of_a_label():
    assert schema.label_text_key("season") == "label/season/text"
    assert schema.label_index_key("season") == "label/season/index"


def test_shard_paths_are_files_in_the_folder(tiny):
    folder, info = tiny
    paths = info.shard_paths(folder, "train")
    assert sorted(paths) == sorted(str(path) for path in folder.glob("train-*.tfrecord"))
    assert len(paths) == 2


def test_an_unknown_label_is_answered_with_the_nearest(tiny):
    message = refusal(tiny[1].vocabulary, "subcategory")
    assert message == (
        "unknown label 'subcategory': these records have subCategory, baseColour"
        " (did you mean 'subCategory'?)"
    )


def test_a_label_with_one_class_cannot_be_trained(tiny):
    info = DatasetInfo(**{**vars(tiny[1]), "labels": {"gender": ("Women",)}})
    assert "label 'gender' has 1 class" in refusal(info.trainable_vocabulary, "gender")
    assert tiny[1].trainable_vocabulary("subCategory") == ("Bags", "Belts", "Shoes")


def test_an_unknown_split_is_answered_with_the_nearest(tiny):
    folder, info = tiny
    message = refusal(info.shard_paths, folder, "valdation")
    assert str(folder) in message and message.endswith("(did you mean 'validation'?)")


def test_an_empty_split_is_refused(tmp_path):
    info = write_tiny_records(tmp_path, train=3, validation=2, test=0)
    assert "split 'test'" in refusal(info.shard_paths, tmp_path, "test")
    assert "is empty" in refusal(info.shard_paths, tmp_path, "test")


def test_a_folder_without_records_is_answered_with_the_command_that_makes_them(tmp_path):
    message = refusal(DatasetInfo.load, tmp_path / "none")
    assert message.startswith(f"no records at {tmp_path}/none")
    assert f"fashion-keras convert --source ARCHIVE --output {tmp_path}/none" in message


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", "3", '{"schema_version": 1}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / schema.INFO_FILE).write_text(text)
    message = refusal(DatasetInfo.load, tmp_path)
    assert message.startswith(f"{tmp_path}/{schema.INFO_FILE} is damaged")


def test_a_file_that_is_no_text_is_damaged(tmp_path):
    (tmp_path / schema.INFO_FILE).write_bytes(b"\xff\xfe\x00")
    assert "is damaged" in refusal(DatasetInfo.load, tmp_path)


@pytest.mark.parametrize("key", ["labels", "splits", "image_sizes", "source", "left_out"])
def test_a_file_that_lacks_a_part_is_damaged(tiny, tmp_path, key):
    rewrite(tiny[1], tmp_path, **{key: None})
    assert f"is damaged ({key}: field required)" in refusal(DatasetInfo.load, tmp_path)


def test_a_file_that_was_changed_is_damaged(tiny, tmp_path):
    tiny[1].save(tmp_path)
    path = tmp_path / schema.INFO_FILE
    path.write_text(path.read_text("utf-8").replace('"Belts"', '"Shoes"', 1))
    assert "it was changed after it was written" in refusal(DatasetInfo.load, tmp_path)


def test_a_file_of_an_earlier_version_has_no_seal(tiny, tmp_path):
    rewrite(tiny[1], tmp_path)
    assert DatasetInfo.load(tmp_path) == tiny[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["validation"].update(shards=s["train"]["shards"]), "no shard of this split"),
        (lambda s: s["train"]["shards"].append(s["train"]["shards"][0]), "stands there twice"),
        (lambda s: s["train"]["shards"][0].update(file="../x.tfrecord"), "no shard of this split"),
        (lambda s: s["train"]["shards"][0].update(sha256="0"), "no sha256"),
        (lambda s: s["train"]["shards"].pop(), "6 photos, but 3 in its shards"),
        (lambda s: s["train"].update(num_examples=7), "7 photos, but 6 in its shards"),
        (lambda s: s["train"].update(num_examples=6.0), r"num_examples: .* valid integer"),
        (lambda s: s["train"].update(num_examples="6"), r"num_examples: .* valid integer"),
        (lambda s: s["train"].update(num_examples=True), r"num_examples: .* valid integer"),
        (lambda s: s["train"]["class_counts"].popitem(), "not of the labels"),
        (lambda s: s["train"]["class_counts"]["subCategory"].append(0), "do not fit"),
        (lambda s: s["train"]["class_counts"].update(subCategory=[9, 9, 9]), "do not fit"),
        (lambda s: s.update(valid=s.pop("validation")), "expected train, validation, test"),
    ],
)
def test_splits_that_cannot_be_are_damaged(tiny, tmp_path, change, message):
    raw = json.loads(json.dumps(dataclasses.asdict(tiny[1])))
    change(raw["splits"])
    rewrite(tiny[1], tmp_path, splits=raw["splits"])
    assert re.search(message, refusal(DatasetInfo.load, tmp_path))


@pytest.mark.parametrize("names", [["Bags", "Bags", "Shoes"], ["Bags", "", "Shoes"]])
def test_classes_without_a_name_of_their_own_are_damaged(tiny, tmp_path, names):
    rewrite(tiny[1], tmp_path, labels={**tiny[1].labels, "subCategory": names})
    assert "each another one" in refusal(DatasetInfo.load, tmp_path)


@pytest.mark.parametrize("version", [0, 3, "1"])
def test_another_schema_version_names_both(tiny, tmp_path, version):
    rewrite(tiny[1], tmp_path, schema_version=version)
    message = refusal(DatasetInfo.load, tmp_path)
    assert f"has schema version {version!r}, this fashion_keras reads versions 1 to 2" in message


def test_an_interrupted_save_leaves_what_was_there(tiny, tmp_path, monkeypatch):
    _, info = tiny
    info.save(tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(schema.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        DatasetInfo(**{**vars(info), "labels": {}}).save(tmp_path)
    assert DatasetInfo.load(tmp_path) == info


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("GENDER", ("gender", "season"), " (did you mean 'gender'?)"),
        ("seson", ("gender", "season"), " (did you mean 'season'?)"),
        ("zzz", ("gender", "season"), ""),
        ("gender", (), ""),
    ],
)
def test_did_you_mean(word, known, found):
    assert did_you_mean(word, known) == found
