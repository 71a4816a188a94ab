"""A run and its records in; whether its SavedModel answers as evaluation does, out.

Exports the run, has the SavedModel classify photos of a split from the bytes in the records, and
compares with the evaluation's pipeline on the same photos. Then damages the photos in several ways
and counts how many of them the SavedModel says it cannot decode. Ends with 1 where a probability
differs by more than 1e-5, a class differs, or a good photo beside a damaged one is refused.

python scripts/check_serving.py --model runs/efficientnetb0-1 --data tfrecords/small
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from scripting import script_parser

from fashion_keras.data.pipeline import make_dataset
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.tfrecord import read_records
from fashion_keras.run import load_run
from fashion_keras.serving.savedmodel import export_saved_model

TOLERANCE = 1e-5


def main() -> int:
    """Export, compare, print the figures as JSON; return the exit code."""
    options = parser().parse_args()
    run = load_run(options.model)
    info = DatasetInfo.load(options.data)
    labels = list(run.labels)
    records = read_records(options.data, info, options.split, labels, parallel_reads=1)
    encoded = [product["encoded"].numpy() for product in records.take(options.photos)]
    evaluated = _evaluated(run, options, len(encoded))
    with tempfile.TemporaryDirectory() as folder:
        path = export_saved_model(run, Path(folder) / "model")
        serve = tf.saved_model.load(str(path)).signatures["serving_default"]
        serve(tf.constant(encoded[: options.batch_size]))  # the first call is the slow one
        served, seconds = _served(serve, encoded, options.batch_size, run)
        refused, neighbours = _damaged(serve, encoded, options.batch_size)
    figures = {
        "photos": len(encoded),
        "split": options.split,
        "batch_size": options.batch_size,
        "photos_per_second": round(len(encoded) / seconds, 1),
        "labels": {},
    }
    figures["damaged_photos_refused"] = refused
    for label in labels:
        difference = np.abs(served[label] - evaluated[label])
        changed = served[label].argmax(axis=1) != evaluated[label].argmax(axis=1)
        figures["labels"][label] = {
            "largest_difference": float(difference.max()),
            "changed_classes": int(changed.sum()),
        }
    print(json.dumps(figures, indent=1))
    worst = max(found["largest_difference"] for found in figures["labels"].values())
    changed = sum(found["changed_classes"] for found in figures["labels"].values())
    return int(worst > TOLERANCE or changed > 0 or not neighbours)


def parser() -> argparse.ArgumentParser:
    """Build the script's argument parser."""
    result = script_parser(__doc__)
    result.add_argument("--model", required=True, help="a run's folder, or a .keras file in one")
    result.add_argument("--data", required=True, metavar="DIR", help="records")
    result.add_argument("--split", default="test")
    result.add_argument("--photos", type=int, default=500, help="(default: 500)")
    result.add_argument("--batch-size", type=int, default=64, help="of requests (default: 64)")
    return result


def _evaluated(run, options, count):
    """Probabilities as evaluation makes them: its dataset, its batches, softmax in NumPy."""
    dataset = make_dataset(
        options.data,
        options.split,
        list(run.labels),
        run.image_size,
        256,
        resize=run.resize,
        cache="none",
        with_ids=True,
    )
    parts = {label: [] for label in run.labels}
    seen = 0
    for images, _, ids in dataset:
        for label, logits in run.predictor.predict_on_batch(images).items():
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            parts[label].append(odds / odds.sum(axis=1, keepdims=True))
        seen += len(ids)
        if seen >= count:
            break
    return {label: np.concatenate(found)[:count] for label, found in parts.items()}


def _served(serve, encoded, batch_size, run):
    parts = {label: [] for label in run.labels}
    start = time.perf_counter()
    for first in range(0, len(encoded), batch_size):
        outputs = serve(tf.constant(encoded[first : first + batch_size]))
        assert outputs["valid"].numpy().all()
        for label in run.labels:
            prefix = "" if label == run.label else f"{label}_"
            parts[label].append(outputs[f"{prefix}probabilities"].numpy())
    seconds = time.perf_counter() - start
    return {label: np.concatenate(found) for label, found in parts.items()}, seconds


def _damage(rng):
    """Ways to damage a photo's bytes, by name."""

    def cut(photo):
        return photo[: rng.integers(len(photo))]

    def without_end(photo):
        return photo[:-2]

    def zeros(photo):
        start = rng.integers(2, len(photo) - 64)
        return photo[:start] + bytes(64) + photo[start + 64 :]

    def one_bit(photo):
        damaged = bytearray(photo)
        damaged[rng.integers(2, len(photo))] ^= 1 << rng.integers(8)
        return bytes(damaged)

    def middle_missing(photo):
        start = rng.integers(2, len(photo) - 64)
        return photo[:start] + photo[start + 64 :]

    return {
        "cut at a random byte": cut,
        "last two bytes missing": without_end,
        "64 bytes zeroed": zeros,
        "64 bytes missing": middle_missing,
        "one bit flipped": one_bit,
    }


def _damaged(serve, encoded, batch_size):
    """The share of damaged photos refused, by damage; and whether no good one was."""
    refused, neighbours = {}, True
    for name, damage in _damage(np.random.default_rng(0)).items():
        found = []
        for first in range(0, len(encoded), batch_size // 2):
            good = encoded[first : first + batch_size // 2]
            mixed = [photo for each in good for photo in (damage(each), each)]
            valid = serve(tf.constant(mixed))["valid"].numpy()
            found += list(valid[::2] == 0)
            neighbours &= bool(valid[1::2].all())
        refused[name] = round(float(np.mean(found)), 3)
    return refused, neighbours


if __name__ == "__main__":
    sys.exit(main())
