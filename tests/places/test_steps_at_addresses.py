"""Each step, with all that it names at an address of a store in memory."""

import contextlib
import shutil

import pandas as pd
import pytest

import fashion_keras as fk
from fashion_keras import places
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.work_folder import REPORT_FILE
from fashion_keras.errors import UserError
from fashion_keras.store import Store
from fashion_keras.tagging.sources import PathColumns, PhotoSource

COLUMNS = {"image_column": "photo", "label_column": ["kind", "colour"]}


def upload(memory, folder, key):
    files = [path for path in folder.rglob("*") if path.is_file()]
    memory.pipe({f"{key}/{path.relative_to(folder)}": path.read_bytes() for path in files})


@pytest.fixture
def shop(finished, memory):
    upload(memory, finished / "shop", "/shop")
    return "memory://shop"


@pytest.fixture
def at_address(finished, memory):
    upload(memory, finished / "run", "/runs/a")
    upload(memory, finished / "records", "/records")
    return "memory://runs/a", "memory://records"


@contextlib.contextmanager
def downloads(monkeypatch):
    """Count what is downloaded, by its name."""
    found, real = [], Store.get

    def get(self, key, path, check):
        found.append(key.rpartition("/")[2])
        return real(self, key, path, check)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "get", get)
        yield found


def test_records_are_those_of_this_machine_byte_for_byte(shop, finished, memory):
    said = fk.convert(shop, "memory://made/records", **COLUMNS, progress=False)
    assert str(said).startswith("memory://made/records: ")
    names = {path.name for path in (finished / "records").iterdir()}
    assert {key.rpartition("/")[2] for key in memory.find("/made")} == names
    for name in names - {"dataset_info.json", REPORT_FILE}:
        assert (
            memory.cat_file(f"/made/records/{name}") == (finished / "records" / name).read_bytes()
        )
    here = DatasetInfo.load(finished / "records")
    there = DatasetInfo.load(places.local("memory://made/records"))
    assert there.source["path"] == shop
    assert {**there.source, "path": 0} == {**here.source, "path": 0}
    assert (there.splits, there.labels) == (here.splits, here.labels)
    assert (
        memory.cat_file(f"/made/records/{REPORT_FILE}")
        .decode()
        .replace(shop, str(finished / "shop"))
        == (finished / "records" / REPORT_FILE).read_text()
    )


@pytest.mark.parametrize("bars", [True, False])
def test_downloads_and_uploads_show_how_far_they_are(shop, memory, capsys, bars):
    fk.convert(shop, "memory://made/records", **COLUMNS, progress=fk.Reporter(bars=bars))
    drawn = capsys.readouterr().err
    for line in (f"downloading {shop}: ", "uploading to memory://made/records: "):
        assert (line in drawn) is bars


def test_records_that_are_there_are_left_or_replaced_as_they_are_asked(shop, memory, machine):
    output = "memory://made/records"
    fk.convert(shop, output, **COLUMNS, shards=2, progress=False)
    before = dict(memory.store)
    machine("second")
    fk.convert(shop, output, **COLUMNS, shards=2, progress=False)
    assert dict(memory.store) == before
    with pytest.raises(UserError, match=f"{output} holds other records"):
        fk.convert(shop, output, **COLUMNS, shards=1, progress=False)
    memory.pipe_file("/made/records/mine.txt", b"")
    with pytest.raises(UserError, match=f"{output} holds other files"):
        fk.convert(shop, output, **COLUMNS, shards=1, overwrite=True, progress=False)
    memory.rm_file("/made/records/mine.txt")
    fk.convert(shop, output, **COLUMNS, shards=1, overwrite=True, progress=False)
    shards = {key.rpartition("/")[2] for key in memory.find("/made") if "train" in key}
    assert shards == {"train-00000-of-00001.tfrecord"}


def test_shards_come_when_they_are_read_and_once(at_address, monkeypatch, machine):
    _, records = at_address
    with downloads(monkeypatch) as found:
        next(iter(fk.make_dataset(records, "test", ["kind"], (40, 32), 4)))
        assert {name.partition("-")[0] for name in found if "tfrecord" in name} == {"test"}
        found.clear()
        next(iter(fk.make_dataset(records, "test", ["kind"], (40, 32), 4)))
        assert found == []


def test_a_shard_that_arrives_bent_is_fetched_again_and_then_named(at_address, monkeypatch, memory):
    _, records = at_address
    [shard] = [key for key in memory.find("/records") if "/test-" in key]
    real, bent = type(memory).get_file, []

    def get_file(self, key, path, **options):
        real(self, key, path, **options)
        if key == shard and len(bent) < times:
            bent.append(key)
            with open(path, "r+b") as file:
                file.write(b"\xff")

    monkeypatch.setattr(type(memory), "get_file", get_file)
    monkeypatch.setattr("fashion_keras.store._WAIT", 0)
    times = 2
    next(iter(fk.make_dataset(records, "test", ["kind"], (40, 32), 4)))
    assert len(bent) == 2
    (places.local(records) / shard.rpartition("/")[2]).write_bytes(b"x")
    bent.clear()
    times = 100
    with pytest.raises(UserError, match=f"memory:/{shard} arrived wrong 4 times: its sha256"):
        fk.make_dataset(records, "test", ["kind"], (40, 32), 4)


@pytest.mark.slow
def test_a_run_at_an_address_is_evaluated_calibrated_exported_and_asked(
    at_address, finished, memory, machine, tmp_path
):
    run, records = at_address
    machine("second")
    scores = fk.evaluate(run, records, "test", output="memory://scores", progress=False)
    assert {f"/{at}/evaluation.json" for at in ("runs/a/evaluation-test", "scores")} <= set(
        memory.store
    )
    calibrated = fk.calibrate(run, records, flip=True, progress=False)
    assert calibrated.decision.flip
    machine("third")
    assert fk.load_run(run).decision.flip
    bundle = fk.export(run, "memory://models", name="fashion", progress=False)
    assert bundle["saved_model"].name == "1"
    machine("fourth")
    assert fk.export(run, "memory://models", name="fashion", progress=False)
    assert {"/models/models.config", "/models/fashion/2/saved_model.pb"} <= set(memory.store)
    machine("fifth")
    fk.predict(
        str(finished / "shop"),
        "memory://models/fashion/1",
        output="memory://t/tags.csv",
        progress=False,
    )
    here = fk.predict(str(finished / "shop"), run, progress=False)
    there = pd.read_csv(memory.open("/t/tags.csv"), dtype={"id": str})
    assert list(there.kind) == list(here.kind)
    assert set(memory.find("/t")) == {"/t/tags.csv"}
    assert (
        scores.accuracy
        == fk.evaluate(
            finished / "run", finished / "records", "test", output=tmp_path / "x", progress=False
        ).accuracy
    )


def photos_of(*inputs, root=None):
    with PhotoSource(inputs, PathColumns(root=root)) as source:
        return {photo.path: photo.encoded or photo.error for photo in source.photos()}


def test_folders_zips_photos_and_tables_at_addresses_are_inputs_of_predict(
    shop, finished, memory, machine, tmp_path, monkeypatch
):
    here = photos_of(str(finished / "shop"))
    below = {path.removeprefix(f"{finished / 'shop'}/"): data for path, data in here.items()}
    assert photos_of(shop) == {f"{shop}/{name}": data for name, data in below.items()}
    packed = shutil.make_archive(str(tmp_path / "shop"), "zip", finished / "shop")
    memory.put_file(packed, "/zips/shop.zip")
    in_zip = {f"memory://zips/shop.zip/{name}": data for name, data in below.items()}
    assert photos_of("memory://zips/shop.zip") == in_zip
    assert photos_of(f"{shop}/7.jpg") == {f"{shop}/7.jpg": below["7.jpg"]}

    (tmp_path / "some.csv").write_text("path\n3.jpg\ndeep/4\nnone.jpg\n")
    memory.put_file(str(tmp_path / "some.csv"), "/shop/some.csv")
    memory.mv("/shop/4.jpg", "/shop/deep/4.jpg")
    machine("second")
    expected = {"3.jpg": below["3.jpg"], "deep/4": below["4.jpg"]}
    with downloads(monkeypatch) as found:
        rows = photos_of(f"{shop}/some.csv")
        assert sorted(found) == ["3.jpg", "4.jpg", "some.csv"]
    assert "No such file" in rows.pop("none.jpg")
    assert rows == expected
    assert expected.items() <= photos_of(str(tmp_path / "some.csv"), root=shop).items()


def test_a_decision_is_written_where_the_run_is(at_address, memory, machine):
    run, records = at_address
    before = dict(memory.store)
    decision = fk.calibrate(run, records, temperature=False, progress=False).decision
    changed = {key for key in memory.store if memory.store[key] is not before.get(key)}
    assert changed == {"/runs/a/decision.json", "/runs/a/run.json"}
    machine("second")
    assert fk.load_run(run).decision == decision


def test_a_table_is_not_overwritten_where_predict_did_not_write_it(shop, finished, memory):
    memory.pipe_file("/t/tags.csv", b"name,price\nshoe,3\n")
    with pytest.raises(UserError, match=r"memory://t/tags.csv cannot be continued or replaced"):
        fk.predict(shop, finished / "run", output="memory://t/tags.csv", progress=False)
    assert memory.cat_file("/t/tags.csv") == b"name,price\nshoe,3\n"


@pytest.mark.slow
def test_runs_at_addresses_are_compared(at_address, memory, finished):
    run, records = at_address
    upload(memory, finished / "run", "/runs/b")
    for each in (run, "memory://runs/b"):
        fk.evaluate(each, records, "test", progress=False)
    fk.compare([run, "memory://runs/b"], output="memory://compared")
    assert "/compared/comparison.json" in memory.store
