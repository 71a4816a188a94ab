"""Measure a whole conversion against one Python thread that unzips and decodes every photo.

python scripts/benchmark_conversion.py fashion-product-images-small.zip --output conversion.json

Both run in processes of their own, in turns, and are timed from start to end; the ratio is that
of the fastest of each. On a busy machine both are slower, and the ratio less so than either.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from scripting import script_parser

from fashion_keras.commands import run_command
from fashion_keras.errors import UserError
from fashion_keras.io import write_json

_ENDINGS = (".jpg", ".jpeg", ".png")


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = script_parser(__doc__, figures=True)
    result.add_argument(
        "archive",
        nargs="?",
        default=os.environ.get("FASHION_KERAS_ARCHIVE"),
        help="the Kaggle .zip (default: FASHION_KERAS_ARCHIVE)",
    )
    result.add_argument("--workers", type=int, default=2, metavar="N", help="(default: 2)")
    result.add_argument("--repeats", type=int, default=3, metavar="N", help="(default: 3)")
    return result


def decode_all(archive: str) -> None:
    """Unzip and decode every photo, as one thread does it with zipfile and Pillow."""
    from PIL import Image

    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            if name.lower().endswith(_ENDINGS):
                with Image.open(io.BytesIO(file.read(name))) as image:
                    image.load()


def convert_all(archive: str, workers: int) -> None:
    """Convert the archive into records that are thrown away."""
    from fashion_keras.data.conversion import Request, convert

    with tempfile.TemporaryDirectory() as folder:
        convert(Request(archive), Path(folder) / "records", workers=workers, say=lambda line: None)


def timed(function, *arguments) -> dict[str, float]:
    """Run a function in a new process; return the seconds it took, on the clock and of CPU."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    cpu, start = _children(), time.perf_counter()
    process.start()
    process.join()
    if process.exitcode:
        raise UserError(f"{function.__name__} failed: see above")
    return {"seconds": time.perf_counter() - start, "cpu_seconds": _children() - cpu}


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def benchmark(argv) -> None:
    """Measure, print and write the figures."""
    options = parser().parse_args(argv)
    if not options.archive or not zipfile.is_zipfile(options.archive):
        raise UserError("give the archive, a .zip, or set FASHION_KERAS_ARCHIVE")
    runs = {"one_thread": [], "conversion": []}
    for _ in range(options.repeats):
        runs["one_thread"].append(timed(decode_all, options.archive))
        runs["conversion"].append(timed(convert_all, options.archive, options.workers))
        for name, found in runs.items():
            print(f"{name}: {found[-1]['seconds']:.1f} s, {found[-1]['cpu_seconds']:.1f} s of CPU")
    fastest = {name: min(run["seconds"] for run in found) for name, found in runs.items()}
    ratio = fastest["conversion"] / fastest["one_thread"]
    print(
        f"conversion with {options.workers} workers {fastest['conversion']:.1f} s, one thread that "
        f"unzips and decodes every photo {fastest['one_thread']:.1f} s: ratio {ratio:.2f}"
    )
    if options.output:
        machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
        write_json(
            options.output,
            {"machine": machine, "workers": options.workers, "ratio": round(ratio, 3), **runs},
        )


if __name__ == "__main__":
    sys.exit(run_command(benchmark))
