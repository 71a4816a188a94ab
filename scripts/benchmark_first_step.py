"""Measure what the first training step takes, where its variables exist before and where not.

python scripts/benchmark_first_step.py --arch resnet18 efficientnetb0 --output first_step.json

The first step is all that differs: TensorFlow traces it, and traces it again if it has created
variables (`fashion_keras/training/stages.py`). Each is a new model on a batch of two photos
of noise; both CPU time, which other work on the machine disturbs least, and the clock's.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

from scripting import PROCESSOR, script_parser, write_figures

from fashion_keras.commands import run_command
from fashion_keras.config import OptimizerConfig
from fashion_keras.models.registry import ARCHITECTURES
from fashion_keras.quiet import load_tensorflow

HEADS = {"subCategory": 45, "articleType": 143, "gender": 5}


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = script_parser(__doc__, figures=True)
    result.add_argument(
        "--arch",
        nargs="+",
        choices=sorted(ARCHITECTURES),
        default=["resnet18", "efficientnetb0"],
        help="architectures to measure (default: resnet18 efficientnetb0)",
    )
    return result


def first_step(arch: str, *, created: bool) -> dict[str, float]:
    """Return the seconds of the first step of `fit`: the processor's and the clock's."""
    import tensorflow as tf

    from fashion_keras.models.accelerate.kernels import use_fast_kernels
    from fashion_keras.models.classifier import build_classifier
    from fashion_keras.training.losses import HeadLoss
    from fashion_keras.training.optimizer import build_optimizer, create_variables, jit_compile

    model = build_classifier(arch, (80, 60), HEADS)
    use_fast_kernels(model)
    model.compile(
        build_optimizer(OptimizerConfig(), 1e-3, 100, 1),
        loss={name: HeadLoss(name=f"{name}_loss") for name in HEADS},
        jit_compile=jit_compile(),
    )
    images = tf.random.stateless_uniform([2, 80, 60, 3], [1, 2], 0, 255)
    targets = {name: tf.one_hot([0, 1], size) for name, size in HEADS.items()}
    data = tf.data.Dataset.from_tensors((images, targets))
    processor, clock = time.process_time(), time.perf_counter()
    if created:
        create_variables(model)
    model.fit(data, verbose=0)
    return {
        "cpu_seconds": round(time.process_time() - processor, 2),
        "seconds": round(time.perf_counter() - clock, 2),
    }


def warm_up() -> None:
    """Let TensorFlow start its threads, which the first that is measured would pay for."""
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("adamw", "mse", jit_compile=False)
    model.fit(keras.ops.zeros((2, 4)), keras.ops.zeros((2, 2)), verbose=0)


def benchmark(argv) -> None:
    """Measure, print a table, and write the figures."""
    options = parser().parse_args(argv)
    load_tensorflow()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it counts the tracing of all models
    warm_up()
    figures = {
        "cpu_cores": os.cpu_count(),
        "machine": PROCESSOR,
        "first_step": {},
    }
    print(f"{'seconds, processor / clock':<28}{'traced twice':>16}{'traced once':>16}{'ratio':>8}")
    for arch in options.arch:
        measured = {
            "traced_twice": first_step(arch, created=False),
            "traced_once": first_step(arch, created=True),
        }
        twice, once = measured.values()
        ratio = twice["cpu_seconds"] / once["cpu_seconds"]
        figures["first_step"][arch] = {**measured, "ratio": round(ratio, 2)}
        columns = [f"{m['cpu_seconds']:.1f} / {m['seconds']:.1f}" for m in (twice, once)]
        print(f"{arch:<28}{columns[0]:>16}{columns[1]:>16}{ratio:>8.2f}", flush=True)
    if options.output:
        write_figures(options.output, figures)


if __name__ == "__main__":
    sys.exit(run_command(benchmark))
