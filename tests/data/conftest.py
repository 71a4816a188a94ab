"""Fixtures of the data tests: a drawn catalogue, and the records of it."""

import pytest
from drawn_catalogue import draw_catalogue

from fashion_keras.data.conversion import Request, convert


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory):
    return draw_catalogue(tmp_path_factory.mktemp("shop") / "catalogue")


@pytest.fixture(scope="session")
def records(catalogue, tmp_path_factory):
    """Records of the catalogue: 42 train in 3 shards, 9 validation, 9 test. Never to be changed."""
    output = tmp_path_factory.mktemp("records") / "small"
    convert(Request(str(catalogue), shards=3), output, say=lambda line: None)
    return output
