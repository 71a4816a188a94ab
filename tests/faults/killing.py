"""What may be killed: each command with its output, what it must come to, and when to kill it."""

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

from faults.children import Ended, run_child
from faults.listing import names

_CHANGE = ("os.rename", "os.remove", "os.rmdir")  # what puts in place, and what takes away


@dataclasses.dataclass(frozen=True)
class Case:
    """A command that is killed and then given again.

    `argv` and `again` take the folder to work in; of `again` there may be several attempts: a run
    that had not begun cannot be resumed. `result` reads what it came to; `before` puts an earlier
    output there. `same_names` says whether the folder must end as after a run that nobody killed.
    """

    name: str
    target: str
    argv: Callable[[Path], list]
    again: Callable[[Path], list[list]]
    result: Callable[[Path], object]
    before: Callable[[Path], object] = lambda place: None
    steps: int = 12
    moments: int = 3
    same_names: bool = True


@dataclasses.dataclass
class Kills:
    """Counts of what was killed, and what went wrong, a line each."""

    killed: int = 0
    refused: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)


def kill_and_go_on(case: Case, folder: Path, seed: int = 0) -> Kills:
    """Run a case to its end once; then kill it at many moments, each in a folder of its own."""
    rng = random.Random(f"{case.name} {seed}")
    whole = folder / "whole" / "place"
    ended = _run(case, whole, case.argv(whole))
    assert ended.code == 0, ended.err
    expected, left = case.result(whole), names(whole)
    found = Kills()
    moments = [{"kill_at": step} for step in _chosen(ended.steps, case.steps, rng)]
    moments += [
        {"kill_after": (i + rng.random()) / case.moments * ended.seconds * 0.9}
        for i in range(case.moments)
    ]
    for number, moment in enumerate(moments):
        place = folder / str(number) / "place"
        killed = _run(case, place, case.argv(place), **moment)
        found.killed += killed.code == -9
        where = ended.steps[moment["kill_at"]] if "kill_at" in moment else f"{moment}"
        if problem := _go_on(case, place, expected, left if case.same_names else None):
            found.wrong.append(f"{case.name}, killed before {where}: {problem}")
    return found


def _run(case, place: Path, argv, **moment) -> Ended:
    if not place.exists():
        place.mkdir(parents=True)
        case.before(place)
    return run_child(case.target, argv, place.with_name("said"), watched=place, **moment)


def _go_on(case, place, expected, left) -> str:
    """Give the command again; return in a line what is wrong then, or nothing."""
    for argv in case.again(place):
        ended = _run(case, place, argv)
        if ended.code == 0:
            break
        if not ended.refused:
            return f"again: {ended.last()}"
    else:
        return f"again: {ended.last()}"
    try:
        result = case.result(place)
    except Exception as error:  # whatever a half-written file raises
        return f"its output cannot be read ({error!r})"
    if result != expected:
        return "another result"
    if left is not None and (found := names(place)) != left:
        return f"left {sorted(set(found) ^ set(left))[:4]}"
    return ""


def _chosen(steps, count, rng) -> list[int]:
    """Return which steps to die at: the changes first, then the first of the others and some."""
    changes = [i for i, step in enumerate(steps) if step.startswith(_CHANGE)]
    others = [i for i in range(len(steps)) if i not in changes]
    changes = sorted(rng.sample(changes, min(len(changes), count * 2 // 3)))
    return changes + sorted(rng.sample(others, min(len(others), count - len(changes))))
