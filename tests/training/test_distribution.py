"""Several devices and processes: whatever shares a batch, the history is that of one device."""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from tiny_records import read_history, write_tiny_records

from fashion_keras.config import load_config
from fashion_keras.data.pipeline import make_dataset
from fashion_keras.data.sharing import Share
from fashion_keras.errors import UserError
from fashion_keras.run import load_run
from fashion_keras.training.checkpoint import checkpoints
from fashion_keras.training.distribution import Asked, Distribution, parse_devices

# Dropout, an average, labels that are missing, and gradients that are nearly all clipped.
OVERRIDES = {
    "model.arch": "tiny",
    "data.image_size": [40, 32],
    "data.auxiliary_labels": {"baseColour": 0.5},
    "data.augment": "none",
    "training.epochs": 3,
    "training.batch_size": 16,
    "training.precision": "float32",
    "training.retrain_epochs": 0,
    "optimizer.ema": 0.9,
    "optimizer.clip_norm": 0.2,
    "optimizer.warmup_epochs": 0.5,
}
# Runs one after another in one process, each on its devices.
PROGRAM = """
import sys
from fashion_keras.models.registry import ARCHITECTURES
ARCHITECTURES["tiny"] = "tiny_arch"
from fashion_keras.quiet import load_keras, load_tensorflow
load_tensorflow()
from fashion_keras.config import load_config
from fashion_keras.training.distribution import parse_devices, start
from fashion_keras.training.trainer import train
records, config, *runs = sys.argv[1:]
for run in runs:
    devices, _, workdir = run.partition("=")
    distribution = start(parse_devices(devices or None))
    train(load_config(config), records, workdir, distribution=distribution)
    load_keras().utils.clear_session()
"""
# The command itself.
COMMAND = """
import sys
from fashion_keras.models.registry import ARCHITECTURES
ARCHITECTURES["tiny"] = "tiny_arch"
from fashion_keras.train import main
sys.exit(main())
"""
BACKENDS = [
    "tensorflow",
    pytest.param(
        "jax",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("jax") is None, reason="jax is not installed"
        ),
    ),
]


@pytest.fixture(scope="module")
def odd_records(tmp_path_factory):
    """48 photos to train on, and 19 for validation, which no number of devices divides."""
    folder = tmp_path_factory.mktemp("records")
    write_tiny_records(folder, validation=19)
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    load_config(None, OVERRIDES).save(file)
    return file


def environment(backend: str, **more: str) -> dict[str, str]:
    """Return the environment of a process of a backend, quick to compile for."""
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    known = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    path = os.pathsep.join(sys.path)
    return {**known, "KERAS_BACKEND": backend, "XLA_FLAGS": flags, "PYTHONPATH": path, **more}


def run_program(backend, records, config, *runs):
    command = [sys.executable, "-c", PROGRAM, records, config, *runs]
    ended = subprocess.run(
        list(map(str, command)),
        env=environment(backend),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]


def assert_same_run(found, expected, epochs=3):
    """Check every column of the history, the best model's weights, and that it is plain Keras."""
    rows, wanted = read_history(found), read_history(expected)
    assert len(rows) == len(wanted) == epochs
    for row, other in zip(rows, wanted, strict=True):
        for name in other.keys() - {"seconds", "photos_per_second"}:
            assert row[name] == pytest.approx(other[name], rel=2e-4, abs=2e-5), (row, name)
    models = [load_run(workdir).model for workdir in (found, expected)]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        # Adam makes steps of full size from gradients that are little but rounding.
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)
    assert architecture(found) == architecture(expected)


def architecture(workdir):
    with zipfile.ZipFile(workdir / "best.keras") as archive:
        text = archive.read("config.json").decode()
    return json.loads(re.sub(r'"shared_object_id": \d+', '"shared_object_id": 0', text))


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_devices_have_the_history_and_the_model_of_one(backend, odd_records, config, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    run_program(backend, odd_records, config, f"cpu:2={two}", f"={one}")
    assert_same_run(two, one)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["resnet18", "efficientnetb0", "efficientnetlite0"])
def test_the_faster_kernels_of_real_networks_are_right_on_two_devices(arch, odd_records, tmp_path):
    one, two, file = tmp_path / "one", tmp_path / "two", tmp_path / "config.yaml"
    # A small rate: in a network that deep, rounding grows with each step.
    real = {"model.arch": arch, "data.image_size": [64, 48], "optimizer.learning_rate": 1e-4}
    load_config(None, {**OVERRIDES, **real, "training.epochs": 1}).save(file)
    run_program("tensorflow", odd_records, file, f"cpu:2={two}", f"={one}")
    (row,), (other,) = read_history(two), read_history(one)
    assert row["loss"] == pytest.approx(other["loss"], rel=1e-3)
    assert row["val_loss"] == pytest.approx(other["val_loss"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_four_devices_resume_what_two_began_to_the_history_of_one(
    backend, odd_records, config, tmp_path
):
    one, four, both = tmp_path / "one", tmp_path / "four", tmp_path / "both"
    run_program(backend, odd_records, config, f"cpu:4={four}", f"={one}")
    assert_same_run(four, one)
    stop_after_an_epoch(backend, odd_records, config, both, "cpu:2")
    assert len(checkpoints(both / "checkpoints")) == 1
    run_program(backend, odd_records, config, f"cpu:4={both}")
    assert_same_run(both, one)


def stop_after_an_epoch(backend, records, config, workdir, devices):
    """Train in a process that ends itself, as a kill would, once its first epoch is stored."""
    program = (
        "import os, threading, time\n"
        "def kill(folder):\n"
        "    while not os.path.isdir(folder):\n"
        "        time.sleep(0.001)\n"
        "    os._exit(9)\n"
        f"threading.Thread(target=kill, args=({str(workdir / 'checkpoints' / 'epoch-0001')!r},),"
        " daemon=True).start()\n" + PROGRAM
    )
    command = [sys.executable, "-c", program, records, config, f"{devices}={workdir}"]
    ended = subprocess.run(
        list(map(str, command)), env=environment(backend), capture_output=True, timeout=600
    )
    assert ended.returncode == 9, ended.stderr[-4000:]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def begin_processes(backend, count, folder, *arguments, devices=None):
    """Start the command in so many processes that train together; their logs lie in `folder`."""
    folder.mkdir(exist_ok=True)
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    begun = []
    for index in range(count):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, "-u", "-c", COMMAND, *arguments]
        if devices:
            command += ["--devices", devices]
        with open(folder / f"log-{index}", "w") as log:
            begun.append(
                subprocess.Popen(
                    list(map(str, command)),
                    env=environment(backend, TF_CONFIG=json.dumps(cluster)),
                    stdout=log,
                    stderr=log,
                )
            )
    return begun


def end_processes(begun, folder):
    """Wait for them; all must have ended well."""
    try:
        for process in begun:
            process.wait(timeout=600)
    finally:
        for process in begun:
            process.kill()
    for index, process in enumerate(begun):
        assert process.returncode == 0, (index, (folder / f"log-{index}").read_text()[-4000:])


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_processes_have_the_history_of_one_and_the_first_alone_writes(
    backend, odd_records, config, tmp_path
):
    one, two = tmp_path / "one", tmp_path / "two"
    run_program(backend, odd_records, config, f"={one}")
    arguments = ("--data", odd_records, "--workdir", two, "--config", config)
    devices = "cpu:2" if backend == "jax" else None
    end_processes(
        begin_processes(backend, 2, tmp_path / "logs", *arguments, devices=devices),
        tmp_path / "logs",
    )
    assert_same_run(two, one)
    printed, silent = ((tmp_path / "logs" / f"log-{index}").read_text() for index in (0, 1))
    assert f"devices: {4 if devices else 2} × CPU of 2 processes" in printed
    assert "epoch 3/3" in printed and "epoch" not in silent
    assert (two / "decision.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_process_that_is_killed_ends_the_others_and_another_number_of_them_resumes(
    backend, odd_records, config, tmp_path
):
    one, two = tmp_path / "one", tmp_path / "two"
    long = tmp_path / "long.yaml"
    load_config(None, {**OVERRIDES, "training.epochs": 8}).save(long)
    arguments = ("--data", odd_records, "--workdir", two)
    begun = begin_processes(backend, 2, tmp_path / "logs", *arguments, "--config", long)
    deadline = time.monotonic() + 500
    while not checkpoints(two / "checkpoints"):
        assert begun[0].poll() is None, (tmp_path / "logs" / "log-0").read_text()[-4000:]
        assert time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.01)
    begun[1].send_signal(signal.SIGKILL)
    try:
        assert begun[0].wait(timeout=400) != 0, "it went on alone"
    finally:
        begun[0].kill()
    assert "--resume" in (tmp_path / "logs" / "log-0").read_text()
    done = checkpoints(two / "checkpoints")[-1][0]
    assert done < 8, "it was over before the kill"

    end_processes(
        begin_processes(backend, 1, tmp_path / "again", *arguments, "--resume"), tmp_path / "again"
    )
    run_program(backend, odd_records, long, f"={one}")
    assert_same_run(two, one, epochs=8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, Asked()), ("all", Asked()), ("2", Asked(2)), (8, Asked(8)), ("cpu:4", Asked(4, True))],
)
def test_devices_are_a_number_all_or_parts_of_the_cpu(text, expected):
    assert parse_devices(text) == expected


@pytest.mark.parametrize("text", ["0", "-1", "", "two", "cpu", "cpu:0", "gpu:1", "1.5"])
def test_other_devices_are_an_error_of_one_line(text):
    with pytest.raises(UserError, match="expected a number from 1, all, or cpu:N"):
        parse_devices(text)


@pytest.mark.parametrize(
    ("replicas", "batch_size", "examples", "said"),
    [
        (3, 64, 1000, "does not divide by 3 devices: set it to 63 or 66"),
        (8, 4, 1000, "set it to 8"),
        (4, 64, 40, "more than the 40 training photos"),
    ],
)
def test_a_batch_that_devices_cannot_share_evenly_is_an_error(replicas, batch_size, examples, said):
    config = load_config(None, {"training.batch_size": batch_size})
    with pytest.raises(UserError, match=said) as raised:
        Distribution(replicas).check(config, examples)
    assert len(str(raised.value).splitlines()) <= 2


def test_one_device_takes_any_batch():
    Distribution().check(load_config(None, {"training.batch_size": 64}), 40)


def test_more_gpus_than_there_are_end_in_a_line_that_says_how_to_try_it_out(
    odd_records, tmp_path, capsys
):
    from fashion_keras.train import main

    workdir = tmp_path / "run"
    arguments = ["--data", str(odd_records), "--workdir", str(workdir), "--devices", "64"]
    assert main(arguments) == 2
    assert "--devices cpu:64" in capsys.readouterr().err
    assert not workdir.exists()


@pytest.mark.parametrize("count", [19, 20])
def test_processes_read_the_batches_of_one_between_them(count, tmp_path):
    write_tiny_records(tmp_path, train=count + 30, validation=count, test=2)
    labels, size = ["subCategory", "baseColour"], (40, 32)

    def read(share, split, training):
        batches = make_dataset(tmp_path, split, labels, size, 16, training=training, share=share)
        return [(images.numpy(), one_hot["subCategory"].numpy()) for images, one_hot in batches]

    shares = [Share(index, 2, 4) for index in range(2)]
    parts = zip(*(read(share, "train", True) for share in shares), strict=True)
    for part, whole in zip(parts, read(Share(), "train", True), strict=True):
        for values, expected in zip(zip(*part, strict=True), whole, strict=True):
            np.testing.assert_array_equal(np.concatenate(values), expected)

    whole = np.concatenate([images for images, _ in read(Share(), "validation", False)])
    parts = [read(share, "validation", False) for share in shares]
    lengths = [[len(images) for images, _ in part] for part in parts]
    assert lengths[0] == lengths[1] and all(length % 2 == 0 for length in lengths[0])
    photos = [
        image
        for part in parts
        for images, one_hot in part
        for image, label in zip(images, one_hot, strict=True)
        if label.any()
    ]
    assert len(photos) == count
    assert {image.tobytes() for image in photos} == {image.tobytes() for image in whole}
