"""Measure bulk tagging against plain Keras: photos a second of both on the same photos, in one run.

python scripts/benchmark_predict.py --model models/fashion --run runs/efficientnetb0-first \\
    fashion-product-images-small.zip --output bulk.json

Plain Keras is what a notebook does: Pillow opens, converts and resizes each photo of the archive,
`numpy.stack` makes one array, `model.predict` classifies it. Bulk tagging is what
`fashion-keras predict --output` does, from the archive to the finished CSV. Neither the
start of TensorFlow nor loading the model is counted, and both have classified a batch before. They
take turns, so that other work on the machine slows both; the ratio of their medians is printed, of
photos a second and of this process's CPU time.

python scripts/benchmark_predict.py --model models/fashion --labels shop.zip

With --labels it is bulk tagging of all labels against that of the headline alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from scripting import PROCESSOR, script_parser, write_figures

from fashion_keras.commands import positive_int, run_command
from fashion_keras.quiet import load_tensorflow


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = script_parser(__doc__, figures=True)
    result.add_argument("archive", help="a zip of photos")
    against = result.add_mutually_exclusive_group(required=True)
    against.add_argument("--run", metavar="DIR", help="the trained run, for plain Keras")
    against.add_argument(
        "--labels", action="store_true", help="compare all labels with the headline alone"
    )
    result.add_argument(
        "--model", required=True, type=Path, metavar="DIR", help="what it was exported to"
    )
    result.add_argument("--photos", type=positive_int, default=1500, help="(default: 1500)")
    result.add_argument("--rounds", type=positive_int, default=3, help="of each (default: 3)")
    result.add_argument("--batch-size", type=positive_int, help="of bulk tagging (its own)")
    result.add_argument("--keras-batch-size", type=positive_int, default=32, help="(Keras's: 32)")
    return result


def plain_keras(run, options) -> list[str]:
    """Classify the archive's first photos as a notebook does; return the headline's classes."""
    import numpy as np
    from PIL import Image

    height, width = run.image_size
    pixels = []
    with zipfile.ZipFile(options.archive) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        for name in names[: options.photos]:
            with archive.open(name) as file:
                photo = Image.open(file).convert("RGB").resize((width, height))
            pixels.append(np.asarray(photo))
    logits = run.predictor.predict(np.stack(pixels), batch_size=options.keras_batch_size, verbose=0)
    classes = run.labels[run.label]
    return [classes[index] for index in logits[run.label].argmax(axis=1)]


def bulk_tagging(model, options) -> list[str]:
    """Tag the same photos with what the command is made of; return the headline's classes."""
    from fashion_keras.predict import BATCH_SIZE, IN_FLIGHT_HERE
    from fashion_keras.tagging.batches import classify_all
    from fashion_keras.tagging.prediction import table_row
    from fashion_keras.tagging.row_formats import Columns
    from fashion_keras.tagging.row_table import open_table
    from fashion_keras.tagging.sources import PhotoSource, batches

    found = []
    labels = [head.label for head in model.heads]
    with (
        tempfile.TemporaryDirectory() as folder,
        PhotoSource([options.archive]) as source,
        open_table(Path(folder) / "tags.csv", Columns(labels)) as table,
    ):
        photos = itertools.islice(source.photos(), options.photos)
        grouped = batches(photos, options.batch_size or BATCH_SIZE)
        for batch in classify_all(grouped, model, IN_FLIGHT_HERE):
            table.write(table_row(prediction, labels) for prediction in batch)
            found += [prediction.labels[labels[0]].classes[0] for prediction in batch]
    return found


def ways(options) -> dict[str, Callable[[], list[str]]]:
    """Return the two ways that are compared, by name; each classifies the photos."""
    from fashion_keras.run import load_run
    from fashion_keras.serving.layout import ModelInfo, find_version
    from fashion_keras.tagging.loading import load_local

    version = find_version(options.model, small=True)
    model = load_local(version)
    if options.labels:
        headline = load_local(version, [ModelInfo.load(version).label])
        return {
            "headline": lambda: bulk_tagging(headline, options),
            "all_labels": lambda: bulk_tagging(model, options),
        }
    run = load_run(options.run)
    return {
        "plain_keras": lambda: plain_keras(run, options),
        "bulk_tagging": lambda: bulk_tagging(model, options),
    }


def measure(options) -> dict:
    """Let both ways take turns; return the figures, the ratio of the second to the first."""
    from fashion_keras.serving.layout import ModelInfo, find_version

    compared = ways(options)
    rates, classes = {name: [] for name in compared}, {}
    cpu = {name: [] for name in compared}
    wanted, options.photos = options.photos, 2 * 64
    for classify in compared.values():
        classify()
    options.photos = wanted
    for turn in range(options.rounds):
        for name, classify in compared.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            classes[name] = classify()
            cpu[name].append(round(time.process_time() - cpu_start, 2))
            rates[name].append(round(len(classes[name]) / (time.perf_counter() - start), 1))
            print(f"round {turn + 1}: {name} {rates[name][-1]} photos/s", file=sys.stderr)
    image_size = ModelInfo.load(find_version(options.model, small=True)).image_size
    medians = {name: statistics.median(found) for name, found in rates.items()}
    first, second = medians.values()
    first_cpu, second_cpu = map(statistics.median, cpu.values())
    same = sum(map(str.__eq__, *classes.values()))
    return {
        "photos": len(classes[name]),
        "image_size": list(image_size),
        "photos_per_second": rates,
        "median_photos_per_second": medians,
        "ratio": round(second / first, 2),
        "cpu_seconds": cpu,
        "cpu_ratio": round(second_cpu / first_cpu, 2),
        "same_class": round(same / len(classes[name]), 4),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "cores": os.cpu_count(),
        "machine": PROCESSOR,
    }


def main() -> int:
    """Measure, print the figures as JSON, and write them where that is asked for."""
    return run_command(_main)


def _main(argv) -> None:
    options = parser().parse_args(argv)
    load_tensorflow()
    figures = {"command": f"python {' '.join(sys.argv)}", **measure(options)}
    print(json.dumps(figures, indent=1))
    if options.output:
        write_figures(options.output, figures)


if __name__ == "__main__":
    sys.exit(main())
