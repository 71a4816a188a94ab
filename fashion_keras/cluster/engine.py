"""An address in; functions that run on the machines of a Ray cluster, and their results, out.

Imports Ray when a cluster is asked for. Ray lends the machines, starts tasks again whose machine
was lost, and gives tasks to machines that come; what is a task, and what becomes of its result, is
decided by who calls `Cluster.map`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import itertools
import logging
import os
import pickle
import re
import socket
import sysconfig
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import fashion_keras
from fashion_keras.errors import UserError
from fashion_keras.io import is_address
from fashion_keras.places import address_of
from fashion_keras.progress import Reporter

_LOCAL = re.compile(r"local\[([1-9]\d{0,3})\]")
_ADDRESS = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}")
_PATIENCE = 5.0  # seconds for a cluster to answer
_STORE = 256 * 2**20  # bytes: the object store of `local[N]`, through which only a few tasks go
_RETRIES = 5  # a task's machine may be lost so often
_AHEAD = 2  # tasks a CPU that have been handed over: one runs, one waits
_LOOK = 2.0  # seconds between two looks at which machines there are
_LINE = 60.0  # seconds between two lines of progress where no bar is shown
# What a machine's results depend on, beside the task.
_ENVIRONMENT = ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS")


def cluster_address(text: str) -> str:
    """Return an address of a cluster, for argparse's `type`; `UserError` where it is none.

    Example:

        >>> cluster_address("local[2]")
        'local[2]'
    """
    if text == "auto" or _LOCAL.fullmatch(text) or _ADDRESS.fullmatch(text):
        return text
    raise UserError(
        f"--cluster {text}: expected auto (the cluster that this machine is part of), its "
        "address HOST:PORT,\nor local[N] for N processes on this machine"
    )


def add_cluster(parser: Any, what: str) -> None:
    """Add the option `--cluster` to an argparse parser or group; `what` begins its help."""
    parser.add_argument(
        "--cluster",
        type=cluster_address,
        metavar="auto|HOST:PORT|local[N]",
        help=f"{what} as this one does: that of this machine, the one at an address, or N "
        "processes here",
    )


@contextlib.contextmanager
def connected(address: str | None, report_to: Reporter) -> Iterator[Cluster | None]:
    """Connect to a cluster and leave it at the end; yield None where there is no address.

    Raises `UserError` where Ray is not installed, nothing answers within seconds, or Ray or Python
    are of another version there. Leaving ends all tasks.
    """
    if address is None:
        yield None
        return
    ray = _connect(cluster_address(address))
    try:
        yield Cluster(report_to)
    finally:
        if ray is not None:
            ray.shutdown()


def check_paths(*paths: str | os.PathLike | None) -> None:
    """Raise `UserError` where a path is an address: machines of a cluster share folders."""
    for path in [path for path in paths if path]:
        address = os.fspath(path) if is_address(path) else address_of(path)
        if address:
            raise UserError(
                f"--cluster reads and writes folders that all machines share, and {address} is an "
                "address: copy it to such a folder, or mount it"
            )


class Cluster:
    """The cluster that this process is connected to: `connected` makes it.

    Args:
        report_to: is told which machines there are.

    Attributes:
        nodes: machines that take tasks.
        cpus: of all machines together.
        gpus: likewise.
    """

    def __init__(self, report_to: Reporter):
        self.nodes, self.cpus, self.gpus = -1, 0, 0
        self._report_to = report_to
        self._places: dict[str, int | None] = {}
        self._next_look = self._next_line = 0.0
        self._began: tuple[str, float, int] = ("", 0.0, 0)
        self.look()

    def share(self, path: str | os.PathLike) -> None:
        """Have each task check that its machine sees a file or folder as this one does."""
        path = os.path.abspath(path)
        self._places[path] = os.path.getsize(path) if os.path.isfile(path) else None

    def map(
        self, function: Callable[[Any], Any], tasks: Iterable[Any]
    ) -> Generator[tuple[int, Any], None, None]:
        """Yield (number, `function(task)`) for each task as it comes, each once.

        `function` is one of a module's. A task is taken when there is room for it, so that a few a
        CPU are in memory. Closing the generator ends what runs. Raises what a task raised, and
        `UserError` where a machine is not set up as this one or a task has lost too many.
        """
        import ray

        remote = ray.remote(num_cpus=1, max_retries=_RETRIES)(_on_node)
        pending: dict[Any, int] = {}
        numbered = enumerate(tasks)
        try:
            while True:
                self.look()
                room = max(1, _AHEAD * self.cpus) - len(pending)
                for number, task in itertools.islice(numbered, max(0, room)):
                    packed = pickle.dumps((function, task))
                    pending[remote.remote(self.expected(), packed)] = number
                if not pending:
                    return
                for ref in ray.wait(list(pending), timeout=_LOOK)[0]:
                    yield pending.pop(ref), result_of(ref)
        finally:
            for ref in pending:
                ray.cancel(ref, force=True)

    def in_order(self, function: Callable, tasks: Iterable) -> Generator[Any, None, None]:
        """Yield `function(task)` for each task, in order."""
        early: dict[int, Any] = {}
        wanted = 0
        with contextlib.closing(self.map(function, tasks)) as results:
            for number, result in results:
                early[number] = result
                while wanted in early:
                    yield early.pop(wanted)
                    wanted += 1

    def expected(self) -> tuple[dict[str, int | None], dict[str, str]]:
        """Return what `check_node` compares on a machine."""
        return self._places, _versions()

    def look(self) -> None:
        """See which machines there are, and say so where others were there before."""
        import ray

        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK
        found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        found = [resources for resources in found if resources.get("CPU")]
        before, self.nodes = self.nodes, len(found)
        self.cpus, self.gpus = (
            int(sum(resources.get(kind, 0) for resources in found)) for kind in ("CPU", "GPU")
        )
        if before != self.nodes:
            gpus = f", {self.gpus} GPUs" if self.gpus else ""
            waiting = "" if found else ": waiting for one"
            self._report_to.note(f"cluster: {self._size()}, {self.cpus} CPUs{gpus}{waiting}")

    def progress(self, phase: str, done: int, total: int) -> None:
        """Show how far a phase is, with the number of nodes; in a log, a line a minute."""
        self._report_to.update(phase, done, total, self._size())
        now = time.monotonic()
        if phase != self._began[0]:
            self._began, self._next_line = (phase, now, done), now + _LINE
        elif not self._report_to.bars and now >= self._next_line:
            self._next_line = now + _LINE
            rate = (done - self._began[2]) / (now - self._began[1])
            self._report_to.note(
                f"{phase}: {done:,} of {total:,} photos, {rate:,.0f} photos/s, {self._size()}"
            )

    def _size(self) -> str:
        return "1 node" if self.nodes == 1 else f"{self.nodes} nodes"


def result_of(ref) -> Any:
    """Return a task's result; raise what the user can mend as it was raised on the machine."""
    import ray

    try:
        return ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError | OSError | MemoryError):
            raise error.cause from None
        if lacking := re.search(r"No module named '[\w.]+'", str(error)):
            raise UserError(
                f"a machine of the cluster lacks what is installed here ({lacking[0]}): install "
                "the same fashion-keras with the same extras there"
            ) from None
        raise
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        raise UserError(
            f"a task was ended {_RETRIES + 1} times, probably for want of memory: give the "
            "machines more, or fewer CPUs to Ray.\nThe same command goes on with what is done"
        ) from error


def check_node(places: dict[str, int | None], versions: dict[str, str]) -> None:
    """Raise `UserError` unless this machine sees what the one that asks does, and is set up so."""
    node = socket.gethostname()
    for path, size in places.items():
        is_file = os.path.isfile(path) and os.path.getsize(path) == size
        if not (os.path.isdir(path) if size is None else is_file):
            raise UserError(
                f"the machine {node} does not see {path} as it is here: expected a folder that "
                "all machines of the cluster share"
            )
    for name, version in _versions().items():
        if version != versions[name]:
            raise UserError(
                f"the machine {node} has {name} {version}, this one {versions[name]}: the same "
                "results need the same version"
            )


def _on_node(expected, packed: bytes) -> Any:
    """Run a task where Ray puts it."""
    check_node(*expected)
    # Unpacked here and not by Ray: an archive is opened by that, which may fail.
    function, task = pickle.loads(packed)
    return function(task)


@functools.cache
def _versions() -> dict[str, str]:
    others = {name: importlib.metadata.version(name) for name in ("pillow", "tensorflow")}
    return {"fashion_keras": fashion_keras.__version__, **others}


def _connect(address: str):
    """Connect to Ray and return it; None where this process was connected before."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray prints on standard output what its daemons have to say, such as the log of a lost one.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
    os.environ.setdefault("RAY_TQDM_PATCH_PRINT", "0")  # it would put its own `print` in our place
    try:
        import ray
    except ImportError as error:
        raise UserError(
            f'--cluster needs Ray ({error}): pip install "fashion-keras[ray]"'
        ) from None
    if ray.is_initialized():
        return None
    options: dict[str, Any] = {"address": address}
    if local := _LOCAL.fullmatch(address):
        options = {"address": "local", "num_cpus": int(local[1]), "include_dashboard": False}
        options["object_store_memory"] = _STORE
    else:
        _check_answers(address)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(**options, **quiet, runtime_env={"env_vars": _environment()})
    except (ConnectionError, RuntimeError, ValueError, OSError, SystemExit) as error:
        reason = " ".join(str(error).split())[:240]
        raise UserError(f"--cluster {address}: Ray cannot be used there ({reason})") from error
    return ray


def _check_answers(address: str) -> None:
    """Raise `UserError` unless something answers at an address, which Ray tries for minutes."""
    import grpc
    from ray._private.services import canonicalize_bootstrap_address  # no public one tells `auto`

    try:
        at = canonicalize_bootstrap_address(address)
    except ConnectionError:
        raise UserError(
            "--cluster auto: no Ray runs on this machine, nor is RAY_ADDRESS set. Start it with "
            "ray start --head,\nor give --cluster local[N]"
        ) from None
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    with grpc.insecure_channel(at) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_PATIENCE)
        except grpc.FutureTimeoutError:
            raise UserError(
                f"--cluster {address}: no Ray answers at {at} within {_PATIENCE:.0f} seconds. "
                "Expected the address that\nray start --head has printed, from a machine of the "
                "cluster"
            ) from None


def _environment() -> dict[str, str]:
    """Return the variables with which a machine computes as this one does."""
    found = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    folder = Path(fashion_keras.__file__).resolve().parents[1]
    if folder != Path(sysconfig.get_path("purelib")).resolve():
        # A checkout: of use to machines that see it, and no harm to others.
        found["PYTHONPATH"] = f"{folder}:${{PYTHONPATH}}"
    return found
