"""Fixtures of places: a cache of each test's own, a store in memory, an S3 server with faults."""

import fsspec
import pytest
from s3 import S3, Faults


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """Call it to go to a machine whose cache is empty, or by a name back to one."""

    def go(name="first"):
        monkeypatch.setenv("FASHION_KERAS_CACHE", str(tmp_path / f"cache-{name}"))

    go()
    return go


@pytest.fixture
def memory():
    """The store behind memory://, empty."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    yield store
    store.store.clear()


@pytest.fixture(scope="session")
def s3_server():
    with S3() as server:
        yield server


@pytest.fixture
def s3(s3_server, monkeypatch):
    """An S3 server with an empty bucket `shop`, which this process and its children talk to."""
    s3_server.point_here(monkeypatch.setenv)
    return s3_server.with_bucket("shop")


@pytest.fixture
def faults(s3, s3_server, monkeypatch):
    """What stands between us and the S3 server, and can go wrong."""
    with Faults(s3_server.port) as between:
        between.point_here(monkeypatch.setenv)
        yield between
