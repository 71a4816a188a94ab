"""Tasks in; their results by processes of a Ray cluster that each keep what is slow to make, out.

`Cluster.map` is for tasks that need nothing; this is for those that need a model in memory. Ray's
own pool (`ray.util.ActorPool`) neither outlives a lost machine nor grows with the cluster.
"""

from __future__ import annotations

import pickle
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple

from fashion_keras.cluster.engine import Cluster, check_node, result_of
from fashion_keras.errors import UserError

_AHEAD = 2  # tasks an actor: one runs, one waits, so that it never does
_LOOK = 1.0  # seconds between two looks at which machines there are
_LOSSES = 5  # how often a task may be at work where an actor is lost


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
    """What an actor is: it keeps what `make` returned."""

    def make(self, expected, packed: bytes, has_gpu: bool) -> None:
        check_node(*expected)
        self._answer = pickle.loads(packed)(has_gpu)

    def work(self, packed: bytes):
        return self._answer(pickle.loads(packed))
