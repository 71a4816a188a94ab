"""Runs a command in a process of its own, as a shell would, and can kill or starve it.

ended = run_child("fashion_keras.convert", ["--source", ...], folder)
assert ended.code == 0
"""

import dataclasses
import importlib
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST = 300  # seconds that any command here may take on a busy machine: what takes longer hangs
# What a process asks of the system that changes a folder (docs.python.org, Audit events table).
# The number is where it says which open folder a name is relative to.
_CHANGES = {"os.rename": 2, "os.remove": 1, "os.mkdir": 2, "os.rmdir": 1, "os.truncate": None}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a child ended: `code` as a shell counts, -9 where killed; `steps` it took on files.

    `seconds` are from its first step, or from its start where it took none.
    """

    code: int
    out: str
    err: str
    seconds: float
    steps: tuple[str, ...] = ()

    @property
    def traceback(self) -> bool:
        """Say whether it ended in what no user should see."""
        return "Traceback (most recent call last)" in self.err or self.code not in (0, 2, -9)

    @property
    def refused(self) -> bool:
        """Say whether it ended as an error of the user's: code 2 and a few lines that say so."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return self.code == 2 and len(lines) == 1

    def last(self) -> str:
        """Return the line of an error that says most, for a report."""
        lines = self.err.strip().splitlines()
        said = next((line for line in lines if line.startswith("error: ")), "")
        return f"code {self.code}: {said or (lines or ['nothing said'])[-1]}"[:300]


@dataclasses.dataclass(frozen=True)
class Job:
    """What a child does: `target` is a module with `main(argv)`, or `module:function`."""

    target: str
    argv: tuple[str, ...]
    scratch: str
    cwd: str
    watched: str | None = None
    kill_at: int | None = None
    limits: tuple[tuple[int, int], ...] = ()
    uid: int | None = None
    closed: tuple[int, ...] = ()
    more_memory: int | None = None
    env: tuple[tuple[str, str], ...] = ()


class Child:
    """A running command; `wait` says how it ended."""

    def __init__(self, target, argv, scratch, *, cwd=None, **how):
        self._scratch = Path(scratch)
        self._scratch.mkdir(parents=True, exist_ok=True)
        for name in ("out", "err", "steps"):
            (self._scratch / name).unlink(missing_ok=True)
        if "limits" in how:
            how["limits"] = tuple(how["limits"].items())
        if "watched" in how:
            how["watched"] = os.fspath(how["watched"])
        job = Job(target, tuple(map(str, argv)), str(scratch), str(cwd or scratch), **how)
        self._process = _context().Process(target=_perform, args=(job,), daemon=True)
        self._began = time.monotonic()
        self._process.start()

    def wait(self, kill_after: float | None = None, longest: float = LONGEST) -> Ended:
        """Wait for its end, or kill it so many seconds after its first step."""
        if kill_after is not None:
            self._await_first_step()
        self._process.join(longest if kill_after is None else kill_after)
        hangs = self._process.is_alive() and kill_after is None
        self._process.kill()
        self._process.join()
        out, err, steps = (_text(self._scratch / name) for name in ("out", "err", "steps"))
        taken = [line.split(" ", 1) for line in steps.splitlines() if " " in line]
        began = float(taken[0][0]) if taken else self._began
        seconds, steps = time.monotonic() - began, tuple(step for _, step in taken)
        if hangs:
            err += f"\nTraceback (most recent call last): none, it hung for {longest} s"
        return Ended(self._process.exitcode, out, err, seconds, steps)

    def _await_first_step(self) -> None:
        steps = self._scratch / "steps"
        while self._process.is_alive() and not (steps.exists() and steps.stat().st_size):
            time.sleep(0.005)


def run_child(target, argv, scratch, *, kill_after=None, longest=LONGEST, **how) -> Ended:
    """Run `target` to its end, or to a kill -9 `kill_after` seconds after its first step.

    `kill_at` kills it before its N-th step (from 0) on files below the folder `watched`;
    `limits` are those of `resource.setrlimit`, `more_memory` the bytes that it may take beyond
    TensorFlow's own; `uid` is whom it runs as; `closed` are descriptors that its shell has closed;
    `scratch` is a folder for what it prints, and where it stands unless `cwd` says otherwise. What
    takes `longest` seconds hangs.
    """
    return Child(target, argv, scratch, **how).wait(kill_after, longest)


def _context():
    # The server finds its modules by this alone (Python 3.11 does not give it our sys.path).
    known = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    wanted = [str(REPOSITORY), str(REPOSITORY / "tests")]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*wanted, *known]))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["faults.preload"])
    return context


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _perform(job: Job) -> None:
    """Be the command: never returns."""
    code = 1
    try:
        _prepare(job)
        module, _, function = job.target.partition(":")
        code = getattr(importlib.import_module(module), function or "main")(list(job.argv))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int | None) else 1
    except BaseException:
        traceback.print_exc()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = 120  # as the interpreter's own
    os._exit(code or 0)


def _prepare(job: Job) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(job.env)
    scratch = Path(job.scratch)
    for name, descriptor, stream in (("out", 1, "stdout"), ("err", 2, "stderr")):
        file = os.open(scratch / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(file, descriptor)
        os.close(file)
        errors = "strict" if descriptor == 1 else "backslashreplace"
        setattr(sys, stream, os.fdopen(descriptor, "w", encoding="utf-8", errors=errors))
    sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    os.chdir(job.cwd)
    if job.watched:
        _watch(job, os.open(scratch / "steps", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666))
    for descriptor in job.closed:  # as Python itself begins where a shell has closed it
        name = {1: "stdout", 2: "stderr"}[descriptor]
        getattr(sys, name).close()
        setattr(sys, name, None)
    for limit, value in job.limits:
        resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
    if job.more_memory is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + job.more_memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if job.uid is not None:
        os.setgroups([])
        os.setgid(job.uid)
        os.setuid(job.uid)


def _watch(job: Job, steps: int) -> None:
    """Write down each step on files below `watched`, and die before step `kill_at`."""
    count = 0

    def hook(event, arguments):
        nonlocal count
        if event == "open":
            path, mode, flags = arguments
            if mode == "r" or not (flags or 0) & _WRITES:
                return
            folder = -1
        elif event in _CHANGES:
            path, folder = arguments[0], arguments[_CHANGES[event]] if _CHANGES[event] else -1
        else:
            return
        if not isinstance(path, str | bytes | os.PathLike):
            return
        path = os.path.abspath(os.fsdecode(path))
        if folder != -1:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(arguments[0]))
        if not path.startswith(job.watched + os.sep):
            return
        if count == job.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(steps, f"{time.monotonic()} {event} {path[len(job.watched) + 1 :]}\n".encode())
        count += 1

    sys.addaudithook(hook)
