"""predictions.parquet, read back by pandas and PyArrow."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.special import softmax

from fashion_keras.evaluation.predictions import Predictions, predictions_parquet

CLASSES = ("Bags", 'Écharpes "x"', "NA")
LOGITS = np.array([[3, 1, 0], [0, 0, 5], [1, 2, 0]], np.float32)


@pytest.fixture
def predictions():
    return Predictions("test", ["1", "02", "3"], {"kind": np.array([0, 1, -1])}, {"kind": LOGITS})


def test_a_row_a_photo(predictions):
    table = pd.read_parquet(io.BytesIO(predictions_parquet(predictions, "kind", CLASSES)))
    assert list(table) == ["id", "truth", "prediction", "probability", "probabilities"]
    assert table["id"].tolist() == ["1", "02", "3"]
    assert table["truth"].tolist()[:2] == ["Bags", 'Écharpes "x"']
    assert pd.isna(table["truth"][2])
    assert table["prediction"].tolist() == ["Bags", "NA", 'Écharpes "x"']
    expected = softmax(LOGITS, axis=1)
    np.testing.assert_allclose(np.stack(table["probabilities"]), expected, rtol=1e-5)
    np.testing.assert_allclose(table["probability"], expected.max(axis=1), rtol=1e-5)


def test_the_schema_names_the_classes(predictions):
    schema = pq.read_schema(io.BytesIO(predictions_parquet(predictions, "kind", CLASSES)))
    assert json.loads(schema.metadata[b"classes"]) == list(CLASSES)
    assert (schema.metadata[b"label"], schema.metadata[b"split"]) == (b"kind", b"test")


def test_embeddings_where_asked(predictions):
    features = np.arange(12, dtype=np.float32).reshape(3, 4)
    file = predictions_parquet(predictions, "kind", CLASSES, features)
    found = pd.read_parquet(io.BytesIO(file))["embedding"]
    np.testing.assert_array_equal(np.stack(found), features)
