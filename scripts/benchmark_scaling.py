"""Measure time and memory of each step on data as a catalogue grows, and with more workers.

python scripts/benchmark_scaling.py --rows 10000 100000 1000000 --output growth.csv
python scripts/benchmark_scaling.py --steps convert predict --rows 20000 --workers 1 2 4
python scripts/benchmark_scaling.py --steps convert predict --rows 20000 --workers 1 2 4 --engine

The catalogue is made up: products with a title each and a photo each, which is one of 2,000 drawn
ones (a hard link). Every step runs in a process of its own; a row of the CSV has its seconds by the
clock and of CPU, and the most memory that it and the processes it started had together: `pss_mib`
counts a page that several share once, `rss_mib` in each of them.

`--workers` are the processes that read photos in `convert`; `predict` runs so many times at once,
each on its part of the rows, as one would do it by hand. With `--engine` both are given to Ray, by
`--cluster local[N]`.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from scripting import script_parser

from fashion_keras.commands import positive_int, run_command
from fashion_keras.errors import UserError

PHOTOS = 2_000  # drawn; a file may have 65,000 names
A_FOLDER = 1_000  # products
COLUMNS = (
    "step",
    "rows",
    "workers",
    "engine",
    "seconds",
    "cpu_seconds",
    "rss_mib",
    "pss_mib",
    "load",
)
COLUMNS_OF_CSV = ("--csv", "products.csv", "--id-column", "sku", "--image-column", "photo")
KEPT = ("--label-column", "subCategory", "--label-column", "articleType", "--text-column", "title")
WORDS = ("classic", "slim", "summer", "party", "sport", "daily", "soft", "long", "city", "light")


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = script_parser(__doc__)
    result.add_argument("--rows", type=positive_int, nargs="+", default=[10_000], metavar="N")
    result.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    result.add_argument("--workers", type=positive_int, nargs="+", default=[2], metavar="N")
    result.add_argument("--engine", action="store_true", help="convert and predict by Ray")
    result.add_argument("--output", type=Path, metavar="FILE", help="append the figures to a CSV")
    result.add_argument("--work", type=Path, metavar="DIR", help="keep the catalogues there")
    result.add_argument(
        "--one", nargs=4, metavar=("STEP", "FOLDER", "WORKERS", "ENGINE"), help="(internal)"
    )
    return result


def make_catalogue(folder: Path, rows: int) -> None:
    """Make up `products.csv` and the photos of so many products, unless they are there."""
    if (folder / "products.csv").is_file():
        return
    from fashion_keras.data.sample import draw_sample

    sample = draw_sample(folder.parent / "sample", count=PHOTOS)
    with open(sample / "styles.csv", encoding="utf-8") as file:
        lines = [line.rstrip("\n").split(",", 9) for line in list(file)[1:]]
    drawn = [line for line in lines if (sample / f"images/{line[0]}.jpg").is_file()]
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(drawn), rows).tolist()
    said = rng.integers(0, len(WORDS), (rows, 3)).tolist()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "products.partial", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("sku", "photo", "title", "subCategory", "articleType", "brand"))
        for number in range(rows):
            id, _, _, sub_category, article_type, *_, name = drawn[chosen[number]]
            photo = f"photos/{number // A_FOLDER:04d}/{number}.jpg"
            (folder / photo).parent.mkdir(parents=True, exist_ok=True)
            (folder / photo).hardlink_to(sample / f"images/{id}.jpg")
            title = " ".join([name, *(WORDS[i] for i in said[number])])
            brand = f"brand {number % (rows // 5)}"
            table.writerow((f"P{number}", photo, title, sub_category, article_type, brand))
    (folder / "products.partial").rename(folder / "products.csv")


def _catalog(folder: Path):
    from fashion_keras.data.archive import open_archive
    from fashion_keras.data.catalog_reader import read_catalog

    with open_archive(folder) as archive:
        return read_catalog(
            archive,
            csv="products.csv",
            id_column="sku",
            image_column="photo",
            label_columns=["subCategory", "articleType"],
            text_columns=["title"],
        )


def read(folder: Path, workers: int, engine: bool) -> None:
    """Read the catalogue."""
    _catalog(folder)


def stratified(folder: Path, workers: int, engine: bool) -> None:
    """Read the catalogue and split it by its classes."""
    from fashion_keras.data.splits import make_splits

    make_splits(_catalog(folder), "stratified")


def grouped(folder: Path, workers: int, engine: bool) -> None:
    """Read the catalogue and split it by its classes and groups of five products."""
    from fashion_keras.data.splits import make_splits

    catalog = _catalog(folder)
    groups = {product.id: int(product.id[1:]) // 5 for product in catalog.products}
    make_splits(catalog, "grouped", groups=groups)


def pairs(folder: Path, workers: int, engine: bool) -> None:
    """Find near-duplicates among as many made-up hashes, whose bits are as those of photos.

    A tenth are near-duplicates of another, and 1% are a placeholder.
    """
    from fashion_keras.data.near_duplicates import PhotoHashes, find_pairs, hash_photos

    photos = sorted((folder.parent / "sample/images").glob("*.jpg"))
    drawn = hash_photos((path.name, path.read_bytes()) for path in photos)
    with open(folder / "products.csv", encoding="utf-8") as file:
        rows = sum(1 for _ in file) - 1
    rng = np.random.default_rng(0)
    # As one of the photos, but for the quarter of the bits that tells its fellows apart.
    base = rng.integers(0, len(drawn.ids), rows)
    hashes = drawn.hashes[base]
    for _ in range(2):
        noise = rng.integers(0, 2**64, hashes.shape, np.uint64)
        hashes ^= noise & rng.integers(0, 2**64, hashes.shape, np.uint64) & ~hashes
    copies = rng.choice(rows, rows // 10, replace=False)
    hashes[copies] = hashes[rng.integers(0, rows, len(copies))]
    hashes[copies, 0] ^= np.uint64(1) << rng.integers(0, 64, len(copies)).astype(np.uint64)
    placeholder = rng.choice(rows, rows // 100, replace=False)
    hashes[placeholder] = hashes[0]
    digests = np.arange(rows)
    digests[placeholder] = -1
    names = tuple(map(str, digests.tolist()))
    thumbnails = np.full((rows, 24, 24, 3), 200, np.uint8)
    found = find_pairs(PhotoHashes(names, hashes, thumbnails, names, names), workers=workers)
    print(f"{len(found):,} pairs")


def convert(folder: Path, workers: int, engine: bool, split: str = "stratified") -> None:
    """Convert the catalogue."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as output:
        records = Path(output) / "records"
        if engine:
            arguments = ("--source", folder, *COLUMNS_OF_CSV, *KEPT, "--split", split)
            _wait(_start("convert", *arguments, "--output", records, *_cluster(workers)))
            return
        from fashion_keras.data.conversion import Request
        from fashion_keras.data.conversion import convert as run

        columns = {"csv": "products.csv", "id_column": "sku", "image_column": "photo"}
        labels, texts = ("subCategory", "articleType"), ("title",)
        request = Request(
            str(folder), split=split, **columns, label_columns=labels, text_columns=texts
        )
        run(request, records, workers=workers)


def convert_grouped(folder: Path, workers: int, engine: bool) -> None:
    """Convert the catalogue with near-duplicates in one split."""
    convert(folder, workers, engine, "grouped")


def predict(folder: Path, workers: int, engine: bool) -> None:
    """Tag the products by their photos."""
    _predict(folder, workers, engine, "--path-column", "photo", "--path-root", folder)


def predict_titles(folder: Path, workers: int, engine: bool) -> None:
    """Tag the products by their titles alone."""
    _predict(folder, workers, engine, "--title-column", "title", "--batch-size", 256)


def _predict(folder: Path, workers: int, engine: bool, *options: object) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as output:
        tables = [folder / "products.csv"]
        if workers > 1 and not engine:
            header, *lines = tables[0].read_text(encoding="utf-8").splitlines(keepends=True)
            tables = [Path(output) / f"products-{part}.csv" for part in range(workers)]
            for part, table in enumerate(tables):
                table.write_text("".join([header, *lines[part::workers]]), encoding="utf-8")
        options = ("--id-column", "sku", *options, *(_cluster(workers) if engine else ()))
        _wait(
            *(
                _start("predict", table, *options, "--output", Path(output) / f"tags-{part}.csv")
                for part, table in enumerate(tables)
            )
        )


def _cluster(workers: int) -> tuple[str, str]:
    return "--cluster", f"local[{workers}]"


def _start(*arguments: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "fashion_keras", *map(str, arguments)])


def _wait(*processes: subprocess.Popen) -> None:
    if any([process.wait() for process in processes]):
        raise UserError("a command failed: see above")


STEPS = {
    "read": read,
    "stratified": stratified,
    "grouped": grouped,
    "pairs": pairs,
    "convert": convert,
    "convert-grouped": convert_grouped,
    "predict-titles": predict_titles,
    "predict": predict,
}


def measured(step: str, folder: Path, rows: int, workers: int, engine: bool) -> dict:
    """Run a step in a process of its own; return its row of the CSV."""
    load, start = os.getloadavg()[0], time.perf_counter()
    command = [sys.executable, __file__, "--one", step, str(folder), str(workers), "ray" * engine]
    process = subprocess.Popen(command)
    peak = {"rss": 0, "pss": 0}
    ended = threading.Event()

    def watch():
        while not ended.wait(1):  # to add up the pages of a process takes time
            now = _memory(process.pid)
            peak.update({kind: max(peak[kind], now[kind]) for kind in peak})

    threading.Thread(target=watch, daemon=True).start()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    ended.set()
    if process.returncode:
        raise UserError(f"{step} of {rows:,} rows failed: see above")
    figures = (
        *(step, rows, workers, "ray" * engine, round(time.perf_counter() - start, 1)),
        *(round(usage.ru_utime + usage.ru_stime, 1), peak["rss"] >> 10, peak["pss"] >> 10),
        round(load, 1),
    )
    return dict(zip(COLUMNS, figures, strict=True))


def _memory(pid: int) -> dict[str, int]:
    """Return KiB of a process and all below it: `rss`, and `pss`, shared pages once."""
    total = {"rss": 0, "pss": 0}
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has just ended
        return total
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() in total:
            total[name.lower()] += int(value.split()[0])
    for child in children:
        below = _memory(int(child))
        total = {kind: total[kind] + below[kind] for kind in total}
    return total


def benchmark(argv=None) -> None:
    """Measure, print and write the figures."""
    options = parser().parse_args(argv)
    if options.one:
        step, folder, workers, engine = options.one
        STEPS[step](Path(folder), int(workers), bool(engine))
        return
    work = options.work or Path(tempfile.mkdtemp(prefix="scaling-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        for rows in options.rows:
            make_catalogue(work / f"shop-{rows}", rows)
            for step in options.steps:
                for workers in options.workers:
                    row = measured(step, work / f"shop-{rows}", rows, workers, options.engine)
                    print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
                    if options.output:
                        _append(options.output, row)
    finally:
        if not options.work:
            shutil.rmtree(work)


def _append(path: Path, row: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with open(path, "a", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            table.writeheader()
        table.writerow(row)


if __name__ == "__main__":
    sys.exit(run_command(benchmark))
