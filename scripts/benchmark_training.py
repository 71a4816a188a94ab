"""Measure training photos a second: each architecture, by its kernels and its precision.

python scripts/benchmark_training.py --output docs/results/benchmarks/training.json

One run on one machine; the variants take turns step by step, so that what else the machine does
falls on all of them alike. The batch is in memory: this is the model alone.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import sys
import time
from pathlib import Path

from scripting import script_parser, write_figures

from fashion_keras.commands import run_command
from fashion_keras.models.registry import ARCHITECTURES, check_arch

# Whether the fast kernels (optimizer included), and in which precision.
VARIANTS = {
    "plain": (False, "float32"),
    "fast": (True, "float32"),
    "plain bfloat16": (False, "mixed_bfloat16"),
    "fast bfloat16": (True, "mixed_bfloat16"),
}
LABELS = {"subCategory": 45, "articleType": 143}


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = script_parser(__doc__, figures=True)
    result.add_argument("--arch", nargs="+", default=list(ARCHITECTURES), metavar="NAME")
    result.add_argument("--image-size", type=int, nargs=2, default=(80, 60), metavar=("H", "W"))
    result.add_argument("--batch-size", type=int, default=64, metavar="N")
    result.add_argument("--steps", type=int, default=8, metavar="N", help="measured (default: 8)")
    return result


def build(arch: str, image_size: tuple[int, int], fast: bool, precision: str):
    """Return a compiled model, with or without the fast kernels, in a Keras dtype policy."""
    import keras

    from fashion_keras.config import OptimizerConfig
    from fashion_keras.models.accelerate.kernels import use_fast_kernels
    from fashion_keras.models.classifier import build_classifier
    from fashion_keras.training.losses import HeadLoss
    from fashion_keras.training.optimizer import build_optimizer

    keras.mixed_precision.set_global_policy(precision)
    model = build_classifier(arch, image_size, LABELS)
    if fast:
        use_fast_kernels(model)
    optimizer = build_optimizer(OptimizerConfig(), 1e-3, 100, 1)
    if not fast:  # back to the method of its class
        del optimizer.update_step
    model.compile(
        optimizer,
        loss={name: HeadLoss() for name in LABELS},
        jit_compile="auto" if keras.backend.backend() != "tensorflow" else False,
    )
    return model


def measure(options) -> dict:
    """Return seconds and CPU seconds a step, medians, of each variant."""
    import numpy as np

    rng = np.random.default_rng(0)
    size, batch = tuple(options.image_size), options.batch_size
    photos = rng.integers(0, 256, (batch, *size, 3)).astype("uint8")
    truth = {k: np.eye(c, dtype="float32")[rng.integers(0, c, batch)] for k, c in LABELS.items()}
    results = {}
    for arch in options.arch:
        models = {name: build(arch, size, *variant) for name, variant in VARIANTS.items()}
        for model in models.values():
            for _ in range(2):
                model.train_on_batch(photos, truth)
        times = {name: [] for name in models}
        for _ in range(options.steps):
            for name, model in models.items():
                wall, cpu = time.perf_counter(), _cpu_seconds()
                model.train_on_batch(photos, truth)
                times[name].append((time.perf_counter() - wall, _cpu_seconds() - cpu))
        results[arch] = {
            name: {
                "seconds": statistics.median(wall for wall, _ in steps),
                "cpu_seconds": statistics.median(cpu for _, cpu in steps),
            }
            for name, steps in times.items()
        }
    return results


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def benchmark(argv=None) -> None:
    """Parse `argv`, measure, print a table and write the figures."""
    options = parser().parse_args(argv)
    for arch in options.arch:
        check_arch(arch)
    from fashion_keras.quiet import load_tensorflow

    load_tensorflow()
    results = measure(options)
    print(f"{'':<18}{'variant':<16}{'photos/s':>10}{'CPU s/step':>12}")
    for arch, variants in results.items():
        for name, times in variants.items():
            rate = options.batch_size / times["seconds"]
            print(f"{arch:<18}{name:<16}{rate:>10.1f}{times['cpu_seconds']:>12.2f}")
        ratios = {
            name: variants[name]["cpu_seconds"] / variants["fast"]["cpu_seconds"]
            for name in VARIANTS
            if name != "fast"
        }
        for name, ratio in ratios.items():
            print(f"{arch:<18}{name} takes {ratio:.2f} times the CPU time of fast")
        variants["ratios_of_cpu_seconds"] = ratios
    if options.output:
        report = {
            "command": "python scripts/benchmark_training.py",
            "machine": {"cores": os.cpu_count(), "processor": _processor()},
            "batch_size": options.batch_size,
            "image_size": list(options.image_size),
            "steps": options.steps,
            "results": results,
        }
        write_figures(options.output, report)
        print(f"written to {options.output}")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if os.name == "posix" else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main(argv=None) -> int:
    """Run the command; return its exit code."""
    return run_command(benchmark, argv)


if __name__ == "__main__":
    sys.exit(main())
