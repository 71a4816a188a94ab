import numpy as np
import pytest
import tensorflow as tf
from tiny_records import write_tiny_records

from fashion_keras.data.pipeline import Augmentation, SoftTargets, make_dataset
from fashion_keras.errors import UserError

LABELS = ["subCategory", "baseColour"]

CLASSES = {"subCategory": ("Bags", "Belts", "Shoes")}


def taught(count=48, weight=0.25):
    """A teacher whose probabilities name the photo: no two rows are the same."""
    rng = np.random.default_rng(0)
    values = rng.dirichlet(np.ones(3), count).astype(np.float16)
    return SoftTargets(tuple(str(i + 1) for i in range(count)), {"subCategory": values}, weight)


def test_a_batch_is_mixed_with_what_the_teacher_says_of_its_photos():
    targets = taught()
    one_hot = {
        "subCategory": tf.constant([[0.0, 1, 0], [0, 0, 0], [1, 0, 0]]),
        "baseColour": tf.constant([[1.0, 0], [0, 1], [0, 0]]),
    }
    mixed = targets.mixer()(tf.constant(["7", "3", "48"]), one_hot)
    rows = targets.probabilities["subCategory"].astype(np.float64)
    expected = [0.75 * np.eye(3)[1] + 0.25 * rows[6], np.zeros(3), 0.75 * np.eye(3)[0]]
    expected[2] = expected[2] + 0.25 * rows[47]
    np.testing.assert_allclose(mixed["subCategory"], expected, atol=1e-3)
    np.testing.assert_array_equal(mixed["baseColour"], one_hot["baseColour"])


def test_a_photo_that_the_teacher_has_not_seen_is_an_error():
    one_hot = {"subCategory": tf.constant([[0.0, 1, 0]])}
    with pytest.raises(tf.errors.InvalidArgumentError, match="was not asked about"):
        taught().mixer()(tf.constant(["4711"]), one_hot)


def test_the_training_stream_carries_each_photos_own(tmp_path):
    """Plain and taught streams hold the same photos, so that each row can be told by its batch."""
    write_tiny_records(tmp_path)
    options = dict(training=True, epochs=2, stream=True, augmentation=Augmentation("light"), seed=1)
    targets = taught()
    plain = make_dataset(tmp_path, "train", LABELS, (40, 32), 16, **options)
    soft = make_dataset(tmp_path, "train", LABELS, (40, 32), 16, soft_targets=targets, **options)
    seen = set()
    rows = targets.probabilities["subCategory"].astype(np.float64)
    for (images, hard), (same, mixed) in zip(plain, soft, strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(hard["baseColour"], mixed["baseColour"])
        found = (mixed["subCategory"].numpy() - 0.75 * hard["subCategory"].numpy()) / 0.25
        distance = np.abs(found[:, None] - rows[None]).max(axis=2)
        assert (distance.min(axis=1) < 1e-3).all()
        nearest = distance.argmin(axis=1)
        # Photo i of the records is of shape i % 3: the row is of a photo of that shape.
        assert (nearest % 3 == hard["subCategory"].numpy().argmax(axis=1)).all()
        seen |= set(nearest.tolist())
    assert seen == set(range(48))


def test_saved_and_read_again_it_is_the_same(tmp_path):
    targets = taught()
    targets.save(tmp_path / "teacher.npz")
    again = SoftTargets.load(tmp_path / "teacher.npz", 0.25, CLASSES)
    assert again.ids == targets.ids and again.weight == 0.25
    np.testing.assert_array_equal(
        again.probabilities["subCategory"], targets.probabilities["subCategory"]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["teacher.npz"]


def test_a_damaged_file_is_said_to_be(tmp_path):
    path = tmp_path / "teacher.npz"
    taught().save(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"teacher\.npz is damaged .*: remove it"):
        SoftTargets.load(path, 0.5, CLASSES)


@pytest.mark.parametrize(
    "changed",
    [
        {"id": np.array(["1", "1"])},
        {"id": np.array([1, 2])},
        {"subCategory": np.full((2, 2), 0.5, np.float16)},
        {"subCategory": np.full((1, 3), 0.5, np.float16)},
        {"subCategory": np.full((2, 3), 0.5, np.float32)},
        {"subCategory": np.full((2, 3), np.nan, np.float16)},
        {"subCategory": np.full((2, 3), -1, np.float16)},
        {"gender": np.full((2, 3), 0.5, np.float16)},
        {"subCategory": np.array([{}, {}], dtype=object)},
    ],
)
def test_a_file_that_does_not_fit_the_student_is_refused(tmp_path, changed):
    path = tmp_path / "teacher.npz"
    right = {"id": np.array(["1", "2"]), "subCategory": np.full((2, 3), 0.25, np.float16)}
    np.savez(path, **right)
    SoftTargets.load(path, 0.5, CLASSES)
    np.savez(path, **right | changed)
    with pytest.raises(UserError, match=r"teacher\.npz is damaged .*: remove it"):
        SoftTargets.load(path, 0.5, CLASSES)
