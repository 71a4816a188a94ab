from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import precision_score, recall_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins import projector
from tensorboard.util import tensor_util

from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.report import board
from fashion_keras.report.board import THRESHOLDS, sample_rows, write_pr_curves, write_projector

CLASSES = ("Bags", "Shoes", "Socks")
PHOTOS = {str(i): np.zeros((8, 6, 3), np.uint8) for i in range(40)}
RNG = np.random.default_rng(0)


@pytest.fixture
def predictions():
    """No photo is of the third class, and two have no label."""
    truth = np.array([0] * 30 + [1] * 8 + [-1] * 2)
    logits = RNG.normal(size=(40, 3)).astype("float32") + np.eye(3)[truth].astype("float32")
    return Predictions("test", [str(i) for i in range(40)], {"kind": truth}, {"kind": logits})


def curves(folder):
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()["tensors"]
    return {t: tensor_util.make_ndarray(events.Tensors(t)[0].tensor_proto) for t in tags}


def test_curves_are_scikit_learns_precision_and_recall_at_each_threshold(predictions, tmp_path):
    write_pr_curves(tmp_path / "pr", predictions, "kind", CLASSES)
    found = curves(tmp_path / "pr")
    assert set(found) == {"kind/Bags/pr_curves", "kind/Shoes/pr_curves"}
    truth = predictions.truth["kind"][:38] == 1
    probability = predictions.probabilities("kind")[:38, 1]
    precision, recall = found["kind/Shoes/pr_curves"][4:6]
    for index in range(0, THRESHOLDS, 25):
        said = probability >= index / (THRESHOLDS - 1)
        assert recall[index] == pytest.approx(recall_score(truth, said, zero_division=0))
        if said.any():
            assert precision[index] == pytest.approx(precision_score(truth, said))


def test_curves_written_again_replace_the_first(predictions, tmp_path):
    for _ in range(2):
        write_pr_curves(tmp_path / "pr", predictions, "kind", CLASSES)
    assert len(list((tmp_path / "pr").iterdir())) == 1


def test_sample_has_every_class_and_no_unlabelled_photo(predictions):
    rows = sample_rows(predictions, "kind", 5)
    assert len(set(rows.tolist())) == 5
    assert set(predictions.truth["kind"][rows]) == {0, 1}
    np.testing.assert_array_equal(rows, sample_rows(predictions, "kind", 5))
    assert len(sample_rows(predictions, "kind", 1000)) == 38


def test_projector_gets_features_names_and_a_thumbnail_each(tmp_path):
    features = RNG.normal(size=(5, 3))
    photos = RNG.integers(0, 256, (5, 4, 2, 3), dtype="uint8")
    products = [{"id": str(i), "kind": "a\tb" if i == 3 else "c"} for i in range(5)]
    write_projector(tmp_path, features, photos, products)
    config = projector.ProjectorConfig()
    from google.protobuf import text_format

    text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), config)
    (embedding,) = config.embeddings
    np.testing.assert_allclose(np.loadtxt(tmp_path / embedding.tensor_path), features, rtol=1e-4)
    lines = (tmp_path / embedding.metadata_path).read_text().splitlines()
    assert lines[0] == "id\tkind" and lines[4] == "3\ta b" and len(lines) == 6
    assert list(embedding.sprite.single_image_dim) == [2, 4]
    sprite = np.asarray(Image.open(tmp_path / embedding.sprite.image_path))
    assert sprite.shape == (12, 6, 3)  # three by three
    np.testing.assert_array_equal(sprite[4:8, 2:4], photos[4])
    assert (sprite[8:] == 255).all()


def test_photos_that_do_not_fit_in_one_picture_are_refused(tmp_path):
    with pytest.raises(ValueError, match="fewer or smaller"):
        write_projector(
            tmp_path, np.zeros((4, 2)), np.zeros((4, 5000, 10, 3), "uint8"), [{"id": "1"}] * 4
        )


def test_of_large_photos_as_many_are_shown_as_a_picture_holds(predictions, tmp_path, monkeypatch):
    monkeypatch.setattr(board, "_LARGEST_SPRITE", 24)
    shown = []
    monkeypatch.setattr(
        board, "load_photos", lambda run, records, split, ids: shown.extend(ids) or PHOTOS
    )
    run = SimpleNamespace(
        label="kind",
        labels={"kind": CLASSES},
        image_size=(8, 6),
        features=SimpleNamespace(predict=lambda photos, **_: np.zeros((len(photos), 2))),
    )
    board.write_board(run, "records", predictions, tmp_path)
    assert len(shown) == 9  # three by three of 8 pixels
    assert Image.open(tmp_path / board.SPRITE_FILE).size == (18, 24)
