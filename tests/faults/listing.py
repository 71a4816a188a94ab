"""A folder in; what is in it, by names and contents, out: for comparing before and after."""

import hashlib
import zipfile
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np


def names(folder: Path) -> list[str]:
    """Return every file and folder below `folder`, sorted; event files by their kind alone."""
    found = {_plain(path.relative_to(folder)) for path in folder.rglob("*")}
    return sorted(found)


def contents(folder: Path, pattern: str = "**/*") -> dict[str, str]:
    """Return each file's sha256 by its name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def weights(file: BinaryIO | Path) -> dict[str, bytes]:
    """Return the arrays of a `.keras` file by name; the files about them hold times."""
    found = {}
    with zipfile.ZipFile(file) as model:
        stored = BytesIO(model.read("model.weights.h5"))
    with h5py.File(stored) as arrays:
        arrays.visititems(
            lambda name, item: (
                found.update({name: np.asarray(item).tobytes()})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return found


def _plain(path: Path) -> str:
    # TensorBoard puts time and process into its files' names, and begins one when resumed.
    return str(path.with_name("events") if "tfevents" in path.name else path)
