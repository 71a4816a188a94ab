"""A YAML file or a recipe's name in; the sections it sets, with those of its base below, out.

A file may name a `base`, a recipe or another file, and holds what differs from it. `about` is
for people: purpose, minutes, scores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fashion_keras.data.schema import did_you_mean
from fashion_keras.errors import UserError
from fashion_keras.reading import read_yaml

RECIPES = Path(__file__).parent / "recipes"
ABOUT, BASE = "about", "base"


def recipe_names() -> list[str]:
    """Return the names of the recipes in the package; those that are only a base are left out."""
    return sorted(path.stem for path in RECIPES.glob("[!_]*.yaml"))


def recipe_path(name: str) -> Path:
    """Return a recipe's file; `UserError` where there is none of that name."""
    path = RECIPES / f"{name}.yaml"
    if Path(name).name != name or not path.is_file():
        names = recipe_names()
        raise UserError(
            f"unknown recipe {name!r}{did_you_mean(name, names)}: expected one of "
            f"{', '.join(names)}.\nfashion-keras recipes says what each is for"
        )
    return path


def about(name: str) -> dict[str, Any]:
    """Return what a recipe says of itself: `purpose`, and where measured `minutes` and scores."""
    return read_yaml(recipe_path(name)).get(ABOUT, {})


def read_sections(path: Path, known: list[str]) -> dict[str, dict[str, Any]]:
    """Return the sections that a file sets, each over those of its base.

    `known` are the sections' names, for messages. Raises `UserError` for a missing or malformed
    file, a base that is not there, and bases in a circle.
    """
    merged: dict[str, dict[str, Any]] = {}
    for file in reversed(_with_bases(path)):
        for section, values in _sections(read_yaml(file), file, known).items():
            merged[section] = merged.get(section, {}) | values
    return merged


def _with_bases(path: Path) -> list[Path]:
    """Return a file and its bases, the nearest first."""
    found = [path]
    while True:
        raw = read_yaml(found[-1])
        base = raw.get(BASE) if isinstance(raw, dict) else None
        if base is None:
            return found
        if not isinstance(base, str):
            raise UserError(f"{found[-1]}: base {base!r}: expected a recipe's name or a file")
        is_file = base.endswith((".yaml", ".yml"))
        following = found[-1].parent / base if is_file else recipe_path(base)
        if following.resolve() in [file.resolve() for file in found]:
            raise UserError(f"{path}: its base {base!r} is based on itself")
        found.append(following)


def _sections(raw: Any, path: Path, known: list[str]) -> dict[str, dict[str, Any]]:
    expected = f"expected sections ({', '.join(known)}) with keys below them"
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise UserError(f"{path}: {expected}")
    sections = {name: values for name, values in raw.items() if name not in (ABOUT, BASE)}
    for section, values in sections.items():
        if values is not None and not isinstance(values, dict):
            raise UserError(f"{path}: {section!r} is followed by {values!r}: {expected}")
    return {section: dict(values or {}) for section, values in sections.items()}
