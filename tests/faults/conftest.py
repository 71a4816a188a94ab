"""What the fault tests share: a small shop with records, a run, a bundle and an index."""

import contextlib
import fcntl
import os
from pathlib import Path

import pytest
from faults.shop import Shop, make_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Shop:
    """Records, a trained run, an exported bundle and an index; nobody writes to them."""
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent  # of all workers together: it is made once
    with _held(folder / "shop.lock"):
        return make_shop(folder / "shop")


@contextlib.contextmanager
def _held(path: Path):
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def figures(request):
    """A function that takes a line of counts, which is shown when all tests have run."""

    def take(line: str) -> None:
        request.node.user_properties.append(("figures", line))
        print(line)

    return take
