"""Execute docs/tutorial.ipynb in a temporary folder and store what its cells put out in it.

python scripts/tutorial.py
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


def execute(notebook: nbformat.NotebookNode, folder: str | os.PathLike) -> None:
    """Execute a notebook in place, with `folder` as its working directory and this package.

    Raises `nbclient.exceptions.CellExecutionError` where a cell fails.
    """
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        notebook, kernel_name="python3", timeout=900, record_timing=False, resources=resources
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})


def main() -> None:
    """Execute the tutorial and write it back."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        execute(notebook, folder)
    # Not which Python it was.
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
