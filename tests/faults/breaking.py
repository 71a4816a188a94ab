"""A command and the files that it reads in; what it made of each of them damaged, out."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

from faults.children import run_child
from faults.file_faults import mutated


@dataclasses.dataclass
class Outcomes:
    """Counts, and a line for what was neither refused nor read as if it were whole."""

    files: int = 0
    refused: int = 0
    same: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.files} damaged, {self.refused} refused, {self.same} with the same result, "
            f"{len(self.wrong)} wrong"
        )


def break_files(
    part: Path,
    files: dict[str, int],
    target: str,
    argv: Callable[[Path, Path], list],
    result: Callable[[Path], object],
    folder: Path,
) -> Outcomes:
    """Run a command on copies of the folder `part`, in each of which one file is damaged.

    `files` says how often for each name below `part`; `argv` takes the copy and a folder for the
    output, whose `result` must be that of the whole `part`, unless the command refuses it.
    """
    outcomes = Outcomes()
    expected, problem = _tried(part, target, argv, result, folder / "whole")
    assert not problem, problem
    for name, count in files.items():
        data = (part / name).read_bytes()
        for what, damaged in mutated(name, data, count).items():
            if damaged == data:
                continue
            copy = folder / str(outcomes.files) / part.name
            shutil.copytree(part, copy)
            (copy / name).write_bytes(damaged)
            found, problem = _tried(copy, target, argv, result, copy.parent)
            outcomes.files += 1
            if problem:
                outcomes.wrong.append(f"{name}, {what}: {problem}")
            elif found is None:
                outcomes.refused += 1
            elif found == expected:
                outcomes.same += 1
            else:
                outcomes.wrong.append(f"{name}, {what}: another result, and nothing said")
            shutil.rmtree(copy.parent)
    return outcomes


def _tried(copy, target, argv, result, folder):
    """Return the result, None where it was refused, and what no command may do, or ""."""
    out = folder / "out"
    out.mkdir(parents=True)
    ended = run_child(target, argv(copy, out), folder / "said")
    if ended.refused and "Traceback" not in ended.err:
        left = [path.name for path in out.iterdir()]
        return None, f"refused, but {left} is left" if left else ""
    if ended.code != 0 or "Traceback" in ended.err:
        return None, ended.last()
    try:
        return result(out), ""
    except Exception as error:  # whatever a half-written file raises
        return None, f"its output cannot be read ({error!r})"
