"""A request and a Ray cluster in; the table that one machine would write, out.

The driver plans parts of about a thousand photos; a process of the cluster that holds the model
reads a part's photos and writes its rows. Imports no TensorFlow in the driver.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fashion_keras.cluster.actor_pool import ActorPool
from fashion_keras.cluster.engine import Cluster
from fashion_keras.provenance import fingerprints
from fashion_keras.quiet import load_tensorflow
from fashion_keras.reading import check_sha256
from fashion_keras.released import FOLDER, is_released
from fashion_keras.run import (
    BEST_MODEL_FILE,
    CONFIG_FILE,
    LABELS_FILE,
    SEES,
    TITLE_FILE,
    decision_file,
)
from fashion_keras.serving.local import is_run
from fashion_keras.tagging.batches import classify_all
from fashion_keras.tagging.loading import load_local
from fashion_keras.tagging.prediction import Tally, table_row
from fashion_keras.tagging.row_formats import Columns
from fashion_keras.tagging.row_table import Table, codec_of
from fashion_keras.tagging.sources import Listed, PhotoSource, batches, read_photos
from fashion_keras.tagging.table_parts import Part, Parts, write_part

_PHOTOS_A_PART = 1_024
_IN_FLIGHT = 2  # one batch is decoded while another is classified
_OTHER_MODEL = "the machines of the cluster need the same model, such as on a path that they share"


@dataclasses.dataclass(frozen=True)
class Tagging:
    """What rows are made by: all that a machine needs beside the photos.

    `thresholds` are those of each label by what is known of a product, `files` the sha256 of the
    model's; a model that comes with the package is found in each machine's own.
    """

    model: str
    is_released: bool
    files: Mapping[str, str]
    labels: tuple[str, ...]
    titles: bool
    thresholds: Mapping[str, Mapping[str, float]]
    batch_size: int
    output: Path

    @classmethod
    def of(cls, version: Path, **options) -> Tagging:
        """Describe a model of `serving.local.find_model`; `options` are the other fields."""
        if is_run(version):
            decisions = map(decision_file, SEES)
            names = [BEST_MODEL_FILE, TITLE_FILE, LABELS_FILE, CONFIG_FILE, *decisions]
        else:
            found = sorted(path for path in version.rglob("*") if path.is_file())
            names = [path.relative_to(version).as_posix() for path in found]
        path = version.absolute()
        released = is_released(version)
        model = os.fspath(path.relative_to(FOLDER) if released else path)
        return cls(model, released, fingerprints(version, names), **options)

    @property
    def place(self) -> Path:
        """Where this machine has the model."""
        return FOLDER / self.model if self.is_released else Path(self.model)

    @property
    def a_part(self) -> int:
        """Photos of a part: whole batches, those that one machine would make."""
        return max(1, _PHOTOS_A_PART // self.batch_size) * self.batch_size

    def plan(self, source: PhotoSource, numbers: Sequence[int]) -> dict:
        """Return what decides the parts' rows."""
        made_by = dataclasses.asdict(self)
        kept = ("files", "labels", "titles", "thresholds", "batch_size")
        return {"photos": source.digest(numbers), **{name: made_by[name] for name in kept}}


def tag_by_cluster(
    tagging: Tagging, source: PhotoSource, table: Table, parts: Parts, cluster: Cluster
) -> Tally:
    """Write the rows of all photos that a table has none of, in order; return what failed.

    A part that is done is not done again. Raises `UserError` where a machine sees other files.
    """
    names = enumerate(source.names())
    numbers = [number for number, name in names if not table.take_done(*name)]
    parts.begin(table, tagging.plan(source, numbers))
    for path in (*source.places(), parts.folder):
        cluster.share(path)
    planned = [numbers[i : i + tagging.a_part] for i in range(0, len(numbers), tagging.a_part)]
    missing = [number for number in range(len(planned)) if number not in parts.done]

    def progress():
        cluster.progress("classifying", table.rows + parts.rows, len(source))

    progress()
    tasks = ((number, source.part(planned[number])) for number in missing)
    pool = ActorPool(cluster, functools.partial(_tagger, tagging, parts.folder))
    with contextlib.closing(pool.map(tasks)) as results:
        for _, part in results:
            parts.add(part)
            progress()
    tally = Tally()
    for number in sorted(parts.done):
        part = parts.done[number]
        tally.count(part.rows, part.errors, part.first)
    parts.pour(table)
    return tally


def _tagger(tagging: Tagging, folder: Path, has_gpu: bool) -> Callable[[tuple], Part]:
    """Load the model, on a machine of the cluster; return what makes a part."""
    check_sha256(tagging.place, tagging.files, _OTHER_MODEL)
    tf = load_tensorflow()
    if not has_gpu:  # each of the machine's CPUs has a process of its own
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    model = load_local(tagging.place, tagging.labels, tagging.titles)
    codec = codec_of(tagging.output, Columns(tagging.labels))

    def make_part(task: tuple[int, Sequence[Listed]]) -> Part:
        number, listed = task
        rows, errors = [], []
        grouped = batches(read_photos(listed), tagging.batch_size)
        for batch in classify_all(grouped, model, _IN_FLIGHT):
            errors += [(found.path, found.error) for found in batch if found.error]
            for found in batch:
                row = table_row(found, tagging.labels, tagging.thresholds[found.sees])
                rows.append(codec.encode(row))
        return write_part(folder, number, rows, errors)

    return make_part
