"""The pipeline: complete and in order for evaluation, replayable to the last bit for training."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
import wire

from fashion_keras.commands import run_command
from fashion_keras.data import augment, pipeline
from fashion_keras.data.image import decode_and_resize
from fashion_keras.data.pipeline import Augmentation, make_dataset, resolve_cache
from fashion_keras.data.schema import INFO_FILE, SPLITS, DatasetInfo, SplitInfo
from fashion_keras.errors import UserError

SIZE = (24, 20)
BATCH = 8
TRAIN, STEPS = 42, 5


def batches(records, split="train", label="subCategory", **options):
    options = {"image_size": SIZE, "batch_size": BATCH, "stream": "epochs" in options, **options}
    return [
        tf.nest.map_structure(lambda t: t.numpy(), batch)
        for batch in make_dataset(records, split, label, **options)
    ]


def train(records, policy="none", **options):
    augmentation = Augmentation(policy)
    return batches(records, training=True, augmentation=augmentation, seed=7, **options)


def assert_same(some, others):
    assert len(some) == len(others)
    for (images, labels), (other_images, other_labels) in zip(some, others, strict=True):
        np.testing.assert_array_equal(images, other_images)
        for name in labels:
            np.testing.assert_array_equal(labels[name], other_labels[name])


def copied(records, tmp_path):
    return shutil.copytree(records, tmp_path / "copy")


# ---- evaluation ----


@pytest.mark.parametrize("cache", ["none", "encoded", "decoded"])
def test_evaluation_is_complete_and_in_the_order_of_the_shards(records, cache):
    info = DatasetInfo.load(records)
    stored = wire.examples(records, info, "train")
    read = batches(records, batch_size=16, with_ids=True, cache=cache)
    assert [len(ids) for _, _, ids in read] == [16, 16, 10]
    assert np.concatenate([ids for *_, ids in read]).tolist() == [e["id"] for e in stored]
    images = np.concatenate([images for images, *_ in read])
    assert images.dtype == np.uint8
    for image, example in zip(images, stored, strict=True):
        np.testing.assert_array_equal(image, decode_and_resize(example["image/encoded"], SIZE))


def test_labels_are_one_hot_and_a_product_without_one_has_a_row_of_zeros(records):
    info = DatasetInfo.load(records)
    stored = wire.examples(records, info, "train")
    ((_, labels),) = batches(records, label=["baseColour", "subCategory"], batch_size=64)
    for label, one_hot in labels.items():
        indices = np.array([example[f"label/{label}/index"] for example in stored])
        assert one_hot.dtype == np.float32
        np.testing.assert_array_equal(one_hot.sum(axis=1), indices >= 0)
        np.testing.assert_array_equal(one_hot.argmax(axis=1)[indices >= 0], indices[indices >= 0])
    assert (labels["baseColour"].sum(axis=1) == 0).any()


def test_no_product_is_in_two_splits(records):
    ids = [
        set(np.concatenate([i for *_, i in batches(records, split, with_ids=True)]).tolist())
        for split in SPLITS
    ]
    assert len(set.union(*ids)) == sum(map(len, ids)) == 60


# ---- training ----


@pytest.mark.parametrize("policy", augment.POLICIES)
def test_an_epoch_depends_on_the_seed_and_its_number_alone(records, policy):
    whole = train(records, policy, epochs=2, cache="decoded")
    # A run resumed in the middle, on a machine with less memory.
    resumed = train(records, policy, epochs=2, initial_epoch=1, cache="none")
    assert_same(resumed, whole[STEPS:])
    assert (whole[0][0] != whole[STEPS][0]).any()


@pytest.mark.parametrize("policy", ["none", "light"])
def test_every_cache_gives_the_same_batches(records, policy):
    expected = train(records, policy, cache="none")
    for cache in ("encoded", "decoded"):
        assert_same(train(records, policy, cache=cache), expected)


def test_mixing_is_the_same_when_resumed(records):
    options = {
        "training": True,
        "augmentation": Augmentation("light", mixup=0.4, cutmix=1.0),
        "label": ["subCategory", "gender"],
    }
    whole = batches(records, epochs=2, **options)
    assert_same(batches(records, epochs=2, initial_epoch=1, **options), whole[STEPS:])
    for _, labels in whole:
        for one_hot in labels.values():
            np.testing.assert_allclose(one_hot.sum(axis=1), 1, atol=1e-5)


def test_no_photo_comes_twice_in_an_epoch(records):
    read = train(records, epochs=2)
    assert len(read) == 2 * STEPS
    known = {image.tobytes() for images, *_ in batches(records) for image in images}
    assert len(known) == TRAIN
    for epoch in (read[:STEPS], read[STEPS:]):
        photos = {image.tobytes() for images, _ in epoch for image in images}
        assert len(photos) == STEPS * BATCH
        assert photos <= known


# ---- in one's own fit ----


def passes(dataset, count):
    """Read a dataset `count` times."""
    return [
        [tf.nest.map_structure(lambda t: t.numpy(), batch) for batch in dataset]
        for _ in range(count)
    ]


def natural(records, **options):
    options = {"training": True, "augmentation": Augmentation("light"), "seed": 7, **options}
    return make_dataset(records, "train", "subCategory", SIZE, BATCH, **options)


def test_each_pass_is_the_next_epoch(records):
    streamed = train(records, "light", epochs=3)
    first, second, third = passes(natural(records), 3)
    assert_same(first + second + third, streamed)
    (later,) = passes(natural(records, initial_epoch=2), 1)
    assert_same(later, third)


def test_passes_begin_anew_after_so_many_epochs_as_are_asked_for(records):
    first, second, third, fourth = passes(natural(records, initial_epoch=1, epochs=3), 4)
    assert_same(first, third)
    assert_same(second, fourth)
    assert (first[0][0] != second[0][0]).any()


@pytest.mark.parametrize("options", [{}, {"epochs": 2}], ids=["plain", "epochs=2"])
@pytest.mark.parametrize("built", [True, False])
def test_fit_sees_each_photo_at_most_once_an_epoch(records, options, built):
    seen = []

    def note(images):
        seen.extend(image.tobytes() for image in images)
        return images

    def noted(images, labels):
        same = tf.numpy_function(note, [images], images.dtype)
        return tf.ensure_shape(same, images.shape), labels["subCategory"]

    training = natural(records, augmentation=Augmentation(), **options).map(noted)
    layers = [keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((*SIZE, 3)), *layers] if built else layers)
    model.compile("sgd", "categorical_crossentropy")
    model.fit(training, epochs=2, verbose=0)
    assert model.optimizer.iterations == 2 * STEPS
    assert len(seen) == 2 * STEPS * BATCH
    for epoch in (seen[: STEPS * BATCH], seen[STEPS * BATCH :]):
        assert len(set(epoch)) == STEPS * BATCH
    assert seen[: STEPS * BATCH] != seen[STEPS * BATCH :]


@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"initial_epoch": 3, "epochs": 3}, {"stream": True}]
)
def test_epochs_that_hold_nothing_are_refused(records, options):
    with pytest.raises(ValueError, match=r"Invalid `epochs`\. Expected more than initial_epoch"):
        natural(records, **options)


def test_every_photo_comes_within_a_few_epochs(records):
    photos = {image.tobytes() for images, _ in train(records, epochs=8) for image in images}
    assert len(photos) == TRAIN


def test_photos_and_labels_stay_together(records):
    labels = {
        image.tobytes(): label.tobytes()
        for images, one_hot in batches(records)
        for image, label in zip(images, one_hot["subCategory"], strict=True)
    }
    for images, one_hot in train(records):
        for image, label in zip(images, one_hot["subCategory"], strict=True):
            assert labels[image.tobytes()] == label.tobytes()


@pytest.fixture
def global_seed():
    yield tf.random.set_seed
    tf.random.set_seed(None)


def test_the_global_seed_plays_no_part(records, global_seed):
    expected = train(records, "light")
    for seed in (0, 5, None):
        global_seed(seed)
        assert_same(train(records, "light"), expected)


@pytest.mark.parametrize("seed", [-1, 2**40])
def test_any_whole_number_is_a_seed(records, seed):
    assert len(batches(records, training=True, seed=seed)) == STEPS


def test_another_seed_is_another_order(records):
    assert (batches(records, training=True, seed=8)[0][0] != train(records)[0][0]).any()


def test_fewer_photos_than_a_batch_are_one_batch(records):
    ((images, _),) = batches(records, "test", training=True, batch_size=32)
    assert images.shape == (9, *SIZE, 3)


def test_shapes_are_static_in_training(records):
    dataset = make_dataset(
        records,
        "train",
        "subCategory",
        SIZE,
        BATCH,
        training=True,
        augmentation=Augmentation("light"),
    )
    images, labels = dataset.element_spec
    assert images.shape == (BATCH, *SIZE, 3)
    assert labels["subCategory"].shape == (BATCH, 3)


# ---- caches ----


@pytest.mark.parametrize("cache", ["encoded", "decoded"])
def test_the_second_epoch_comes_from_memory(records, tmp_path, cache):
    folder = copied(records, tmp_path)
    dataset = make_dataset(
        folder,
        "train",
        "subCategory",
        SIZE,
        BATCH,
        training=True,
        epochs=3,
        stream=True,
        cache=cache,
    )
    for step, _ in enumerate(dataset):
        if step == STEPS:
            for shard in folder.glob("train-*"):
                shard.unlink()
    assert step + 1 == 3 * STEPS


@pytest.mark.parametrize("cache", ["encoded", "decoded"])
def test_the_second_pass_comes_from_memory(records, tmp_path, cache):
    folder = copied(records, tmp_path)
    dataset = make_dataset(folder, "train", "subCategory", SIZE, BATCH, training=True, cache=cache)
    assert len(list(dataset)) == STEPS
    for shard in folder.glob("train-*"):
        shard.unlink()
    assert len(list(dataset)) == STEPS


@pytest.mark.parametrize(
    ("megabytes", "cache"), [(1000, "decoded"), (300, "encoded"), (100, "none")]
)
def test_auto_keeps_what_fits_in_a_quarter_of_the_memory(records, monkeypatch, megabytes, cache):
    info = DatasetInfo.load(records)
    shard = dataclasses.replace(info.splits["train"].shards[0], num_bytes=50 * 2**20)
    train_split = dataclasses.replace(
        info.splits["train"], num_examples=10_000, shards=(shard,)
    )  # decoded at 80×60: 137 MiB
    info = dataclasses.replace(info, splits={**info.splits, "train": train_split})
    monkeypatch.setattr(pipeline, "available_memory", lambda: megabytes * 2**20)
    assert resolve_cache("auto", info, "train", (80, 60)) == cache


# ---- what a user can mend ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "subcategory"}, "did you mean 'subCategory'"),
        ({"split": "valid"}, "unknown split 'valid'"),
        ({"cache": "decode"}, "unknown cache 'decode'.*did you mean 'decoded'"),
        ({"resize": "squash"}, "unknown resize 'squash'"),
        ({"augmentation": Augmentation("heavy")}, "unknown augmentation 'heavy'"),
    ],
)
def test_a_wrong_option_is_named(records, options, message):
    with pytest.raises(UserError, match=message):
        batches(records, **options)


def test_an_empty_split_is_named(records, tmp_path):
    folder = copied(records, tmp_path)
    info = DatasetInfo.load(folder)
    counts = {label: (0,) * len(names) for label, names in info.labels.items()}
    splits = {**info.splits, "test": SplitInfo(0, (), counts)}
    dataclasses.replace(info, splits=splits).save(folder)
    with pytest.raises(UserError, match=r"'test'.*is empty"):
        batches(folder, "test")


def test_records_of_another_schema_are_named(records, tmp_path):
    folder = copied(records, tmp_path)
    info = json.loads((folder / INFO_FILE).read_text())
    (folder / INFO_FILE).write_text(json.dumps(info | {"schema_version": 99}))
    with pytest.raises(UserError, match=f"{INFO_FILE} has schema version 99"):
        batches(folder)


def test_a_foreign_file_in_place_of_a_shard_is_named(records, tmp_path):
    folder = copied(records, tmp_path)
    shard = next(folder.glob("train-*"))
    shard.write_text("not a TFRecord")
    with pytest.raises(UserError, match=shard.name):
        batches(folder)


@pytest.mark.parametrize("damage", ["bit", "foreign example"])
def test_damage_inside_a_shard_ends_a_command_with_code_2(records, tmp_path, capfd, damage):
    folder = copied(records, tmp_path)
    shard = next(folder.glob("validation-*"))
    if damage == "bit":
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 0x10
        shard.write_bytes(data)
        with pytest.raises(tf.errors.DataLossError):
            batches(folder, "validation")
    else:
        with tf.io.TFRecordWriter(str(shard)) as writer:
            writer.write(tf.train.Example().SerializeToString())
        info = json.loads((folder / INFO_FILE).read_text())
        info["splits"]["validation"]["shards"][0]["num_bytes"] = shard.stat().st_size
        (folder / INFO_FILE).write_text(json.dumps(info))
    capfd.readouterr()
    assert run_command(lambda argv: batches(folder, "validation")) == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
