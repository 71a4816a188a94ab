"""A catalogue in, a folder of TFRecord shards with `dataset_info.json` out."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import posixpath
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fashion_keras.cluster.engine import Cluster
from fashion_keras.data import schema
from fashion_keras.data.archive import Archive, open_archive
from fashion_keras.data.catalog import UNREADABLE, Catalog, describe_labels, label_lines
from fashion_keras.data.catalog_reader import read_catalog
from fashion_keras.data.corrections import Corrections, apply_corrections, read_corrections
from fashion_keras.data.near_duplicates import (
    HashOrReason,
    collect_hashes,
    describe_groups,
    hash_photo,
    near_duplicate_groups,
)
from fashion_keras.data.photo import JPEG_QUALITY, PhotoInfo, stored_photo
from fashion_keras.data.photo_check import check_photos
from fashion_keras.data.product_groups import joined_groups
from fashion_keras.data.schema import SPLITS, DatasetInfo, SplitInfo
from fashion_keras.data.shard_writer import ShardWriter, map_photos, plan_shards
from fashion_keras.data.splits import (
    FRACTIONS,
    make_splits,
    named_split,
    published_split,
    split_by_time,
)
from fashion_keras.data.title_terms import normalised
from fashion_keras.data.work_folder import (
    REPORT_FILE,
    existing_records,
    put_in_place,
    work_folder,
)
from fashion_keras.errors import UserError
from fashion_keras.io import place, write_json
from fashion_keras.text import some

# Options that records of earlier versions did not have.
_LATER = (
    *("group_column", "merge_names", "text_columns"),
    *("split_column", "time_column", "group_titles"),
)
# How a catalogue is read.
_READ = (
    *("csv", "id_column", "image_column", "label_columns", "text_columns"),
    *("group_column", "split_column", "time_column", "merge_names"),
)
Progress = Callable[[str, int, int], None]
DEFAULT_LABEL = "subCategory"
_NO_TRAINING_LEFT = "--exclude leaves no product to train on: exclude fewer"


@dataclasses.dataclass(frozen=True)
class Request:
    """What to convert and how: the arguments of `fashion_keras.convert`.

    `shards` None is one for every 4,000 photos. The split is made before `exclude` and `relabel`
    are applied, so that every product that stays stays in its split.
    """

    source: str
    split: str | None = None
    split_label: str = DEFAULT_LABEL
    fractions: tuple[float, ...] = FRACTIONS
    seed: int = 0
    max_size: int = 320
    shards: int | None = None
    csv: str | None = None
    id_column: str | None = None
    image_column: str | None = None
    label_columns: tuple[str, ...] | None = None
    exclude: str | None = None
    relabel: str | None = None
    group_column: str | None = None
    merge_names: bool = False
    text_columns: tuple[str, ...] | None = None
    split_column: str | None = None
    time_column: str | None = None
    group_titles: bool = False


def convert(
    request: Request,
    output: str | os.PathLike,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = print,
) -> DatasetInfo:
    """Convert a catalogue into records at `output`.

    Works in `OUTPUT.partial`, where a conversion that was stopped is taken up again shard by
    shard, and renames it at the end. Records of the same source and options are left as they
    are; others are replaced only with `overwrite`. Photos are read and shards written by `workers`
    processes, or by the machines of `cluster`, which then see source and output. `progress` is
    called with a phase, photos done and photos in all. Raises `UserError` for what the user can
    mend.
    """
    output = Path(os.path.realpath(place(output)))  # what a link leads to is replaced, not the link
    workers = workers or os.cpu_count() or 1
    progress = progress or (lambda phase, done, total: None)
    with open_archive(request.source, leave_out=output) as archive:
        catalog = read_catalog(archive, **{name: getattr(request, name) for name in _READ})
        corrections = read_corrections(request.exclude, request.relabel, catalog.label_columns, say)
        plan = _plan(request, archive, corrections)
        existing = existing_records(output, plan, overwrite)
        if existing:
            say(f"{output} holds these records already: nothing to do")
            return existing
        if cluster:
            cluster.share(request.source)
        catalog, photos, splits, described = _check_and_split(
            request, catalog, archive, workers, cluster, progress, say
        )
        corrected: dict[str, Any] = {}
        if corrections:
            catalog, corrected = apply_corrections(catalog, corrections, say)
            splits = _remaining(splits, catalog, _NO_TRAINING_LEFT)
        report = {**corrected, **_describe(request, catalog, say)}
        with work_folder(output, plan, say, overwrite) as folder:
            words = vocabularies(catalog)
            shards, sizes, unreadable = _write_shards(
                request, catalog, words, archive, photos, splits, folder, workers, cluster, progress
            )
            if unreadable:
                catalog, splits = _leave_out(catalog, splits, unreadable, say)
                report |= _describe(request, catalog, lambda line: None)
            counts = {name: len(ids) for name, ids in splits.items()}
            write_json(
                folder / REPORT_FILE, {**catalog.report(), **report, "splits": counts}, indent=1
            )
            info = _info(request, catalog, words, splits, described, shards, sizes, plan)
            info.save(folder)
            put_in_place(folder, output)
    return info


def _check_and_split(request, catalog, archive, workers, cluster, progress, say):
    """Return the catalogue without unreadable photos, the others' facts, the splits, what they are.

    Splits are made before all photos are looked at, so that a wrong option is answered at once,
    and anew where photos were left out.
    """
    splits, described = _splits(catalog, request)
    count = len(catalog.products)
    catalog, photos = check_photos(
        catalog,
        archive,
        workers=workers,
        cluster=cluster,
        progress=lambda done: progress("checking photos", done, count),
    )
    say(catalog.summary())
    groups = None
    if request.split == "grouped":
        groups = _groups(catalog, archive, photos, request.max_size, workers, cluster, progress)
    if groups is not None or len(catalog.products) < count:
        splits, described = _splits(catalog, request, groups)
    say(_split_line(described))
    return catalog, photos, splits, described


def _describe(request, catalog, say) -> dict[str, Any]:
    """Say what a person must know of labels and texts; return the same for the report."""
    labels = describe_labels(catalog.label_columns, (p.labels for p in catalog.products))
    for line in label_lines(labels):
        say(line)
    texts = schema.text_keys(request.text_columns, catalog.layout)
    without = {k: sum(not p.text(k) for p in catalog.products) for k in texts}
    for column, count in without.items():
        say(f"text of {column}: {count:,} of {len(catalog.products):,} products have none")
    return {"labels": labels, **({"without_text": without} if request.text_columns else {})}


def _write_shards(
    request, catalog, words, archive, photos, splits, folder, workers, cluster, progress
):
    """Return what `ShardWriter.write` does of the shards of all splits."""
    writer = ShardWriter(
        archive=archive,
        products={product.id: product for product in catalog.products},
        photos=photos,
        vocabularies={k: {n: i for i, n in enumerate(v)} for k, v in words.items()},
        max_size=request.max_size,
        workers=workers,
        folder=folder,
        cluster=cluster,
    )
    parts = {
        name: plan_shards(name, ids, len(splits["train"]), request.shards)
        for name, ids in splits.items()
    }
    total = sum(len(ids) for ids in splits.values())
    return writer.write(parts, lambda done: progress("writing records", done, total))


def vocabularies(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Return each label's class names in code-point order, from all products of a catalogue."""
    return {
        label: tuple(
            sorted({name for p in catalog.products if (name := p.labels[label]) is not None})
        )
        for label in catalog.label_columns
    }


def _plan(request: Request, archive: Archive, corrections: Corrections) -> dict:
    """Return what decides the records' bytes: another plan makes other records."""
    options = json.loads(json.dumps(dataclasses.asdict(request)))
    for name in ("source", "exclude", "relabel"):
        options.pop(name)  # the same photos and corrections at another path are the same
    for name in _LATER:
        if not options[name]:
            options.pop(name)  # records made before there were such options are still the same
    if corrections:
        options["corrections"] = corrections.describe()
    plan = {
        "schema_version": schema.SCHEMA_VERSION if request.text_columns else 1,
        "fingerprint": archive.fingerprint(),
        "request": options,
    }
    if request.csv and not request.csv.lower().endswith(".csv"):
        # Of such a file the fingerprint of a folder knows the size alone.
        data = archive.read(posixpath.normpath(request.csv))
        plan["csv_sha256"] = hashlib.sha256(data).hexdigest()
    return plan


def _groups(catalog, archive, photos, max_size, workers, cluster, progress) -> dict[str, int]:
    """Return the near-duplicate group of each product that has one, by the photos as stored."""
    count = len(catalog.products)
    stored = ((p.id, p.photo, photos[p.id], max_size) for p in catalog.products)
    with contextlib.closing(map_photos(_hash, archive, stored, workers, cluster)) as results:
        hashes = collect_hashes(results, lambda done: progress("hashing photos", done, count))
    return near_duplicate_groups(
        hashes, progress=lambda done: progress("looking for near-duplicates", done, count)
    )


def _hash(archive: Archive, name: str, info: PhotoInfo, max_size: int) -> HashOrReason:
    # One that cannot be read is left out, and told of, where it is written.
    return hash_photo(stored_photo(archive.read(name), info, max_size)[0])


def _leave_out(catalog, splits, unreadable, say) -> tuple[Catalog, dict[str, list[str]]]:
    """Return catalogue and splits less photos that could not be written; the others stay put."""
    catalog = catalog.without_unreadable(unreadable)
    rows = catalog.left_out[-len(unreadable) :]
    shown = some([f"{row.id}: {row.detail}" for row in rows], between="; ")
    say(f"left out while writing: {len(rows):,} × {UNREADABLE} ({shown})")
    return catalog, _remaining(splits, catalog, "none of the training photos can be converted")


def _remaining(splits: dict[str, list[str]], catalog: Catalog, none: str) -> dict[str, list[str]]:
    """Return the splits less the products that are gone; `UserError` `none` if train is empty."""
    remaining = {product.id for product in catalog.products}
    splits = {name: [id for id in ids if id in remaining] for name, ids in splits.items()}
    if not splits["train"]:
        raise UserError(none)
    return splits


def _splits(
    catalog: Catalog, request: Request, groups: dict[str, int] | None = None
) -> tuple[dict[str, list[str]], dict]:
    """Return the ids of each split, and what `dataset_info.json` says of how they were made."""
    if request.split_column or request.time_column:
        return _splits_by_column(catalog, request)
    own = tuple(request.fractions) != FRACTIONS or request.seed != 0
    if request.split == "published" and own:
        raise UserError(
            "the published split has its own fractions and seed: leave out --fractions and "
            "--seed, or use --split stratified"
        )
    if request.group_titles and request.split == "published":
        raise UserError("--group-titles makes a split of its own: use --split stratified")
    if request.split == "published" or not (request.split or own or request.group_titles):
        try:
            splits = published_split(catalog)
        except UserError:
            if request.split:
                raise
        else:
            # A part of the published catalogue may hold no photo of its test split, as the 224
            # archive does: nobody wants that unless they ask for it.
            if request.split or all(splits.values()):
                return splits, {"strategy": "published"}
    label = request.split_label
    if label == DEFAULT_LABEL and label not in catalog.label_columns:
        label = catalog.label_columns[0]  # one's own labels: the first is the headline
    options: dict[str, Any] = {"label": label, "fractions": request.fractions, "seed": request.seed}
    strategy = request.split or "stratified"
    if request.group_titles:
        catalog = _grouped_by_title(catalog, request)
    splits = make_splits(catalog, strategy, **options, groups=groups)
    described = {"strategy": strategy, **options, "fractions": list(request.fractions)}
    if request.group_column:
        sizes = Counter(product.group for product in catalog.products if product.group)
        described["groups"] = {
            "column": request.group_column,
            "groups": len(sizes),
            "products": sizes.total(),
            "largest": max(sizes.values(), default=0),
        }
    if request.group_titles:
        described["group_titles"] = True
    if groups is not None:
        described["near_duplicates"] = describe_groups(groups)
    return splits, described


def _splits_by_column(catalog: Catalog, request: Request) -> tuple[dict[str, list[str]], dict]:
    if request.split or request.group_titles or (request.split_column and request.time_column):
        raise UserError("a column decides the split: leave out --split, --group-titles and others")
    if column := request.split_column:
        splits = named_split(catalog, column, request.seed)
        return splits, {"strategy": "column", "column": column}
    column = request.time_column
    assert column is not None
    splits, starts = split_by_time(catalog, column, request.fractions, request.seed)
    described: dict[str, Any] = {"strategy": "time", "column": column, "starts": starts}
    without = sum(not product.placed_by for product in catalog.products)
    return splits, described | ({"without": without} if without else {})


def _grouped_by_title(catalog: Catalog, request: Request) -> Catalog:
    """Put products whose text reads the same into one group, with those of their own group."""
    columns = list(schema.text_keys(request.text_columns, catalog.layout))
    if not columns:
        raise UserError("--group-titles: name the column of the title with --text-column NAME")
    said = {p.id: normalised(" ".join(map(p.text, columns))) for p in catalog.products}
    own = {p.id: p.group for p in catalog.products if p.group}
    groups = joined_groups({id: text for id, text in said.items() if text}, own)
    products = [
        dataclasses.replace(p, group=str(groups[p.id]) if p.id in groups else p.group)
        for p in catalog.products
    ]
    return dataclasses.replace(catalog, products=tuple(products))


def _split_line(described: dict) -> str:
    line = f"split: {described['strategy']}"
    if described["strategy"] in ("column", "time"):
        line += f" {described['column']}"
    if "starts" in described:
        line += ", validation from {}, test from {}".format(*described["starts"])
    if "without" in described:
        line += f"; {described['without']:,} products without it are in train"
    if described.get("group_titles"):
        line += ", products of one title in one split"
    if "groups" in described:
        found = described["groups"]
        line += (
            f", {found['groups']:,} groups of {found['column']} ({found['products']:,} photos, "
            f"the largest {found['largest']:,}), none in two splits"
        )
    return line


def _info(request, catalog, words, splits, described, shards, sizes, plan) -> DatasetInfo:
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
        split=described,
        settings={"max_size": request.max_size, "jpeg_quality": JPEG_QUALITY},
        left_out=left_out,
        texts=schema.text_keys(request.text_columns, catalog.layout),
    )
