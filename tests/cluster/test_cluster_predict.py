"""predict --cluster: the rows of one machine, whatever becomes of nodes and driver."""

import json
import os
import signal
import zipfile

import pandas
import pytest
from cluster.nodes import SMALL, ended, kill_node, several_nodes, start, wait_until
from drawn_catalogue import encode, pixels
from serving.tiny import save_tiny_run

import fashion_keras as fk
from fashion_keras.tagging.by_cluster import MANIFEST, part_path, parts_folder

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
PHOTOS, A_PART = 350, 16


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A run, a CSV of photos so large that a part takes a while, and one machine's rows."""
    folder = tmp_path_factory.mktemp("predict")
    save_tiny_run(folder / "run")
    for seed in range(12):
        (folder / f"{seed}.jpg").write_bytes(encode(pixels(seed, 1500, 1200)))
    (folder / "12.jpg").write_bytes((folder / "1.jpg").read_bytes()[:5000])
    lines = [f"{number},{number % 14}.jpg" for number in range(PHOTOS)]  # 13.jpg is not there
    (folder / "photos.csv").write_text("\n".join(["id,path", *lines]))
    fk.predict(folder / "photos.csv", output=folder / "one.csv", progress=False, **options(folder))
    return folder


def options(folder):
    return {"model": folder / "run", "batch_size": 8, "threshold": {"gender": 0.55}}


def argv(shop, output, cluster, *more):
    return [
        *("predict", "--model", shop / "run", shop / "photos.csv", "--output", output),
        *("--batch-size", 8, "--threshold", "gender=0.55", "--cluster", cluster.address, *more),
    ]


def parts(output):
    """The files of the parts that are noted, by their place on the disk."""
    folder = parts_folder(output)
    try:
        lines = (folder / MANIFEST).read_text().split("\n")[1:-1]
    except OSError:
        return {}
    names = [part_path(folder, json.loads(line)["number"]) for line in lines]
    return {path.name: path.stat().st_ino for path in names}


def test_a_killed_node_and_a_new_one_change_nothing(shop, tmp_path):
    output = tmp_path / "tags.csv"
    with several_nodes(3) as (cluster, nodes):
        driver = start(*argv(shop, output, cluster), a_part=A_PART)
        wait_until(lambda: len(parts(output)) > 3, driver)
        kill_node(nodes[0])
        before = len(parts(output))
        cluster.add_node(num_cpus=1, object_store_memory=78_643_200)
        code, out, err = ended(driver)
    assert (code, before < PHOTOS / A_PART) == (0, True), err
    assert "raylet" not in out + err and "50 of 350 photos could not be classified" in err
    assert output.read_bytes() == (shop / "one.csv").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["tags.csv"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_lost_or_interrupted_driver_goes_on_with_what_is_done(shop, tmp_path, how):
    output = tmp_path / "tags.csv"
    with several_nodes(2) as (cluster, nodes):
        driver = start(*argv(shop, output, cluster), a_part=A_PART)
        wait_until(lambda: len(parts(output)) > 3, driver)
        os.killpg(driver.pid, how)
        code, _, err = ended(driver)
        assert code == (-9 if how == signal.SIGKILL else 130)
        if how == signal.SIGINT:
            assert "rows: --resume goes on" in err and "Traceback" not in err
        done = parts(output)
        assert 3 < len(done) < PHOTOS / A_PART
        code, _, err = ended(start(*argv(shop, output, cluster), a_part=A_PART))
        assert (code, "--cluster and --resume" in err) == (2, True)
        kill_node(nodes[0])  # another number of nodes the second time
        driver = start(*argv(shop, output, cluster, "--resume"), a_part=A_PART)
        wait_until(lambda: len(parts(output)) > len(done) + 1, driver)
        again = {path.name: path.stat().st_ino for path in parts_folder(output).iterdir()}
        code, _, err = ended(driver)
    assert code == 0, err
    assert {name: again[name] for name in done} == done
    assert output.read_bytes() == (shop / "one.csv").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["tags.csv"]


def test_zips_and_folders_become_parquet_and_a_finished_table_goes_on(shop, tmp_path):
    os.mkdir(tmp_path / "photos")
    for number in range(5):
        data = encode(pixels(number))
        (tmp_path / f"photos/{number}.jpg").write_bytes(data)
        with zipfile.ZipFile(tmp_path / "more.zip", "a") as file:
            file.writestr(f"z{number}.jpg", data)
    alone = encode(pixels(9))
    (tmp_path / "alone.jpg").write_bytes(alone)
    inputs = [tmp_path / "photos", tmp_path / "more.zip", tmp_path / "alone.jpg", "nowhere.jpg"]
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    how = {"cluster": "local[1]", "progress": False, **options(shop)}
    fk.predict(inputs, output=here, progress=False, **options(shop))
    fk.predict(inputs[:1], output=there, **how)
    fk.predict(inputs, output=there, resume=True, **how)
    pandas.testing.assert_frame_equal(pandas.read_parquet(there), pandas.read_parquet(here))
    assert len(pandas.read_parquet(here)) == 12


def test_a_cluster_without_machines_is_waited_for(shop, tmp_path):
    output = tmp_path / "tags.csv"
    with several_nodes(0) as (cluster, _):
        driver = start(
            *("predict", "--model", shop / "run", shop / "1.jpg", "--output", output),
            *("--cluster", cluster.address),
        )
        assert driver.stderr.readline() == "cluster: 0 nodes, 0 CPUs: waiting for one\n"
        cluster.add_node(**SMALL)
        code, _, err = ended(driver)
    assert (code, err) == (0, "cluster: 1 node, 1 CPUs\n")
    assert len(pandas.read_csv(output)) == 1
