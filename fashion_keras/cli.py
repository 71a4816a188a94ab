"""`fashion-keras COMMAND …` in, the command's own module run; the same as `python -m`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import fashion_keras
from fashion_keras.data.schema import did_you_mean

COMMANDS = {
    "sample": ("fashion_keras.data.sample", "draw a sample catalogue, offline"),
    "convert": ("fashion_keras.convert", "a catalogue of photos into TFRecords"),
    "recipes": ("fashion_keras.recipes", "list the recipes that train can be given"),
    "train": ("fashion_keras.train", "train a classifier on records"),
    "retrain": ("fashion_keras.retrain", "train a model's heads anew, for the rare classes"),
    "calibrate": ("fashion_keras.calibrate", "fit on validation how outputs become decisions"),
    "evaluate": ("fashion_keras.evaluate", "score a trained model on a split"),
    "compare": ("fashion_keras.compare", "say whether one run is better than another"),
    "audit": ("fashion_keras.audit", "find near-identical photos and doubtful labels"),
    "export": ("fashion_keras.export", "write a SavedModel for TF Serving"),
    "predict": ("fashion_keras.predict", "classify photos with a SavedModel"),
    "demo": ("fashion_keras.demo", "show a web page that classifies dropped photos"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command; return its exit code, 2 for an unknown one."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"fashion-keras {fashion_keras.__version__}")
        return 0
    if argv[0] not in COMMANDS:
        known = ", ".join(COMMANDS)
        near = did_you_mean(argv[0], COMMANDS)
        print(f"error: unknown command {argv[0]!r}: expected one of {known}{near}", file=sys.stderr)
        return 2
    return importlib.import_module(COMMANDS[argv[0]][0]).main(argv[1:])


def _help() -> str:
    lines = [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: fashion-keras COMMAND [options]",
            "",
            "Teach a computer to sort a fashion shop's photos.",
            "",
            *lines,
            "",
            "fashion-keras COMMAND --help explains a command.",
            "python -m fashion_keras COMMAND is the same.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
