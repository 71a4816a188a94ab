"""A catalogue in, a folder of TFRecord shards with `dataset_info.json` out."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fashion_keras.data import schema
from fashion_keras.data.archive import Archive, open_archive
from fashion_keras.data.catalog import Catalog, PhotoInfo, Product, check_photos, read_catalog
from fashion_keras.data.photos import JPEG_QUALITY, stored_photo
from fashion_keras.data.schema import SPLITS, DatasetInfo, ShardInfo, SplitInfo
from fashion_keras.data.splits import FRACTIONS, make_splits, published_split
from fashion_keras.errors import UserError

REPORT_FILE = "report.json"
_PLAN_FILE, _DONE_FILE = "plan.json", "done.json"
_PHOTOS_A_SHARD = 4_000

Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Request:
    """What to convert and how; see the options of `python -m fashion_keras.convert`.

    `split` None takes the published split where the catalogue is the published one and a
    stratified one elsewhere. `max_size` is the longer side of a stored photo in pixels,
    `shards` the number of training shards (None: one for every 4,000 photos).
    """

    source: str
    split: str | None = None
    split_label: str = "subCategory"
    fractions: tuple[float, float, float] = FRACTIONS
    seed: int = 0
    max_size: int = 320
    shards: int | None = None
    csv: str | None = None
    id_column: str | None = None
    image_column: str | None = None
    label_columns: tuple[str, ...] | None = None


def convert(
    request: Request,
    output: str | os.PathLike,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = print,
) -> DatasetInfo:
    """Convert a catalogue into records at `output`.

    Works in `OUTPUT.partial`, where a conversion that was stopped is taken up again shard by
    shard, and renames it at the end. Records of the same source and options are left as they
    are; others are replaced only with `overwrite`. `progress` is called with a phase, photos
    done and photos in all. Raises `UserError` for what the user can mend.
    """
    output = Path(output)
    workers = workers or os.cpu_count() or 1
    with open_archive(request.source) as archive:
        plan = {
            "schema_version": schema.SCHEMA_VERSION,
            "fingerprint": archive.fingerprint(),
            "request": json.loads(json.dumps(dataclasses.asdict(request))),
        }
        plan["request"].pop("source")  # the same photos at another path are the same photos
        existing = _existing(output, plan, overwrite)
        if existing:
            say(f"{output} holds these records already: nothing to do")
            return existing
        catalog = read_catalog(
            archive,
            csv=request.csv,
            id_column=request.id_column,
            image_column=request.image_column,
            label_columns=request.label_columns,
        )
        count = len(catalog.products)
        catalog, photos = check_photos(
            catalog,
            archive,
            workers=workers,
            progress=lambda done: progress and progress("checking photos", done, count),
        )
        say(catalog.summary())
        splits, strategy = _splits(catalog, request, say)
        partial = _open_partial(output, plan, say)
        writer = _Writer(archive, catalog, photos, request.max_size, workers, partial, progress)
        shards = writer.write(splits, request.shards)
        info = _info(request, catalog, splits, strategy, shards, writer.sizes(), plan)
    report = {**catalog.report(), "splits": {name: len(ids) for name, ids in splits.items()}}
    report_text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    (partial / REPORT_FILE).write_text(report_text, encoding="utf-8")
    info.save(partial)
    (partial / _DONE_FILE).unlink(missing_ok=True)
    _put_in_place(partial, output)
    return info


class _Writer:
    """Writes the shards of all splits, photos being read and shrunk in threads ahead."""

    def __init__(self, archive, catalog, photos, max_size, workers, folder, progress):
        self._archive: Archive = archive
        self._photos: dict[str, PhotoInfo] = photos
        self._max_size = max_size
        self._workers = workers
        self._folder: Path = folder
        self._progress: Progress | None = progress
        self._products: dict[str, Product] = {p.id: p for p in catalog.products}
        self._vocabularies = {
            label: {name: i for i, name in enumerate(names)}
            for label, names in vocabularies(catalog).items()
        }
        self._done = _read_json(folder / _DONE_FILE)
        self._sizes: dict[str, list[int]] = self._done.pop("sizes", {})

    def write(self, splits: dict[str, list[str]], train_shards: int | None):
        """Write every shard that is not there yet; return each split's `ShardInfo`s."""
        total = sum(len(ids) for ids in splits.values())
        written = 0
        shards: dict[str, tuple[ShardInfo, ...]] = {}
        for split, ids in splits.items():
            names = []
            for name, part in plan_shards(split, ids, len(splits["train"]), train_shards):
                if not self._is_done(name):
                    self._write_shard(name, part, written, total)
                written += len(part)
                if self._progress:
                    self._progress("writing records", written, total)
                names.append(ShardInfo(**self._done[name]))
            shards[split] = tuple(names)
        return shards

    def sizes(self) -> dict[str, int]:
        """Return the smallest and largest height and width that were stored, in pixels."""
        names = ("min_height", "max_height", "min_width", "max_width")
        columns = list(zip(*self._sizes.values(), strict=True))
        picks = (min, max, min, max)
        return {n: p(c) for n, p, c in zip(names, picks, columns, strict=True)}

    def _write_shard(self, name: str, ids: Sequence[str], before: int, total: int) -> None:
        from fashion_keras.data.tfrecord import Record, to_example, write_shard

        heights, widths = [], []

        def examples() -> Iterator[bytes]:
            for i, (id, photo) in enumerate(zip(ids, self._stored(ids), strict=True)):
                data, height, width = photo
                heights.append(height)
                widths.append(width)
                product = self._products[id]
                record = Record(id, product.name, data, height, width, product.labels)
                yield to_example(record, self._vocabularies)
                if self._progress and i % 64 == 0:
                    self._progress("writing records", before + i, total)

        shard = write_shard(self._folder / name, examples())
        self._sizes[name] = [min(heights), max(heights), min(widths), max(widths)]
        self._done[name] = dataclasses.asdict(shard)
        _write_json(self._folder / _DONE_FILE, {**self._done, "sizes": self._sizes})

    def _stored(self, ids: Sequence[str]) -> Iterator[tuple[bytes, int, int]]:
        """Yield each photo as it will be stored, in order, a bounded number ahead."""

        def fetch(id: str):
            data = self._archive.read(self._products[id].photo)
            return stored_photo(data, self._photos[id], self._max_size)

        ahead: deque = deque()
        pool = ThreadPoolExecutor(self._workers)
        try:
            for id in ids:
                ahead.append(pool.submit(fetch, id))
                if len(ahead) > 16 * self._workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _is_done(self, name: str) -> bool:
        from fashion_keras.data.tfrecord import file_sha256

        path = self._folder / name
        known = self._done.get(name)
        return bool(known) and path.is_file() and file_sha256(path) == known["sha256"]


def plan_shards(
    split: str, ids: Sequence[str], num_train: int, train_shards: int | None
) -> list[tuple[str, Sequence[str]]]:
    """Return the (file name, ids) of a split's shards, even to one photo.

    Other splits get shards of about the size of the training shards. An empty split has none.
    """
    from fashion_keras.data.tfrecord import shard_name

    if not ids:
        return []
    a_shard = num_train / train_shards if train_shards else _PHOTOS_A_SHARD
    count = max(1, min(len(ids), round(len(ids) / a_shard)))
    bounds = [len(ids) * i // count for i in range(count + 1)]
    return [(shard_name(split, i, count), ids[bounds[i] : bounds[i + 1]]) for i in range(count)]


def vocabularies(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Return each label's class names in code-point order, from all products of a catalogue."""
    return {
        label: tuple(sorted({p.labels[label] for p in catalog.products} - {None}))
        for label in catalog.label_columns
    }


def _splits(catalog: Catalog, request: Request, say) -> tuple[dict[str, list[str]], dict]:
    strategy = request.split
    splits = None
    if strategy is None:
        with contextlib.suppress(UserError):
            splits = published_split(catalog)
        strategy = "published" if splits else "stratified"
        say(f"split: {strategy}")
    label = request.split_label
    if label not in catalog.label_columns and request.label_columns:
        label = catalog.label_columns[0]  # one's own labels: the first named is the headline
    if splits is None:
        splits = make_splits(
            catalog, strategy, label=label, fractions=request.fractions, seed=request.seed
        )
    described: dict = {"strategy": strategy}
    if strategy != "published":
        described |= {"label": label, "fractions": list(request.fractions), "seed": request.seed}
    return splits, described


def _info(request, catalog, splits, strategy, shards, sizes, plan) -> DatasetInfo:
    words = vocabularies(catalog)
    products = {product.id: product for product in catalog.products}
    split_infos = {}
    for split in SPLITS:
        counts = {}
        for label, names in words.items():
            counter = Counter(products[id].labels[label] for id in splits[split])
            counts[label] = tuple(counter[name] for name in names)
        split_infos[split] = SplitInfo(len(splits[split]), shards[split], counts)
    left_out = dict(Counter(row.reason for row in catalog.left_out))
    unassigned = len(catalog.products) - sum(len(ids) for ids in splits.values())
    if unassigned:
        left_out["not in the published split"] = unassigned
    return DatasetInfo(
        schema_version=schema.SCHEMA_VERSION,
        labels=words,
        splits=split_infos,
        image_sizes=sizes,
        source={"path": request.source, "layout": catalog.layout, **plan},
        split=strategy,
        settings={"max_size": request.max_size, "jpeg_quality": JPEG_QUALITY},
        left_out=left_out,
    )


def _existing(output: Path, plan: dict, overwrite: bool) -> DatasetInfo | None:
    """Return the records at `output` if they are what `plan` would make; refuse others."""
    if output.is_dir() and (output / schema.INFO_FILE).is_file():
        with contextlib.suppress(UserError):
            info = DatasetInfo.load(output)
            if {key: info.source.get(key) for key in plan} == plan:
                return info
        if not overwrite:
            raise UserError(
                f"{output} holds other records: give another --output, or --overwrite to "
                "replace them"
            )
    elif output.exists() and (not output.is_dir() or set(os.listdir(output)) - {"README.md"}):
        raise UserError(f"{output} exists and holds no records: give another --output")
    return None


def _open_partial(output: Path, plan: dict, say) -> Path:
    """Return the folder to work in, with what an equal conversion left there."""
    partial = output.with_name(output.name + ".partial")
    if partial.exists():
        if _read_json(partial / _PLAN_FILE) == plan:
            say(f"going on with the conversion that was stopped in {partial}")
            return partial
        if not (partial / _PLAN_FILE).is_file():
            raise UserError(f"{partial} is in the way and is no stopped conversion: move it")
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    _write_json(partial / _PLAN_FILE, plan)
    return partial


def _put_in_place(partial: Path, output: Path) -> None:
    (partial / _PLAN_FILE).unlink()
    aside = output.with_name(output.name + ".replaced")
    if output.exists():
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(output, aside)
    os.replace(partial, output)
    shutil.rmtree(aside, ignore_errors=True)


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _write_json(path: Path, value: dict) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value), encoding="utf-8")
    os.replace(partial, path)
