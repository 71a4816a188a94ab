"""What the tests have a cluster do: functions that its processes can import."""

import functools
import os
from pathlib import Path

from fashion_keras.errors import UserError


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
