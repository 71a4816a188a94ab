"""Measure how many photos a second the input pipeline delivers, and ResNet18 training consumes.

python scripts/benchmark_input_pipeline.py --data tfrecords/small --output pipeline.json

One run on one machine measures training on a batch that is in memory already, and then, for
each augmentation, the pipeline alone: cold (the first epoch: shards read, photos decoded and
kept) and cached (the next one). The ratio says how far the pipeline is from holding training up;
on a busy machine all of them fall, and the ratio less than they do. The processor's time a photo,
of all cores, hardly changes there: two versions of the code are compared by that.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from scripting import PROCESSOR, script_parser, write_figures

from fashion_keras.commands import run_command
from fashion_keras.quiet import load_tensorflow

AUGMENTATIONS = ("none", "light", "rand-augment")
LABEL = "subCategory"


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = script_parser(__doc__, figures=True)
    result.add_argument("--data", metavar="DIR", default="tfrecords/small", help="records")
    result.add_argument("--label", default=LABEL, metavar="NAME", help=f"(default: {LABEL})")
    result.add_argument(
        "--image-size", type=int, nargs=2, default=(80, 60), metavar=("H", "W"), help="in pixels"
    )
    result.add_argument("--batch-size", type=int, default=64, metavar="N", help="(default: 64)")
    result.add_argument(
        "--steps",
        type=int,
        default=20,
        metavar="N",
        help="training steps measured; of a pipeline ten times as many (default: 20)",
    )
    result.add_argument(
        "--augment",
        nargs="+",
        choices=AUGMENTATIONS,
        default=list(AUGMENTATIONS),
        help="policies to measure (default: all)",
    )
    return result


def training_rate(options, num_classes: int) -> float:
    """Return the photos a second that ResNet18 trains on, from one batch in memory."""
    import keras
    import tensorflow as tf

    from fashion_keras.config import OptimizerConfig
    from fashion_keras.models.accelerate.kernels import use_fast_kernels
    from fashion_keras.models.classifier import build_classifier
    from fashion_keras.training.optimizer import build_optimizer

    size, batch = tuple(options.image_size), options.batch_size
    model = build_classifier("resnet18", size, {options.label: num_classes})
    use_fast_kernels(model)
    model.compile(
        build_optimizer(OptimizerConfig(), 1e-3, 100, 1),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        jit_compile="auto" if tf.config.list_physical_devices("GPU") else False,
    )
    images = tf.random.stateless_uniform([batch, *size, 3], [1, 2], 0, 255)
    labels = tf.one_hot(tf.range(batch) % num_classes, num_classes)
    data = tf.data.Dataset.from_tensors((images, {options.label: labels})).repeat()
    model.fit(data, steps_per_epoch=3, shuffle=False, verbose=0)  # traces, and fills the caches
    start = time.perf_counter()
    model.fit(data, steps_per_epoch=options.steps, shuffle=False, verbose=0)
    return options.steps * batch / (time.perf_counter() - start)


def pipeline_rates(options, augment: str, num_examples: int) -> dict[str, float]:
    """Return the photos a second of the pipeline alone, in the first epoch and in the second.

    The first is measured whole, since reading and decoding come before its first batch. `cpu` is
    the processor's time a photo in the second, in microseconds.
    """
    from fashion_keras.data.pipeline import Augmentation, make_dataset, steps_per_epoch

    epoch = steps_per_epoch(num_examples, options.batch_size)
    dataset = make_dataset(
        options.data,
        "train",
        options.label,
        tuple(options.image_size),
        options.batch_size,
        training=True,
        epochs=2,
        stream=True,
        augmentation=Augmentation(augment),
    )
    start = time.perf_counter()
    batches = iter(dataset)
    for _ in range(epoch):
        next(batches)
    cold = time.perf_counter() - start
    # Batches that were prepared ahead are not the second epoch's speed.
    warm_up = max(1, min(epoch // 2, 2 * options.steps))
    for _ in range(warm_up):
        next(batches)
    steps = max(1, min(epoch - warm_up, 10 * options.steps))
    start, start_cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        next(batches)
    cached, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    photos = steps * min(options.batch_size, num_examples)
    return {
        "cold": epoch * min(options.batch_size, num_examples) / cold,
        "cached": photos / cached,
        "cpu": cpu / photos * 1e6,
    }


def benchmark(argv) -> None:
    """Measure, print a table, and write the figures."""
    from fashion_keras.data.schema import DatasetInfo
    from fashion_keras.errors import UserError

    options = parser().parse_args(argv)
    if min(options.steps, options.batch_size, *options.image_size) < 1:
        raise UserError("--steps, --batch-size and --image-size: expected at least 1")
    info = DatasetInfo.load(options.data)
    num_classes = len(info.vocabulary(options.label))
    info.shard_paths(options.data, "train")
    load_tensorflow()

    training = training_rate(options, num_classes)
    height, width = options.image_size
    print(f"{height}×{width} pixels, batches of {options.batch_size}, {os.cpu_count()} CPU cores")
    print(f"{'':26}{'photos/s':>10}{'ratio':>9}")
    print(f"{'ResNet18 training':26}{training:>10,.0f}{1:>9.1f}", flush=True)
    pipelines = {}
    for augment in options.augment:
        rates = pipeline_rates(options, augment, info.splits["train"].num_examples)
        cpu = rates.pop("cpu")
        pipelines[augment] = {
            "cpu_microseconds_per_photo": round(cpu, 1),
            **{
                state: {"photos_per_second": round(rate, 1), "ratio": round(rate / training, 2)}
                for state, rate in rates.items()
            },
        }
        for state, rate in rates.items():
            name = f"pipeline, {augment}, {state}"
            print(f"{name:30}{rate:>6,.0f}{rate / training:>9.1f}", flush=True)
        print(f"{f'processor, {augment}, cached':26}{cpu:>10,.1f} µs a photo", flush=True)
    if options.output:
        figures = {
            "image_size": list(options.image_size),
            "batch_size": options.batch_size,
            "cpu_cores": os.cpu_count(),
            "machine": PROCESSOR,
            "training_photos_per_second": round(training, 1),
            "pipeline": pipelines,
        }
        write_figures(options.output, figures)


if __name__ == "__main__":
    sys.exit(run_command(benchmark))
