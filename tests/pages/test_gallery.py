"""The index of training products: what is stored, and what is found in it."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from serving.tiny import tiny_run
from tiny_records import LABELS, write_tiny_records

from fashion_keras.errors import UserError
from fashion_keras.pages.gallery import Gallery, build_gallery
from fashion_keras.serving.bundle import Bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle whose heads are the tiny records'."""
    from fashion_keras.serving.savedmodel import export_saved_model

    return Bundle(export_saved_model(tiny_run(labels=LABELS), tmp_path_factory.mktemp("shop")))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_tiny_records(folder)
    return folder


@pytest.fixture(scope="module")
def index(bundle, records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index") / "shop"
    assert build_gallery(bundle, records, folder) == 48
    return folder


def training_photos(records, count):
    from fashion_keras.data.schema import DatasetInfo
    from fashion_keras.data.tfrecord import read_records

    info = DatasetInfo.load(records)
    products = read_records(records, info, "train", ["subCategory"], texts=True, parallel_reads=1)
    return list(products.take(count).as_numpy_iterator())


def test_a_training_photo_finds_itself_first(bundle, records, index):
    gallery = Gallery.load(index)
    assert len(gallery) == 48
    for product in training_photos(records, 5):
        vector = bundle.embed([product["encoded"]])[0][0]
        found = gallery.nearest(vector, 4)
        assert found[0].id == product["id"].decode()
        assert found[0].label == product["text"][0].decode()
        assert found[0].name == product["name"].decode()
        assert found[0].similarity == pytest.approx(1.0, abs=2e-3)  # stored in float16


def test_neighbours_are_those_of_the_largest_cosine(bundle, records, index):
    encoded = [product["encoded"] for product in training_photos(records, 48)]
    vectors, _ = bundle.embed(encoded)
    cosines = vectors @ vectors[7] / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(vectors[7]))
    found = Gallery.load(index).nearest(vectors[7], 6)
    similarities = [product.similarity for product in found]
    np.testing.assert_allclose(similarities, np.sort(cosines)[::-1][:6], atol=2e-3)
    assert similarities == sorted(similarities, reverse=True)


def test_a_product_is_kept_with_a_small_photo(index):
    gallery = Gallery.load(index)
    [found] = gallery.nearest(np.eye(1, gallery.embeddings.shape[1], dtype=np.float32)[0], 1)
    with Image.open(io.BytesIO(found.photo)) as image:
        assert max(image.size) <= 160


def test_examples_are_validation_photos_of_different_classes(index):
    examples = Gallery.load(index).examples
    assert [path.name for path in examples] == [f"validation-{n:02d}.jpg" for n in (1, 2, 3)]
    for path in examples:
        Image.open(path).verify()


def test_a_limit_takes_the_first_products(bundle, records, tmp_path):
    seen = []
    count = build_gallery(
        bundle, records, tmp_path / "few", limit=9, progress=lambda *at: seen.append(at)
    )
    assert count == 9
    assert seen[-1] == (9, 9)
    assert len(Gallery.load(tmp_path / "few")) == 9


def test_an_earlier_index_is_replaced_and_nothing_else(bundle, records, tmp_path):
    build_gallery(bundle, records, tmp_path / "index", limit=3)
    build_gallery(bundle, records, tmp_path / "index", limit=2)
    assert len(Gallery.load(tmp_path / "index")) == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious").write_text("kept")
    with pytest.raises(UserError, match="something else"):
        build_gallery(bundle, records, tmp_path / "other", limit=2)
    assert (tmp_path / "other" / "precious").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "other"]


def test_records_without_the_headline_are_refused_and_nothing_is_left(records, tmp_path):
    from fashion_keras.serving.savedmodel import export_saved_model

    run = tiny_run(labels={"season": ("Fall", "Summer")})
    other = Bundle(export_saved_model(run, tmp_path / "shop"))
    with pytest.raises(UserError, match="unknown label 'season'"):
        build_gallery(other, records, tmp_path / "index")
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_an_index_names_the_weights_it_was_made_with(bundle, index):
    assert Gallery.load(index).weights_sha256 == bundle.weights_sha256()
    assert len(bundle.weights_sha256()) == 64


def test_a_folder_that_is_no_index_says_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match="--build-index RECORDS"):
        Gallery.load(tmp_path)


def test_a_damaged_index_says_so(index, tmp_path):
    import shutil

    shutil.copytree(index, tmp_path / "index")
    np.save(tmp_path / "index" / "embeddings.npy", np.zeros((3, 4), np.float16))
    with pytest.raises(UserError, match=r"embeddings\.npy is damaged .it was changed"):
        Gallery.load(tmp_path / "index")
    (about := json.loads((tmp_path / "index" / "gallery.json").read_text("utf-8"))).pop("sha256")
    about.pop("files")  # as earlier versions wrote it
    (tmp_path / "index" / "gallery.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="3 embeddings of 48 products"):
        Gallery.load(tmp_path / "index")
