"""The environment in; which processes train together, and which of them this one is, out.

Imports no TensorFlow: only the first process may touch the run's folder, and is told at once.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping

from fashion_keras.errors import UserError

_KERAS = "KERAS_DISTRIBUTION_"


@dataclasses.dataclass(frozen=True)
class Processes:
    """The processes of one training, alone by default.

    `addresses` are their `host:port` by number, or the first's alone; `index` is this one's number.
    """

    count: int = 1
    index: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def is_writer(self) -> bool:
        """Whether this is the one process that writes the run."""
        return self.index == 0


ALONE = Processes()


def read_processes(environment: Mapping[str, str] = os.environ) -> Processes:
    """Return the processes that `TF_CONFIG`, or else Keras's own variables, speak of.

    `TF_CONFIG` is TensorFlow's JSON of `cluster` and `task`, as Kubeflow, Vertex AI and Ray Train
    set it. Keras's are `KERAS_DISTRIBUTION_JOB_ADDRESSES`, `…_NUM_PROCESSES` and `…_PROCESS_ID`
    (`keras.distribution.initialize`). Raises `UserError` where they are no such thing.

    Example:

        read_processes({"KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:1234",
                        "KERAS_DISTRIBUTION_NUM_PROCESSES": "4",
                        "KERAS_DISTRIBUTION_PROCESS_ID": "0"})
    """
    if text := environment.get("TF_CONFIG"):
        return _of_tensorflow(text)
    names = [f"{_KERAS}{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")]
    found = [environment.get(name, "") for name in names]
    if not any(found):
        return Processes()
    addresses = tuple(part.strip() for part in found[0].split(",") if part.strip())
    try:
        count, index = int(found[1] or len(addresses)), int(found[2])
    except ValueError:
        count = index = -1
    if not addresses or not 0 <= index < count or len(addresses) not in (1, count):
        said = ", ".join(f"{name}={value}" for name, value in zip(names, found, strict=True))
        raise UserError(
            f"{said[:300]}: expected the address host:port of process 0, or of all of them,\n"
            "how many processes there are, and the number of this one, from 0"
        )
    return Processes(count, index, addresses)


def _of_tensorflow(text: str) -> Processes:
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster") or {}, config.get("task") or {}
        first = [*cluster.get("chief", []), *cluster.get("master", [])]
        workers = [str(address) for address in (*first, *cluster.get("worker", []))]
        kind, number = str(task.get("type", "worker")), int(task.get("index", 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"TF_CONFIG cannot be read ({str(error)[:120]}): expected TensorFlow's JSON\n"
            '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
        ) from None
    if cluster.get("ps") or kind not in ("chief", "master", "worker"):
        raise UserError(
            f"TF_CONFIG has this process be {kind!r} of {', '.join(cluster)}: parameter servers "
            "and evaluators\nare not used here: expected chief or worker alone"
        )
    index = number + (len(first) if kind == "worker" else 0)
    if workers and not 0 <= index < len(workers):
        raise UserError(
            f"TF_CONFIG has {len(workers)} processes, and this is none: {kind} {number}"
        )
    return Processes(max(1, len(workers)), index if workers else 0, tuple(workers))
