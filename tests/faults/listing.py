"""A folder in; what is in it, by names and contents, out: for comparing before and after."""

import hashlib
from pathlib import Path


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


def _plain(path: Path) -> str:
    # TensorBoard puts time and process into its files' names, and begins one when resumed.
    return str(path.with_name("events") if "tfevents" in path.name else path)
