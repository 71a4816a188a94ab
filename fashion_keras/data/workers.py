"""A function and tasks in; its results, in order, from several processes or threads, out.

Python's threads take turns: two of them decode small photos no faster than one. So processes work
where they can be forked, which takes no time and hands them all that the function knows. Elsewhere
threads do: on other systems, and where TensorFlow or other threads are, whose locks a fork would
copy in whatever state they are.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from fashion_keras.errors import UserError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_function: Callable | None = None  # in a forked process, what it was forked for


def map_in_order(
    function: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int
) -> Iterator[_Result]:
    """Yield `function(task)` for each task, in order; works a few tasks ahead.

    Tasks and results are copied from process to process, so keep them small. Closing the
    generator drops what has not begun. Raises `UserError` where a process dies.
    """
    with _pool(function, max(1, workers)) as (pool, call):
        results = deque()
        try:
            for task in tasks:
                results.append(pool.submit(call, task))
                if len(results) > 2 * workers:
                    yield results.popleft().result()
            while results:
                yield results.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                "a process that read photos was ended, probably for want of memory: close other "
                "programs"
            ) from error


@contextlib.contextmanager
def _pool(function: Callable, workers: int) -> Iterator[tuple[Executor, Callable]]:
    if _can_fork():
        context = multiprocessing.get_context("fork")
        pool, call = ProcessPoolExecutor(workers, context, _begin, (function,)), _call
    else:
        pool, call = ThreadPoolExecutor(workers), function
    try:
        yield pool, call
    finally:
        pool.shutdown(cancel_futures=True)


def _can_fork() -> bool:
    linux = sys.platform == "linux"
    return linux and threading.active_count() == 1 and "tensorflow" not in sys.modules


def _begin(function: Callable) -> None:
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _call(task):
    return _function(task)
