"""Work for processes of a Ray cluster that stay: a pool that answers tasks, or all at once.

`Cluster.map` is for tasks that need nothing, `ActorPool` for those that need what is slow to make,
such as a model. Ray's own pool (`ray.util.ActorPool`) neither outlives a lost machine nor grows
with the cluster. `run_together` starts processes that know of each other: they are told so by
Keras's variables (`KERAS_DISTRIBUTION_…`), which `train` reads. They wait for each other: where one
is lost, all end.
"""

from __future__ import annotations

import os
import pickle
import queue
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple

from fashion_keras.cluster.engine import Cluster, check_node, result_of
from fashion_keras.errors import UserError
from fashion_keras.progress import Reporter

_AHEAD = 2  # tasks an actor: one runs, one waits, so that it never does
_LOOK = 1.0  # seconds between two looks at which machines there are
_LOSSES = 5  # how often a task may be at work where an actor is lost
_PATIENCE = 60.0  # seconds for the cluster to find room for all processes
_POLL = 0.5  # seconds between two looks at what the first process says


class _Task(NamedTuple):
    number: int
    packed: bytes


_START = _Task(-1, b"")


class ActorPool:
    """Processes of a cluster, one a GPU or, where there are none, one a CPU.

    Args:
        cluster: where they are.
        make: a module's function, or a `functools.partial` of one, that returns what answers a
            task; each process calls it once. It is given whether there is a GPU.

    Example:

        for number, result in ActorPool(cluster, load_tagger).map(parts):
            ...
    """

    def __init__(self, cluster: Cluster, make: Callable[[bool], Callable[[Any], Any]]):
        import ray

        self._cluster, self._make = cluster, pickle.dumps(make)
        gpus = 1 if cluster.gpus else 0
        self._kind = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(_Keeper)
        self._by_gpu = bool(gpus)
        self._busy: dict[Any, int] = {}  # actors that have what they need: tasks handed to each
        self._starting: set[Any] = set()
        self._pending: dict[Any, tuple[Any, _Task]] = {}
        self._again: deque[_Task] = deque()
        self._losses: Counter[int] = Counter()

    def map(self, tasks: Iterable[Any]) -> Generator[tuple[int, Any], None, None]:
        """Yield (number, result) of each task as it comes, each once.

        Tasks are taken when there is room. What a lost process was at is done by another. Closing
        the generator ends them all. Raises what a task raised.
        """
        import ray

        numbered = (_Task(number, pickle.dumps(task)) for number, task in enumerate(tasks))
        try:
            while True:
                self._cluster.look()
                self._start()
                self._hand_over(numbered)
                if not any(task is not _START for _, task in self._pending.values()):
                    first = next(numbered, None)
                    if first is None and not self._again:
                        return
                    self._again += [first] if first else []
                if not self._pending:  # there is no machine at all, at present
                    time.sleep(_LOOK)
                    continue
                for ref in ray.wait(list(self._pending), timeout=_LOOK)[0]:
                    yield from self._come(ref)
        finally:
            for actor in (*self._busy, *self._starting):
                ray.kill(actor)

    def _start(self) -> None:
        """Start an actor for each place that has none, also on machines that have come since."""
        places = self._cluster.gpus if self._by_gpu else self._cluster.cpus
        for _ in range(places - len(self._busy) - len(self._starting)):
            actor = self._kind.remote()
            self._starting.add(actor)
            ref = actor.make.remote(self._cluster.expected(), self._make, self._by_gpu)
            self._pending[ref] = actor, _START

    def _hand_over(self, numbered: Iterator[_Task]) -> None:
        """Give each actor a task, then each a second one."""
        for load in range(_AHEAD):
            for actor in [actor for actor, busy in self._busy.items() if busy == load]:
                task = self._again.popleft() if self._again else next(numbered, None)
                if task is None:
                    return
                self._busy[actor] += 1
                self._pending[actor.work.remote(task.packed)] = actor, task

    def _come(self, ref) -> Iterator[tuple[int, Any]]:
        """Take in what is ready: an actor, a result, or a loss."""
        import ray

        actor, task = self._pending.pop(ref)
        try:
            result = result_of(ref)
        except ray.exceptions.RayActorError as error:
            self._busy.pop(actor, None)
            self._starting.discard(actor)
            if task is not _START:
                self._again.appendleft(task)
            self._losses[task.number] += 1
            if self._losses[task.number] > _LOSSES:
                raise UserError(
                    f"a process of the cluster was lost {_LOSSES + 1} times at the same work, "
                    "probably for want of memory:\ngive the machines more, or fewer CPUs to Ray "
                    "(ray start --num-cpus N)"
                ) from error
            return
        if task is _START:
            self._starting.discard(actor)
            self._busy[actor] = 0
            self._losses[_START.number] = 0
            return
        self._busy[actor] -= 1
        yield task.number, result


class _Keeper:
    """What an actor of a pool is: it keeps what `make` returned."""

    def make(self, expected, packed: bytes, has_gpu: bool) -> None:
        check_node(*expected)
        self._answer = pickle.loads(packed)(has_gpu)

    def work(self, packed: bytes):
        return self._answer(pickle.loads(packed))


def run_together(
    cluster: Cluster, count: int, function: Callable[[Reporter], Any], report_to: Reporter
) -> Any:
    """Call `function(reporter)` in `count` processes at once; return what the first returned.

    Each has an equal part of a machine's CPUs and GPUs, and they lie on as many machines as there
    are. What the first one says, `report_to` says here. Raises what one of them raised, and
    `UserError` where there is no room for them or one is lost; the others end then.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    needs = _needs(ray.nodes(), count)
    group = placement_group([needs] * count, strategy="SPREAD")
    try:
        if not group.wait(_PATIENCE):
            raise UserError(
                f"the cluster has no room for {count} processes of {needs['CPU']} CPUs and "
                f"{needs['GPU']} GPUs each: give fewer --workers, or wait for other work there"
            )
        kind = ray.remote(num_cpus=needs["CPU"], num_gpus=needs["GPU"], max_concurrency=2)(_Member)
        members = [
            kind.options(
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    group, placement_group_bundle_index=number
                )
            ).remote()
            for number in range(count)
        ]
        addresses = [result_of(member.address.remote(cluster.expected())) for member in members]
        packed = pickle.dumps(function)
        runs = [
            member.run.remote(packed, _told(addresses, number))
            for number, member in enumerate(members)
        ]
        return _followed(members[0], runs, report_to)
    finally:
        remove_placement_group(group)  # ends the processes in it


def _needs(nodes: list[dict], count: int) -> dict[str, int]:
    """Return what each process takes, so that `count` of them fit evenly on the largest nodes."""
    alive = [node["Resources"] for node in nodes if node["Alive"] and node["Resources"].get("CPU")]
    found = sorted(((int(r.get("GPU", 0)), int(r["CPU"])) for r in alive), reverse=True)[:count]
    a_node = -(-count // max(1, len(found)))
    gpus, cpus = (min((each[i] for each in found), default=0) // a_node for i in (0, 1))
    return {"CPU": max(1, cpus), "GPU": gpus}


def _told(addresses: list[str], number: int) -> dict[str, str]:
    """Return the variables that say which processes there are and which one this is."""
    said = {
        "JOB_ADDRESSES": ",".join(addresses),
        "NUM_PROCESSES": str(len(addresses)),
        "PROCESS_ID": str(number),
    }
    return {f"KERAS_DISTRIBUTION_{name}": value for name, value in said.items()}


def _followed(first, runs: list, report_to: Reporter) -> Any:
    """Say what the first process says until all have ended; return what it returned."""
    import ray

    waiting = list(runs)
    try:
        while waiting:
            ended, waiting = ray.wait(waiting, timeout=_POLL)
            for how, *what in ray.get(first.said.remote()):
                getattr(report_to, how)(*what)
            for run in ended:
                result_of(run)
        return result_of(runs[0])
    except ray.exceptions.RayActorError as error:
        raise UserError(
            "a process of the training was lost, with its machine or for want of memory: give the "
            "same command again with --resume"
        ) from error


class _Relay(Reporter):
    """Keeps what is to be said until the driver asks for it."""

    def __init__(self, lines: queue.SimpleQueue):
        super().__init__(bars=False)
        self._lines = lines

    def say(self, line: str) -> None:
        self._lines.put(("say", line))

    def warn(self, line: str) -> None:
        self._lines.put(("warn", line))

    def note(self, line: str) -> None:
        self._lines.put(("note", line))


class _Member:
    """What an actor of `run_together` is."""

    def __init__(self):
        self._lines: queue.SimpleQueue = queue.SimpleQueue()

    def address(self, expected) -> str:
        """Return an address at which the others reach this process."""
        import ray

        check_node(*expected)
        with socket.socket() as probe:
            probe.bind(("", 0))
            return f"{ray.util.get_node_ip_address()}:{probe.getsockname()[1]}"

    def run(self, packed: bytes, environment: dict[str, str]):
        os.environ.update(environment)
        return pickle.loads(packed)(_Relay(self._lines))

    def said(self) -> list[tuple]:
        """Return what was said since the last call."""
        return [self._lines.get() for _ in range(self._lines.qsize())]
