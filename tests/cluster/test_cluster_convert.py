"""convert --cluster: the bytes of one machine, whatever becomes of nodes and driver."""

import csv
import json
import os
import shutil
import signal

import pytest
from cluster.nodes import ended, kill_node, several_nodes, start, wait_until
from drawn_catalogue import HEADER, draw_catalogue, encode, labels_of, pixels
from faults.listing import contents

from fashion_keras.convert import main
from fashion_keras.data.conversion import Request, convert

pytest.importorskip("ray")
PHOTOS, SHARDS = 720, 36


@pytest.mark.slow  # a PNG has each process load TensorFlow
@pytest.mark.parametrize("split", ["grouped", "stratified"])
def test_a_zip_of_all_formats_gives_the_same_bytes(tmp_path, capsys, split):
    shop = draw_catalogue(tmp_path / "shop", count=60)
    zipped = shutil.make_archive(str(tmp_path / "zipped"), "zip", shop)
    options = ["--source", zipped, "--shards", "3", "--split", split]
    assert main([*options, "--output", str(tmp_path / "here")]) == 0
    assert main([*options, "--output", str(tmp_path / "there"), "--cluster", "local[2]"]) == 0
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert "cluster: 1 node, 2 CPUs" in capsys.readouterr().err


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Photos so large that a shard takes a while, and the records that one machine makes."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "shop/images").mkdir(parents=True)
    drawn = [encode(pixels(seed, 1500, 1200)) for seed in range(12)]
    with open(folder / "shop/styles.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number in range(PHOTOS):
            writer.writerow([number, *labels_of(number).values(), f"Product {number}"])
            (folder / f"shop/images/{number}.jpg").write_bytes(drawn[number % len(drawn)])
    convert(Request(str(folder / "shop"), shards=SHARDS), folder / "one", say=lambda line: None)
    return folder


def argv(shop, output, cluster):
    return [
        *("convert", "--source", shop / "shop", "--output", output),
        *("--shards", SHARDS, "--cluster", cluster.address),
    ]


def noted(output):
    """The shards that the driver has noted."""
    try:
        found = json.loads((output.with_name("many.partial") / "done.json").read_text())
    except OSError:
        return []
    return [name for name in found if name != "sha256"]


def left(output):
    return sorted(path.name for path in output.parent.iterdir())


@pytest.mark.slow
def test_a_killed_node_and_a_new_one_change_nothing(shop, tmp_path):
    output = tmp_path / "many"
    with several_nodes(3) as (cluster, nodes):
        driver = start(*argv(shop, output, cluster))
        wait_until(lambda: len(noted(output)) > 3, driver)
        kill_node(nodes[0])
        before = len(noted(output))
        cluster.add_node(num_cpus=1, object_store_memory=78_643_200)
        code, out, err = ended(driver)
    assert (code, before < SHARDS) == (0, True), err
    assert "cluster: 3 nodes, 3 CPUs" in err
    assert "raylet" not in out + err
    assert contents(output) == contents(shop / "one")
    assert left(output) == ["many"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_lost_or_interrupted_driver_goes_on_with_what_is_done(shop, tmp_path, how):
    output = tmp_path / "many"
    with several_nodes(2) as (cluster, nodes):
        driver = start(*argv(shop, output, cluster))
        wait_until(lambda: len(noted(output)) > 3, driver)
        os.killpg(driver.pid, how)
        code, _, err = ended(driver)
        assert code == (-9 if how == signal.SIGKILL else 130)
        if how == signal.SIGINT:
            assert err.splitlines()[-1] == "interrupted" and "Traceback" not in err
        work = output.with_name("many.partial")
        done = {name: (work / name).stat().st_ino for name in noted(output)}
        assert 3 < len(done) < SHARDS
        kill_node(nodes[0])  # another number of nodes the second time
        code, out, err = ended(start(*argv(shop, output, cluster)))
    assert code == 0, err
    assert "going on with the conversion that was stopped" in out
    assert {name: (output / name).stat().st_ino for name in done} == done
    assert contents(output) == contents(shop / "one")
    assert left(output) == ["many"]
