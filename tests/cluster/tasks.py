"""What the tests have a cluster do: functions that its processes can import."""

import functools
import os
import time
from pathlib import Path

import fashion_keras as fk
from fashion_keras.errors import UserError
from fashion_keras.training.distribution import read_processes


def double(task):
    return task * 2


def die_once(folder, task):
    """Return the task; the process that is first at task 3 is killed there."""
    if task == 3:
        try:
            (folder / "died").touch(exist_ok=False)
        except FileExistsError:
            return task
        os.kill(os.getpid(), 9)
    return task


def refuse(task):
    if task == 2:
        raise UserError("two is refused")
    return task


def keeper(folder: Path, has_gpu):
    """Note that a process has made what it keeps; return what answers tasks."""
    (folder / f"made by {os.getpid()}").touch()
    assert not has_gpu
    return functools.partial(die_once, folder)


def introduce(folder: Path, progress):
    """Note which process this is; the first says so."""
    found = read_processes()
    (folder / str(found.index)).write_text(f"{found.count} {len(set(found.addresses))}")
    if found.is_writer:
        progress.say(f"{found.count} processes")
    return found.index


def lose_one(progress):
    if read_processes().index == 1:
        os.kill(os.getpid(), 9)
    time.sleep(60)


def refuse_one(progress):
    if read_processes().index == 1:
        raise UserError("the second refuses")
    time.sleep(60)


def train_tiny(options, progress):
    """Train the tests' own tiny architecture."""
    from fashion_keras.models.registry import ARCHITECTURES

    ARCHITECTURES["tiny"] = "tiny_arch"
    fk.train(**options, progress=progress)
