"""Measure what a training step costs when several devices of the CPU share its batch.

python scripts/benchmark_devices.py --output docs/results/benchmarks/devices.json

One CPU cannot get faster by it: what is measured is what sharing costs beside the step itself. Each
number of devices has a process of its own, on noise. CPU time is what other work on the machine
disturbs least; the clock's is written too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from scripting import PROCESSOR, script_parser, write_figures

from fashion_keras.commands import run_command
from fashion_keras.quiet import load_tensorflow


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = script_parser(__doc__, figures=True)
    result.add_argument("--arch", default="resnet18", help="architecture (default: resnet18)")
    result.add_argument("--steps", type=int, default=8, help="steps that are measured (default: 8)")
    result.add_argument("--batch-size", type=int, default=64, help="photos a step (default: 64)")
    result.add_argument("--devices", nargs="+", default=["1", "cpu:2", "cpu:4"])
    result.add_argument("--backends", nargs="+", default=["tensorflow", "jax"])
    result.add_argument("--only", metavar="DEVICES", help=argparse.SUPPRESS)
    return result


def measured(arch: str, devices: str, batch_size: int, steps: int) -> dict[str, float]:
    """Return the seconds of a step on so many devices: the processor's and the clock's."""
    tf = load_tensorflow()
    import keras

    from fashion_keras.config import OptimizerConfig
    from fashion_keras.models.classifier import build_classifier
    from fashion_keras.training.distribution import parse_devices, start
    from fashion_keras.training.losses import HeadLoss
    from fashion_keras.training.optimizer import (
        accelerated,
        build_optimizer,
        create_variables,
        jit_compile,
    )

    class Clock(keras.callbacks.Callback):
        """Look at both clocks where an epoch begins and ends."""

        def on_epoch_begin(self, epoch, logs=None):
            """Start."""
            self.began = time.process_time(), time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            """Keep the last epoch's."""
            self.cpu = (time.process_time() - self.began[0]) / steps
            self.clock = (time.perf_counter() - self.began[1]) / steps

    shared, clock = start(parse_devices(devices)), Clock()
    images = tf.random.stateless_uniform([batch_size, 80, 60, 3], [1, 2], 0, 255)
    truth = {"subCategory": tf.one_hot(tf.range(batch_size) % 45, 45)}
    batches = tf.data.Dataset.from_tensors((images, truth)).repeat()
    with shared.running():
        with shared.scope():
            model = build_classifier(arch, (80, 60), {"subCategory": 45})
            accelerated(model)
            shared.adapt_model(model)
            model.compile(
                build_optimizer(OptimizerConfig(), 1e-3, 100, 1),
                loss={"subCategory": HeadLoss(0.1)},
                jit_compile=jit_compile(shared.replicas),
            )
            create_variables(model)
        shared.adapt_optimizer(model)
        model.fit(
            shared.spread(batches),
            epochs=2,
            steps_per_epoch=steps,
            callbacks=[clock],
            shuffle=False,
            verbose=0,
        )
    return {"cpu_seconds_a_step": round(clock.cpu, 4), "seconds_a_step": round(clock.clock, 4)}


def _command(argv) -> None:
    options = parser().parse_args(argv)
    if options.only:
        print(json.dumps(measured(options.arch, options.only, options.batch_size, options.steps)))
        return
    rows: list[dict] = []
    given = sys.argv[1:] if argv is None else argv
    for backend in options.backends:
        for devices in options.devices:
            ended = subprocess.run(
                [sys.executable, __file__, *given, "--only", devices],
                env={**os.environ, "KERAS_BACKEND": backend},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            rows.append({"backend": backend, "devices": devices, **json.loads(ended.stdout)})
            first = next(row for row in rows if row["backend"] == backend)
            ratio = rows[-1]["cpu_seconds_a_step"] / first["cpu_seconds_a_step"]
            rows[-1]["cpu_ratio"] = round(ratio, 2)
            print(rows[-1], flush=True)
    if options.output:
        about = {"arch": options.arch, "batch_size": options.batch_size, "steps": options.steps}
        about |= {"processor": PROCESSOR, "cores": os.cpu_count()}
        write_figures(options.output, {**about, "rows": rows})


if __name__ == "__main__":
    sys.exit(run_command(_command))
