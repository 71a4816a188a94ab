"""What scripts share: a parser that says what their docstring says, and the figures they write."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path

PROCESSOR = platform.processor() or platform.machine()


def script_parser(
    doc: str, *, epilog_from: int | None = None, figures: bool = False
) -> argparse.ArgumentParser:
    """Return a parser described by the first line of a script's docstring.

    Its help ends with the docstring's lines from `epilog_from` on, as they are written. With
    `figures` it has `--output`, for `write_figures`.
    """
    result = argparse.ArgumentParser(description=doc.splitlines()[0])
    if epilog_from is not None:
        result.epilog = "\n".join(doc.splitlines()[epilog_from:])
        result.formatter_class = argparse.RawDescriptionHelpFormatter
    if figures:
        result.add_argument("--output", metavar="FILE", help="write the figures as JSON")
    return result


def write_figures(path: str | os.PathLike, figures: dict) -> None:
    """Write figures as JSON, and make the folder for them."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
