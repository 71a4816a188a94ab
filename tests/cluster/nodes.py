"""A Ray cluster of several nodes on this machine, and commands as drivers that may be killed."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = {"object_store_memory": 78_643_200, "num_cpus": 1}
# A node is given up after 1.5 seconds of silence, not after 15.
SOON = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
}


@contextlib.contextmanager
def several_nodes(count):
    """Yield a cluster of a head that takes no tasks and `count` nodes of a CPU each."""
    from ray.cluster_utils import Cluster

    head = {**SMALL, "num_cpus": 0, "include_dashboard": False, "_system_config": SOON}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster, [cluster.add_node(**SMALL) for _ in range(count)]
    finally:
        cluster.shutdown()


def kill_node(node):
    """Kill -9 a node's raylet, as when a machine goes: what runs there ends with it."""
    for process in node.all_processes["raylet"]:
        process.process.kill()
        process.process.wait()


def start(*argv, a_part=1024):
    """Start a command as a driver, in a session of its own; `a_part` is the photos of a part."""
    program = (
        "import sys\n"
        "from fashion_keras import cli\n"
        "from fashion_keras.tagging import by_cluster\n"
        f"by_cluster._PHOTOS_A_PART = {a_part}\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def ended(process):
    """Wait for a driver; return its exit code and what it printed."""
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def wait_until(condition, process, seconds=180):
    """Wait until a condition holds while a driver runs."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found
