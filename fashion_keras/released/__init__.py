"""The models that come with the package: a name in, the folder of its run out."""

from __future__ import annotations

import os
from pathlib import Path

from fashion_keras.errors import UserError
from fashion_keras.places import local
from fashion_keras.text import command

FOLDER = Path(__file__).parent
DEFAULT = "fashion"
_CARD = "README.md"
_MODEL = "best.keras"


def released_names() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{_MODEL}"))


def model_place(path: str | os.PathLike) -> Path:
    """Return where a model lies: one of the package's by its name, any other by its path.

    A file or folder of that name goes first. What is at an address is downloaded. Example:

        >>> model_place("runs/mine")
        PosixPath('runs/mine')
    """
    found = local(path)
    if not found.exists() and os.fspath(path) in released_names():
        return FOLDER / found
    return found


def is_released(path: str | os.PathLike) -> bool:
    """Say whether a path is within one of the package's models."""
    return FOLDER in Path(path).absolute().parents


def released_note(path: Path) -> str:
    """Return the line that says which of the package's models answers."""
    return f"model: {path.name}, which comes with the package ({path / _CARD} says more)"


def check_own(path: str | os.PathLike) -> None:
    """Raise `UserError` where a model comes with the package: it is not changed."""
    if is_released(path):
        name = Path(path).absolute().relative_to(FOLDER).parts[0]
        raise UserError(
            f"{name} comes with the package and stays as it is. Start a training from it: "
            + command("train", "--weights", name)
        )
