"""A function in; it runs in processes of a Ray cluster at once, which know of each other.

They are told so by Keras's variables (`KERAS_DISTRIBUTION_…`), which `train` reads. Unlike tasks
they wait for each other: where one is lost, all end.
"""

from __future__ import annotations

import os
import pickle
import queue
import socket
from collections.abc import Callable
from typing import Any

from fashion_keras.cluster.engine import Cluster, check_node, result_of
from fashion_keras.errors import UserError
from fashion_keras.progress import Reporter

_PATIENCE = 60.0  # seconds for the cluster to find room for all processes
_POLL = 0.5  # seconds between two looks at what the first process says


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
    """What an actor is: one of the processes."""

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
