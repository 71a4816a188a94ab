"""An audit's rows, pictures and numbers in; its folder of CSV, PNG and JSON files out."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence

from fashion_keras.errors import UserError
from fashion_keras.evaluation.files import save_json
from fashion_keras.io import write_bytes
from fashion_keras.places import place
from fashion_keras.text import cell


def check_folder(folder: str | os.PathLike) -> None:
    """Raise `UserError` unless files can be written into `folder`."""
    folder = place(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: --output names a folder")
    ground = next(p for p in (folder.resolve(), *folder.resolve().parents) if p.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        raise UserError(f"cannot write {folder}: {ground} is not a folder that can be written to")


def write_files(folder: str | os.PathLike, files: Mapping[str, dict | list | bytes]) -> None:
    """Write files by name, each whole or not at all; other files are left alone.

    A dict becomes JSON, a list of dicts a CSV with a header, bytes stay what they are. An empty
    list makes a file without rows, so that an older one is not taken for it.
    """
    folder = place(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if isinstance(content, dict):
            save_json(folder / name, content)
            continue
        if isinstance(content, list):
            content = csv_bytes(content)
        write_bytes(folder / name, content)


def csv_bytes(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Return rows as CSV, lists in a cell joined by semicolons."""
    buffer = io.StringIO()
    if rows:
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(map(cell, rows[0]))
        for row in rows:
            texts = ["; ".join(v) if isinstance(v, list) else v for v in row.values()]
            writer.writerow(map(cell, texts))
    return buffer.getvalue().encode("utf-8")
