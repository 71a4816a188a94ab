"""A shop's story on S3, a machine a step: none knows more than the addresses."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from faults.listing import weights
from finished_run import SETTINGS, draw_shop

from fashion_keras.cli import main
from fashion_keras.models.registry import ARCHITECTURES

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
TIMINGS = {"photos_per_second", "seconds"}
RUN, RECORDS = "s3://shop/runs/a", "s3://shop/records"


@pytest.fixture
def command(tmp_path, s3, s3_server):
    """Run a command on a machine whose cache is called `machine`; return its exit code."""

    def run(*argv, machine, **environment):
        paths = os.pathsep.join(map(str, (HERE.parents[1], HERE.parent)))
        variables = {
            **os.environ,
            **s3_server.environment(),
            "PYTHONPATH": paths,
            "FASHION_KERAS_CACHE": str(tmp_path / f"cache-{machine}"),
            **environment,
        }
        script = [sys.executable, str(HERE / "command.py")]
        done = subprocess.run(
            [*script, *map(str, argv)], cwd=tmp_path, env=variables, capture_output=True, text=True
        )
        print(done.stdout, done.stderr)
        return done.returncode

    return run


def history(text):
    rows = csv.DictReader(io.StringIO(text))
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows]


def test_a_killed_training_goes_on_on_another_machine_and_its_model_is_used_on_a_third(
    tmp_path, s3, machine, command, monkeypatch, capsys
):
    draw_shop(tmp_path / "shop")
    s3.put(str(tmp_path / "shop"), "shop/catalogue", recursive=True)
    columns = ("--image-column", "photo", "--label-column", "kind", "--label-column", "colour")
    for source, output in (("s3://shop/catalogue", RECORDS), (tmp_path / "shop", tmp_path / "r")):
        assert command("convert", "--source", source, "--output", output, *columns, machine=1) == 0
    for path in (tmp_path / "r").glob("*.tfrecord"):
        assert s3.cat_file(f"shop/records/{path.name}") == path.read_bytes()

    settings = [word for k, v in SETTINGS.items() for word in ("--set", f"{k}={v}")]
    train = ("train", "--arch", "tiny", "--label", "kind", "--epochs", 2, *settings)
    assert command(*train, "--data", tmp_path / "r", "--workdir", tmp_path / "run", machine=1) == 0
    at_s3 = (*train, "--data", RECORDS, "--workdir", RUN)
    assert command(*at_s3, machine=1, KILL_AFTER_EPOCH="1") == -9
    assert s3.exists("shop/runs/a/checkpoints/epoch-0001/state.json")
    assert not s3.exists("shop/runs/a/decision.json")
    assert command("train", "--workdir", RUN, "--resume", machine=2) == 0

    here = tmp_path / "run"
    assert history(s3.cat_file("shop/runs/a/history.csv").decode()) == history(
        (here / "history.csv").read_text()
    )
    assert weights(io.BytesIO(s3.cat_file("shop/runs/a/best.keras"))) == weights(
        here / "best.keras"
    )
    assert f"records: {RECORDS}" in s3.cat_file("shop/runs/a/config.yaml").decode()
    assert {key.rpartition("/")[2] for key in s3.ls("shop/runs/a/checkpoints")} == {"epoch-0002"}

    monkeypatch.setitem(ARCHITECTURES, "tiny", "tiny_arch")
    machine("third")
    asked = ["--model", RUN, "--data", RECORDS]
    assert main(["evaluate", *asked, "--split", "test"]) == 0
    assert f"written to {RUN}/evaluation-test" in capsys.readouterr().out
    assert main(["export", "--model", RUN, "--output", "s3://shop/models", "--name", "f"]) == 0
    machine("fourth")
    bundle, tags = "s3://shop/models/f", "s3://shop/tags.csv"
    assert main(["predict", "--model", bundle, "s3://shop/catalogue", "--output", tags]) == 0
    assert (
        main(
            [
                "predict",
                "--model",
                str(here),
                str(tmp_path / "shop"),
                "--output",
                str(tmp_path / "tags.csv"),
            ]
        )
        == 0
    )
    rows = pd.read_csv(io.BytesIO(s3.cat_file("shop/tags.csv")), dtype=str)
    expected = pd.read_csv(tmp_path / "tags.csv", dtype=str)
    assert list(rows.kind) == list(expected.kind) and len(rows) == 72
    assert rows.path[0].startswith("s3://shop/catalogue/")
    assert not [key for key in s3.find("shop") if ".fashion_keras" in key]
