"""Against an S3 server on the loopback, which answers late, half, wrong or not at all."""

import fsspec
import pytest
from s3 import Times
from tiny_records import write_tiny_records

from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.evaluate import main as evaluate
from fashion_keras.places import changing, local

RECORDS = "s3://shop/records"


@pytest.fixture
def records(s3, tmp_path):
    """Records at `RECORDS`, which others have put there; returns those of this machine."""
    write_tiny_records(tmp_path / "records", train=8, validation=4, test=4)
    s3.put(str(tmp_path / "records"), "shop/records", recursive=True)
    return tmp_path / "records"


@pytest.fixture
def hasty(monkeypatch):
    """Wait for answers a second at most, and between tries hardly at all."""
    options = {"config_kwargs": {"read_timeout": 1, "retries": {"max_attempts": 2}}}
    monkeypatch.setitem(fsspec.config.conf, "s3", options)
    monkeypatch.setattr("fashion_keras.store._WAIT", 0.01)


def arrived(records):
    folder = local(RECORDS)
    DatasetInfo.load(folder).fetch(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in records.iterdir()
    }


def test_what_is_written_there_is_read_there_by_another_machine(s3, machine, tmp_path):
    with changing("s3://shop/deep/records") as folder:
        write_tiny_records(folder, train=8, validation=4, test=4)
    assert not s3.exists("shop/deep/records/.fashion_keras")
    machine("second")
    there = local("s3://shop/deep/records")
    info = DatasetInfo.load(there)
    assert [path.name for path in there.iterdir()] == ["dataset_info.json"]
    info.fetch(there, "train")
    assert {p.name: p.read_bytes() for p in there.iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir() if "train" in p.name or "json" in p.name
    }


def of_a_shard(method, path):
    return method == "GET" and "train-00000" in path


@pytest.mark.parametrize(
    "fault",
    [pytest.param(name, marks=pytest.mark.slow) for name in ("503", "cut", "bent")] + ["short"],
)
def test_a_shard_that_fails_is_fetched_again(records, faults, hasty, fault):
    faults.fault = Times(fault, 2, of_a_shard)
    arrived(records)
    assert sum(of_a_shard(*request) for request in faults.seen) == 3


@pytest.mark.slow
def test_a_shard_that_stays_wrong_is_named(records, faults, hasty):
    faults.fault = lambda method, path: "bent" if of_a_shard(method, path) else None
    with pytest.raises(UserError, match=f"{RECORDS}/train-00000-of-00002.tfrecord arrived wrong"):
        arrived(records)
    faults.fault = lambda method, path: None
    faults.seen.clear()
    arrived(records)
    fetched = [path for method, path in faults.seen if method == "GET" and "tfrecord" in path]
    assert len(fetched) < 6  # those that had arrived are kept


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["short", "cut"])
def test_another_file_that_arrives_cut_is_fetched_again(records, faults, hasty, fault):
    faults.fault = Times(fault, 2, lambda method, path: path.endswith("dataset_info.json"))
    arrived(records)


@pytest.mark.slow
def test_a_store_that_is_silent_is_asked_again(records, faults, hasty):
    faults.fault = Times("silence", 1, of_a_shard)
    arrived(records)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["list", "PUT", "POST", "DELETE"])
def test_a_busy_store_is_asked_again_when_it_is_written_to(s3, faults, hasty, machine, what):
    def of(method, path):
        return "list-type" in path if what == "list" else method == what

    faults.fault = Times("503", 2, of)
    with changing("s3://shop/run") as folder:
        folder.mkdir()
        (folder / "a").write_text("1")
        (folder / "b").write_text("2")
    machine("second")
    assert sorted(path.name for path in local("s3://shop/run").iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("address", "fault", "said"),
    [
        ("s3://shop/none", None, "nothing is at s3://shop/none"),
        ("s3://nobodys/none", None, "s3://nobodys/none is not there"),
        ("s3://shop/none", "403", "s3://shop/none may not be read or written"),
        ("s3:/shop/none", None, "s3:/shop/none is an address without its //"),
    ],
)
def test_what_cannot_be_is_a_line_of_the_command(s3, faults, hasty, capsys, address, fault, said):
    faults.fault = lambda method, path: fault
    for option in ("--data", "--model"):
        places = {"--data": "x", "--model": "fashion", option: address}
        argv = ["--split", "test", *(word for pair in places.items() for word in pair)]
        assert evaluate(argv) == 2
        line = capsys.readouterr().err.splitlines()[0]
        if option == "--data" or fault or "nothing" not in said:
            assert line.startswith(f"error: {said}")


def test_without_credentials_it_says_so(s3, faults, hasty, monkeypatch, capsys):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    type(s3).clear_instance_cache()
    assert evaluate(["--model", "fashion", "--data", "s3://shop/x", "--split", "test"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: s3://shop/x: no credentials (Unable to locate credentials)")
