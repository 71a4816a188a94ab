"""scripts/reproduce.sh chains its runs and scores them; here on a few dozen drawn photos."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fashion_keras as fk
from fashion_keras.data.sample import draw_sample

REPOSITORY = Path(__file__).resolve().parents[1]
SCORED = ("quick-resnet18", "resnet18", "efficientnetb0")
SCORED_ON_A_GPU = ("resnet18-enlarged-taught", "efficientnetb0-enlarged-taught")


@pytest.mark.slow
def test_every_run_of_the_script_is_trained_and_scored(tmp_path):
    (tmp_path / "scripts").mkdir()
    shutil.copy(REPOSITORY / "scripts" / "reproduce.sh", tmp_path / "scripts")
    shutil.copytree(REPOSITORY / "configs", tmp_path / "configs")
    command = tmp_path / ".venv" / "bin" / "fashion-keras"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m fashion_keras "$@"\n')
    command.chmod(0o755)
    draw_sample(tmp_path / "catalogue", count=200)
    fk.convert(tmp_path / "catalogue", tmp_path / "records", split="stratified", progress=False)

    script = ["bash", str(tmp_path / "scripts" / "reproduce.sh"), "records", "all"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(script, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for name in SCORED + SCORED_ON_A_GPU:
        scored = tmp_path / "runs" / name / "evaluation-test" / "evaluation.json"
        assert json.loads(scored.read_text())["split"] == "test"
