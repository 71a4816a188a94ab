"""`fashion-keras recipes`: the recipes of this package, with what each is for and brought."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from fashion_keras.commands import run_command
from fashion_keras.config import about, load_config, recipe_names, recipe_path

_EXAMPLES = """\
examples:
  fashion-keras recipes
  fashion-keras recipes resnet18 > mine.yaml
  fashion-keras train --recipe resnet18 --data tfrecords/small
  fashion-keras train --recipe resnet18 --label articleType --set training.epochs=5
"""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = argparse.ArgumentParser(
        prog="fashion-keras recipes",
        description="List the recipes, or print one with every key. Scores are accuracy / macro-F1 "
        "of subCategory on the published split of the Kaggle dataset, small photos.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("recipe", nargs="?", metavar="NAME", help="print this one's config")
    return result


def recipes(argv: Sequence[str] | None) -> None:
    """Parse `argv` and print."""
    options = parser().parse_args(argv)
    if options.recipe:
        print(load_config(recipe_path(options.recipe)).to_yaml(), end="")
        return
    print("\n".join(_lines(name) for name in recipe_names()))


def _lines(name: str) -> str:
    said = about(name)
    lines = [f"{name}: {said['purpose']}"]
    if "hardware" in said:
        lines.append(
            f"{said['minutes']} minutes ({said['hardware']}); "
            f"validation {said['validation']}, test {said['test']}"
        )
    if "needs" in said:
        lines.append(f"needs: {said['needs']}")
    return textwrap.indent("\n".join(lines), "    ").lstrip()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command(recipes, argv)
