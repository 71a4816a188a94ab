"""A folder of models in; what TF Serving and Docker need to serve them, beside them, out.

Imports no TensorFlow. https://www.tensorflow.org/tfx/serving/serving_config
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path

from fashion_keras.io import write_text
from fashion_keras.serving.layout import SAVED_MODEL_FILE, versions

MODELS_FILE = "models.config"
BATCHING_FILE = "batching_parameters.txt"
COMPOSE_FILE = "docker-compose.yml"
MAX_BATCH_SIZE = 64
MOUNT = "/models"

_BATCHING = f"""\
# Photos of several requests are classified together: at most so many, after at most so long.
max_batch_size {{ value: {MAX_BATCH_SIZE} }}
batch_timeout_micros {{ value: 5000 }}
max_enqueued_batches {{ value: 100 }}
num_batch_threads {{ value: 4 }}
"""

_COMPOSE = f"""\
# docker compose up
services:
  serving:
    # Name a version (tensorflow/serving:<tag>) where a pull must not change what runs.
    image: tensorflow/serving
    command:
      - --model_config_file={MOUNT}/{MODELS_FILE}
      - --model_config_file_poll_wait_seconds=60
      - --enable_batching=true
      - --batching_parameters_file={MOUNT}/{BATCHING_FILE}
    ports:
      - "8501:8501" # REST
      - "8500:8500" # gRPC
    volumes:
      - .:{MOUNT}:ro
    restart: unless-stopped
"""


def model_name(text: str) -> str:
    """Return a model's name, for argparse's `type`: what a URL and a folder both take."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text) or text.isdigit():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no model name: expected letters, digits, - and _, and not only digits"
        )
    return text


def write_server_files(folder: str | os.PathLike) -> list[str]:
    """Write `models.config`, `batching_parameters.txt` and `docker-compose.yml` into `folder`.

    `models.config` lists every model in `folder` (`folder/NAME/<version>`). Files that are there
    are left alone, but for a `models.config` that is as this function wrote it. Returns a
    sentence for each file that somebody must look after.
    """
    folder = Path(folder)
    for name, text in ((BATCHING_FILE, _BATCHING), (COMPOSE_FILE, _COMPOSE)):
        if not (folder / name).exists():
            write_text(folder / name, text)
    names = _models(folder)
    path = folder / MODELS_FILE
    if not path.exists():
        write_text(path, models_config(names))
        return []
    present = path.read_text(encoding="utf-8", errors="replace")
    listed = re.findall(r'^ *name: "([^"]*)"$', present, re.M)
    if present == models_config(listed):
        write_text(path, models_config(names))
        return []
    missing = [name for name in names if f"{MOUNT}/{name}" not in present]
    return [
        f"{path} has been edited and does not list {name}: "
        f'add config {{ name: "{name}" base_path: "{MOUNT}/{name}" '
        'model_platform: "tensorflow" }'
        for name in missing
    ]


def models_config(names: Sequence[str]) -> str:
    """Return a `ModelServerConfig` in protobuf's text format, for models under `/models`."""
    blocks = [
        "  config {\n"
        f'    name: "{name}"\n'
        f'    base_path: "{MOUNT}/{name}"\n'
        '    model_platform: "tensorflow"\n'
        "  }\n"
        for name in names
    ]
    return "model_config_list {\n" + "".join(blocks) + "}\n"


def _models(folder: Path) -> list[str]:
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if any((entry / str(number) / SAVED_MODEL_FILE).is_file() for number in versions(entry))
    )
