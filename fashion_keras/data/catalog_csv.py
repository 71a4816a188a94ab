"""An archive in; which CSV in it is the catalogue, out."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

from fashion_keras.data.archive import Archive
from fashion_keras.data.photo_finder import IMAGES
from fashion_keras.errors import UserError

STYLES = "styles.csv"
LARGE = "fashion-dataset/"


def csv_names(names: Iterable[str]) -> list[str]:
    """Return the CSVs among an archive's files, less what macOS and editors leave there."""
    return [
        name
        for name in names
        if name.lower().endswith(".csv")
        and not name.startswith("__MACOSX/")
        and not posixpath.basename(name).startswith(".")
    ]


def find_styles(names: list[str]) -> str | None:
    """Return the outermost `styles.csv` that has photos beside it, else the outermost."""
    found = [name for name in csv_names(names) if posixpath.basename(name) == STYLES]
    found.sort(key=lambda name: (name.count("/"), name))
    for name in found:
        images = name[: -len(STYLES)] + IMAGES
        if any(other.startswith(images) for other in names):
            return name
    return found[0] if found else None


def find_own_csv(archive: Archive, names: list[str], own: bool) -> str:
    """Return the only CSV of the topmost folder that has one; `UserError` where it is not clear.

    `own` says that the user has named columns, so that a CSV other than Kaggle's is meant.
    """
    found = csv_names(names)
    top = min((name.count("/") for name in found), default=0)
    found = [name for name in found if name.count("/") == top]
    if own and len(found) == 1:
        return found[0]
    if own and found:
        raise UserError(f"{archive.source} holds several CSVs, choose with --csv: {_list(found)}")
    message = (
        f"{archive.source} holds no {STYLES}: expected {STYLES} and {IMAGES}<id>.jpg, "
        f"or {LARGE}{STYLES} and {LARGE}{IMAGES}<id>.jpg"
    )
    if found:
        message += (
            f".\nFor your own data ({_list(found)}) name its columns with --label-column, "
            "and --image-column or --id-column"
        )
    raise UserError(message)


def _list(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" * (len(names) > limit))
