"""Two processes on one output at once: one of them, or both in turn; and one whole result."""

import pyarrow.parquet
import pytest
from faults.children import Child
from faults.listing import contents, names
from faults.shop import (
    convert_argv,
    evaluate_argv,
    export_argv,
    index_argv,
    predict_argv,
    train_argv,
)

pytestmark = pytest.mark.faults


def both(target, argv, place, figures, *, name):
    """Start a command twice; both end well or are refused in a line, and one ends well."""
    children = [Child(target, argv, place.parent / f"said{i}", cwd=place) for i in range(2)]
    ended = [child.wait() for child in children]
    problems = [e.last() for e in ended if (e.code != 0 and not e.refused) or "Traceback" in e.err]
    codes = sorted(e.code for e in ended)
    figures(f"two at once: {name}: exit codes {codes}, {len(problems)} tracebacks")
    assert not problems
    assert 0 in codes, [e.last() for e in ended]
    return codes


@pytest.fixture
def place(tmp_path):
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.mark.parametrize("replaces", [False, True], ids=["anew", "replacing"])
def test_two_conversions(shop, place, figures, replaces):
    if replaces:
        shop.copy("records", place / "records")
    argv = convert_argv(shop.catalogue, place / "records", *["--overwrite"] * replaces)
    both("fashion_keras.convert", argv, place, figures, name=f"convert{' --overwrite' * replaces}")
    assert contents(place / "records") == contents(shop.records)
    assert [path.name for path in place.iterdir()] == ["records"]


def test_two_trainings(shop, place, figures):
    argv = train_argv(shop.records, place / "run")
    codes = both("fashion_keras.train", argv, place, figures, name="train")
    assert codes == [0, 2]
    # Tests of evaluate write into the shop's run.
    expected = [name for name in names(shop.run) if not name.startswith("evaluation-")]
    assert names(place / "run") == expected
    assert [path.name for path in place.iterdir()] == ["run"]


def test_two_that_resume_one_training(shop, place, figures):
    shop.copy("run", place / "run")
    argv = ["--workdir", place / "run", "--resume"]
    codes = both("fashion_keras.train", argv, place, figures, name="train --resume")
    assert codes == [0, 2]
    assert names(place / "run") == names(shop.run)


def test_two_exports(shop, place, figures):
    both("fashion_keras.export", export_argv(shop.run, place / "models"), place, figures,
         name="export")  # fmt: skip
    versions = sorted(path.name for path in (place / "models" / "shop").iterdir())
    assert versions in (["1"], ["1", "2"])
    for version in versions:
        assert names(place / "models" / "shop" / version) == names(shop.bundle / "1")


@pytest.mark.parametrize("replaces", [False, True], ids=["anew", "replacing"])
def test_two_evaluations(shop, place, figures, replaces):
    argv = evaluate_argv(shop.own_run, shop.records, place / "scores")
    if replaces:
        assert Child("fashion_keras.evaluate", argv, place.parent / "said").wait().code == 0
    both("fashion_keras.evaluate", argv, place, figures, name=f"evaluate{', again' * replaces}")
    assert [path.name for path in place.iterdir()] == ["scores"]


@pytest.mark.parametrize("replaces", [False, True], ids=["anew", "replacing"])
def test_two_that_build_one_index(shop, place, figures, replaces):
    if replaces:
        shop.copy("index", place / "index")
    argv = index_argv(shop.bundle, shop.records, place / "index")
    both("fashion_keras.demo", argv, place, figures, name=f"index building{', again' * replaces}")
    assert contents(place / "index") == contents(shop.index)
    assert [path.name for path in place.iterdir()] == ["index"]


def test_two_that_write_one_table(shop, place, figures):
    argv = predict_argv(shop.bundle, place / "tags.parquet", shop.photos)
    both("fashion_keras.predict", argv, place, figures, name="predict")
    rows = pyarrow.parquet.read_table(place / "tags.parquet").num_rows
    assert rows == len(list(shop.photos.iterdir()))
    assert [path.name for path in place.iterdir()] == ["tags.parquet"]
