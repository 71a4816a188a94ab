"""Fixtures that several tests share: a finished run, and the real archives, if they are there."""

import fcntl
import os
from pathlib import Path

import pytest

from fashion_keras.data.archive import open_archive
from fashion_keras.data.catalog_reader import read_catalog
from fashion_keras.models.registry import ARCHITECTURES

REPOSITORY = Path(__file__).resolve().parents[1]
SMALL = "fashion-product-images-small.zip"
LARGE_224 = "fashion-product-images-224.zip"


# What takes longest begins first, so that the processes of scripts/test.sh end together.
LONGEST = (
    "training/test_titles.py",
    "training/test_jax.py",
    "training/test_distribution.py",
    "test_structure.py",
    "training/test_trainer.py",
    "data/test_pipeline.py",
    "test_tutorial.py",
    "test_evaluate.py",
    "training/test_macro_f1.py",
    "test_teacher.py",
    "test_run_moves.py",
    "test_any_label.py",
    "serving/test_savedmodel.py",
    "test_python_steps.py",
    "test_newcomer.py",
)


def pytest_collection_modifyitems(items):
    """Put the longest files first; within a file nothing changes."""
    order = {REPOSITORY / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(scope="module")
def tiny():
    """Register an architecture that trains in no time: the test depends on none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "tiny", "tiny_arch")
        yield


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """Records of 48 + 20 + 12 drawn photos of 40×32."""
    from tiny_records import write_tiny_records

    folder = tmp_path_factory.mktemp("records")
    write_tiny_records(folder)
    return folder


def _small() -> Path:
    default = REPOSITORY.parent / "shared" / "data" / SMALL
    return Path(os.environ.get("FASHION_KERAS_ARCHIVE") or default)


def _or_skip(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is not at {path.parent} (set FASHION_KERAS_ARCHIVE)")
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder with a `shop`, its `records` and a `run`, made once for all test processes.

    Never to be changed: whoever evaluates the run or trains it on takes a copy.
    """
    from finished_run import make_finished_run

    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    with open(folder / "finished.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        make_finished_run(folder / "finished")
    return folder / "finished"


@pytest.fixture(scope="session")
def archive_path() -> Path:
    """The real archive of 44,441 photos of 60×80; skips where it is absent."""
    return _or_skip(_small())


@pytest.fixture(scope="session")
def archive_224_path() -> Path:
    """The real archive of 8,133 photos of 224×224, beside the small one; skips if absent."""
    return _or_skip(_small().with_name(LARGE_224))


@pytest.fixture(scope="session")
def real_catalog(archive_path):
    """The catalogue of the small archive, photos not yet checked."""
    with open_archive(archive_path) as archive:
        return read_catalog(archive)


@pytest.fixture(scope="session")
def real_catalog_224(archive_224_path):
    """The catalogue of the 224 archive, photos not yet checked."""
    with open_archive(archive_224_path) as archive:
        return read_catalog(archive)


def pytest_terminal_summary(terminalreporter):
    """Show the counts of the fault tests, which docs/reliability.md repeats."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    lines = [text for r in reports for name, text in r.user_properties if name == "figures"]
    if lines:
        terminalreporter.section("faults")
        for line in sorted(lines):
            terminalreporter.line(line)
