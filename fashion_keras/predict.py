"""Photos, folders or zips in; each photo's class and score, on screen or as CSV, out.

    python -m fashion_keras.predict --model DIR PHOTO|FOLDER|ZIP… [--csv out.csv]
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from fashion_keras.commands import run_command
from fashion_keras.errors import UserError
from fashion_keras.serving.layout import ModelInfo, find_version
from fashion_keras.serving.photos import PhotoSource, batches

if TYPE_CHECKING:
    from fashion_keras.serving.client import Prediction

COLUMNS = ("path", "class", "score", "runner_up", "runner_up_score", "error")
PATH_WIDTH = 60


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_predict, argv)


def _predict(argv: Sequence[str] | None) -> None:
    arguments = _parser().parse_args(argv)
    version = find_version(arguments.model)
    info = ModelInfo.load(version)
    _check_arguments(arguments, info, version)
    with PhotoSource(arguments.inputs) as source:
        # Imported here, so that --help and a wrong path are answered at once.
        from fashion_keras.serving.client import LocalModel

        model = LocalModel(version)
        with _writer(arguments, info, source.paths) as write:
            failed = _classify(model, source, arguments, write)
    if failed:
        first = f"{printable(failed[0].path)}: {failed[0].error}"
        if len(failed) == len(source):
            raise UserError(f"none of {len(source):,} photos could be classified, first {first}")
        print(
            f"warning: {len(failed):,} of {len(source):,} photos could not be classified, "
            f"first {first}",
            file=sys.stderr,
        )


def _classify(model, source, arguments, write) -> list[Prediction]:
    raise NotImplementedError
