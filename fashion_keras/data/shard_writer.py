"""Products in splits in, the shards of all splits out, read and shrunk by several processes.

Python's threads take turns: two of them decode small photos no faster than one. So processes work
where they can be forked, which takes no time and hands them all that the function knows. Elsewhere
threads do: on other systems, and where TensorFlow or other threads are, whose locks a fork would
copy in whatever state they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from fashion_keras.cluster.engine import Cluster
from fashion_keras.data import tfrecord
from fashion_keras.data.archive import Archive
from fashion_keras.data.catalog import Product
from fashion_keras.data.photo import PhotoInfo, stored_photo
from fashion_keras.data.schema import ShardInfo
from fashion_keras.data.work_folder import DONE_FILE, PLAN_FILE
from fashion_keras.errors import UserError
from fashion_keras.io import write_sealed
from fashion_keras.reading import STRICT, read_json, sha256_of, unsealed, validated

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def available_memory(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int:
    """Return the memory available, in bytes: the machine's, or a container's limit if less.

    The kernel's estimate (`MemAvailable`) counts files it keeps in memory and can drop, which
    the count of free pages leaves out: after a conversion that is most of the memory. Returns 0
    where neither can be told.
    """
    amounts = []
    try:
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
        amounts.append(int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, ValueError, KeyError):
        names = getattr(os, "sysconf_names", {})
        if {"SC_AVPHYS_PAGES", "SC_PAGE_SIZE"} <= set(names):
            amounts.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        limit = int((cgroup / "memory.max").read_text())
        amounts.append(max(0, limit - int((cgroup / "memory.current").read_text())))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        pass
    return min(amounts, default=0)


_CHUNK = 64  # photos a task: fewer cost more in handing over than in the work itself
_CHUNK_OF_CLUSTER = 512  # likewise, from machine to machine
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

# The threads that fsspec keeps when a download is over: they wait, and hold no lock.
_OF_DOWNLOADS = ("fsspecIO", "asyncio_")
_function: Callable | None = None  # in a forked process, what it was forked for


def map_in_order(
    function: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int
) -> Generator[_Result, None, None]:
    """Yield `function(task)` for each task, in order; works a few tasks ahead.

    Tasks and results are copied from process to process, so keep them small. Closing the
    generator drops what has not begun. Raises `UserError` where a process dies.
    """
    with _pool(function, max(1, workers)) as (pool, call):
        results: deque[Future[_Result]] = deque()
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


def map_photos(
    function: Callable,
    archive: Archive,
    photos: Iterable[tuple],
    workers: int,
    cluster: Cluster | None = None,
) -> Generator[list[tuple[str, Any]], None, None]:
    """Yield lists of ids, each with what a function says of the photo, or why it cannot be read.

    `photos` are the id, the name in the archive and what else `function` takes, which is called
    as `function(archive, name, ...)`. Processes do it as in `map_in_order`, or the machines of
    `cluster`, for which `function` is one of a module's.
    """
    ids: deque[list[str]] = deque()  # of what is under way

    def parts() -> Iterator[list[list]]:
        for part in in_chunks(photos, _CHUNK_OF_CLUSTER if cluster else _CHUNK):
            ids.append([id for id, *_ in part])
            yield [photo for _, *photo in part]

    work = functools.partial(_of_part, function)
    if cluster is None:
        found = map_in_order(lambda part: work((archive, part)), parts(), workers)
    else:
        tasks = ((archive.part(name for name, *_ in part), part) for part in parts())
        found = cluster.in_order(work, tasks)
    with contextlib.closing(found):
        for results in found:
            yield list(zip(ids.popleft(), results, strict=True))


def in_chunks(items: Iterable[_Task], size: int = _CHUNK) -> Iterator[list[_Task]]:
    """Yield items some at a time."""
    items = iter(items)
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _of_part(function: Callable, task: tuple[Archive, Sequence[Sequence]]) -> list:
    archive, photos = task
    return [_answer(function, archive, photo) for photo in photos]


def _answer(function: Callable, archive: Archive, photo: Iterable) -> Any:
    try:
        return function(archive, *photo)
    except UserError as error:
        return str(error)
    except MemoryError:
        return "it does not fit in memory"


@contextlib.contextmanager
def _pool(function: Callable, workers: int) -> Iterator[tuple[Executor, Callable]]:
    pool: Executor
    if _can_fork():
        context = multiprocessing.get_context("fork")
        pool, call = ProcessPoolExecutor(workers, context, _begin, (function,)), _call
        gc.freeze()  # else each process gets its own copy of all that its collector looks at
    else:
        pool, call = ThreadPoolExecutor(workers), function
    try:
        yield pool, call
    finally:
        pool.shutdown(cancel_futures=True)
        gc.unfreeze()


def _can_fork() -> bool:
    linux = sys.platform == "linux"
    busy = [t for t in threading.enumerate() if not t.name.startswith(_OF_DOWNLOADS)]
    return linux and len(busy) == 1 and "tensorflow" not in sys.modules


def _begin(function: Callable) -> None:
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # a forked process has one
    parent.join()
    os._exit(1)


def _call(task):
    assert _function is not None  # `_begin` has set it
    return _function(task)


_PHOTOS_A_SHARD = 4_000

Part = tuple[str, Sequence[str]]  # a shard's file name and the ids of its products


@dataclasses.dataclass(frozen=True)
class _Noted:
    """What `done.json` says of a shard, and why some photos are not in it.

    `sizes` are the least and most height, and the least and most width; None without photos.
    """

    __pydantic_config__ = STRICT

    shard: ShardInfo
    sizes: tuple[int, int, int, int] | None
    unreadable: dict[str, str]


@dataclasses.dataclass(frozen=True)
class ShardWriter:
    """Writes shards into `folder`, where those that are there and whole are kept.

    `vocabularies` maps label to class name to index; `max_size` is the longer side of a stored
    photo in pixels. The machines of `cluster`, where there is one, write a shard each; else
    `workers` processes read for this one.
    """

    archive: Archive
    products: dict[str, Product]
    photos: dict[str, PhotoInfo]
    vocabularies: dict[str, dict[str, int]]
    max_size: int
    workers: int
    folder: Path
    cluster: Cluster | None = None

    def write(
        self, splits: dict[str, list[Part]], progress: Callable[[int], None]
    ) -> tuple[dict[str, tuple[ShardInfo, ...]], dict[str, int], dict[str, str]]:
        """Write every shard of a plan; return each split's shards and the photos' size range.

        Also, by id, why photos that passed the check could not be written after all: they are
        in no shard. `progress` is called with the number of photos done so far.
        """
        done = _read_done(self.folder / DONE_FILE)
        parts = [part for found in splits.values() for part in found]
        missing = [
            (name, ids)
            for name, ids in parts
            if name not in done or not _is_whole(self.folder / name, done[name], len(ids))
        ]
        written = sum(len(ids) for _, ids in parts) - sum(len(ids) for _, ids in missing)
        progress(written)
        made = self._by_cluster if self.cluster else self._here
        with contextlib.closing(made(missing, lambda n: progress(written + n))) as results:
            for name, noted in results:
                done[name] = noted
                write_sealed(
                    self.folder / DONE_FILE, {k: dataclasses.asdict(v) for k, v in done.items()}
                )
                written += noted.shard.num_examples + len(noted.unreadable)
                progress(written)
        unreadable: dict[str, str] = {}
        for name, _ in parts:
            unreadable |= done[name].unreadable
            if not done[name].sizes:
                (self.folder / name).unlink()
        shards = {
            split: tuple(done[name].shard for name, _ in found if done[name].sizes)
            for split, found in splits.items()
        }
        sizes = [found for name, _ in parts if (found := done[name].sizes)]
        return shards, _size_range(sizes) if sizes else {}, unreadable

    def _here(self, parts, progress) -> Generator[tuple[str, _Noted], None, None]:
        """Yield the name of each shard and what is noted of it, once it is written."""
        photos = self._photos(id for _, ids in parts for id in ids)
        found = map_photos(self._example, self.archive, photos, self.workers)
        with contextlib.closing(found) as results:
            stored = itertools.chain.from_iterable(results)
            for name, ids in parts:
                of_shard = itertools.islice(stored, len(ids))
                yield name, self._write_shard(name, of_shard, progress)

    def _by_cluster(self, parts, progress) -> Generator[tuple[str, _Noted], None, None]:
        """Do what `_here` does on a cluster's machines, a shard a task, in any order."""
        assert self.cluster is not None
        self.cluster.share(self.folder / PLAN_FILE)
        tasks = ((self._for(ids), name, ids) for name, ids in parts)
        with contextlib.closing(self.cluster.map(_write_part, tasks)) as results:
            for number, noted in results:
                name = parts[number][0]
                path = self.folder / name
                if not path.is_file() or path.stat().st_size != noted.shard.num_bytes:
                    raise UserError(
                        f"{path} is not here as a machine of the cluster has written it: expected "
                        "an --output on a file system that all machines share"
                    )
                yield name, noted

    def _for(self, ids: Sequence[str]) -> ShardWriter:
        """Return a writer that knows of these products alone, for another machine."""
        products = {id: self.products[id] for id in ids}
        archive = self.archive.part(product.photo or "" for product in products.values())
        photos = {id: self.photos[id] for id in ids}
        return dataclasses.replace(
            self, archive=archive, products=products, photos=photos, cluster=None
        )

    def _write_shard(self, name: str, stored, progress) -> _Noted:
        heights, widths, unreadable = [], [], {}

        def examples() -> Iterator[bytes]:
            for count, (id, found) in enumerate(stored, start=1):
                if isinstance(found, str):
                    unreadable[id] = found
                else:
                    example, height, width = found
                    heights.append(height)
                    widths.append(width)
                    yield example
                if count % _CHUNK == 0:
                    progress(count)

        shard = tfrecord.write_shard(self.folder / name, examples())
        sizes = (min(heights), max(heights), min(widths), max(widths)) if heights else None
        return _Noted(shard, sizes, unreadable)

    def _photos(self, ids: Iterable[str]) -> Iterator[tuple]:
        # With the product: a process that looked it up would copy its pages.
        for id in ids:
            yield id, self.products[id].photo, self.products[id], self.photos[id]

    def _example(
        self, archive: Archive, name: str, product: Product, photo: PhotoInfo
    ) -> tuple[bytes, int, int]:
        data, height, width = stored_photo(archive.read(name), photo, self.max_size)
        record = tfrecord.Record(
            product.id,
            product.name,
            data,
            height,
            width,
            product.labels,
            product.group,
            product.texts,
        )
        return tfrecord.to_example(record, self.vocabularies), height, width


def _write_part(task: tuple[ShardWriter, str, Sequence[str]]) -> _Noted:
    writer, name, ids = task
    with writer.archive:
        stored = (
            (id, _answer(writer._example, writer.archive, photo))
            for id, *photo in writer._photos(ids)
        )
        return writer._write_shard(name, stored, lambda count: None)


def plan_shards(
    split: str, ids: Sequence[str], num_train: int, train_shards: int | None
) -> list[Part]:
    """Return the (file name, ids) of a split's shards, even to one photo.

    Other splits get shards of about the size of the training shards. An empty split has none.
    """
    if not ids:
        return []
    a_shard = num_train / train_shards if train_shards else _PHOTOS_A_SHARD
    count = max(1, min(len(ids), round(len(ids) / a_shard)))
    bounds = [len(ids) * i // count for i in range(count + 1)]
    return [
        (tfrecord.shard_name(split, i, count), ids[bounds[i] : bounds[i + 1]]) for i in range(count)
    ]


def _read_done(path: Path) -> dict[str, _Noted]:
    """Return what a stopped conversion has noted of its shards; nothing where that is damaged."""
    try:
        return validated(dict[str, _Noted], unsealed(read_json(path, "they are written anew")))
    except (UserError, ValueError):
        return {}


def _is_whole(path: Path, noted: _Noted, count: int) -> bool:
    """Return whether a shard is there with the photos of a plan, but for the unreadable."""
    shard, count = noted.shard, count - len(noted.unreadable)
    return (
        path.is_file()
        and (shard.file, shard.num_examples) == (path.name, count)
        and shard.sha256 == sha256_of(path)
    )


def _size_range(sizes: Iterable[tuple[int, int, int, int]]) -> dict[str, int]:
    heights, highest, widths, widest = zip(*sizes, strict=True)
    return {
        "min_height": min(heights),
        "max_height": max(highest),
        "min_width": min(widths),
        "max_width": max(widest),
    }
