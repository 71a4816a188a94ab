"""The photos that a model got wrong with the most confidence."""

import numpy as np
import pytest
from evaluation.fake_run import COUNTS, IMAGE_SIZE, product, write_records, write_run

from fashion_keras.evaluation.predictions import predict
from fashion_keras.report.examples import surest_mistakes
from fashion_keras.run import load_run


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Run, records and predictions of the test split; every 5th product is labelled wrongly."""
    folder = tmp_path_factory.mktemp("mistakes")
    run, records = load_run(write_run(folder / "run")), write_records(folder / "records")
    return run, records, predict(run, records, "test")


def test_mistakes_are_the_photos_whose_label_is_another(found):
    _, captions = surest_mistakes(*found)
    wrong = {product("test", index)[0] for index in range(0, COUNTS["test"], 5)}
    assert {caption[0] for caption in captions} == wrong


def test_each_photo_comes_with_its_own_caption(found):
    photos, captions = surest_mistakes(*found)
    assert photos.shape == (len(captions), *IMAGE_SIZE, 3)
    assert photos.dtype == np.uint8
    products = {product("test", index)[0]: product("test", index) for index in range(60)}
    for pixels, (identifier, label, said) in zip(photos, captions, strict=True):
        _, colour, labels = products[identifier]
        assert tuple(pixels[0, 0]) == colour
        assert label == f"label {labels['subCategory']}"
        assert said.startswith(f"model {('Bags', 'Shoes', 'Topwear')[np.argmax(colour)]} 0.")


def test_the_surest_come_first_and_no_more_than_asked(found):
    run, records, predictions = found
    every = [caption[0] for caption in surest_mistakes(run, records, predictions)[1]]
    # Make the last mistake the surest: its logits grow, its answer stays.
    predictions.logits["subCategory"][predictions.ids.index(every[-1])] *= 2
    captions = surest_mistakes(run, records, predictions, most=2)[1]
    assert [caption[0] for caption in captions] == [every[-1], every[0]]
