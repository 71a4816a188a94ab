"""A folder's name in; a drawn catalogue in the layout of the small Kaggle archive out.

`styles.csv` and `images/<id>.jpg`, with the real vocabulary and the real archive's troubles: a
long tail, grey photos, odd sizes, empty cells, a malformed row, a row without a photo.

    fashion-keras sample OUTPUT [--count N] [--seed N]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from fashion_keras.data.sample_articles import ARTICLES, Article
from fashion_keras.data.sample_pen import HEIGHT, WIDTH, Pen
from fashion_keras.errors import UserError
from fashion_keras.io import place, replacing_folder
from fashion_keras.reading import read_json

COLUMNS = (
    "id",
    "gender",
    "masterCategory",
    "subCategory",
    "articleType",
    "baseColour",
    "season",
    "year",
    "usage",
    "productDisplayName",
)
MARKER = "sample.json"  # says what was asked for, and that the folder is ours
MIN_COUNT, MAX_COUNT = 100, 100_000

_DRAWN_BY = "fashion_keras.data.sample"
_DRAWING = 1  # raise it when the same seed would draw other bytes
_JPEG_QUALITY = 90
_ACHROMATIC = ("Black", "White", "Grey", "Charcoal")
_ODD_SIZES = ((53, 80), (54, 80), (60, 60), (60, 75), (60, 76), (60, 77), (60, 79))
_BRANDS = ("Arden", "Bellmoor", "Corvane", "Dunlark", "Elmwick", "Fennroe", "Glenhart", "Hazelby")
_STYLES = {
    "stripes": "Striped",
    "bars": "Pinstriped",
    "checks": "Checked",
    "dots": "Dotted",
    "print": "Printed",
}
_SEASONS, _SEASON_SHARES = ("Summer", "Fall", "Winter", "Spring"), (0.48, 0.26, 0.19, 0.07)
_YEARS = (2010, 2011, 2012, 2013, 2015, 2016, 2017, 2018)
_YEAR_SHARES = (0.02, 0.32, 0.37, 0.03, 0.06, 0.13, 0.06, 0.01)


@dataclasses.dataclass(frozen=True)
class Product:
    """One row of `styles.csv` and what its photo shows."""

    id: int
    article: Article
    gender: str
    colour: str
    pattern: str
    season: str
    year: int
    usage: str
    name: str
    size: tuple[int, int] = (WIDTH, HEIGHT)
    grey: bool = False

    def row(self) -> str:
        """Return the line of `styles.csv`, unquoted as in the real archive."""
        article = self.article
        kind = (article.master_category, article.sub_category, article.article_type)
        rest = (self.colour, self.season, str(self.year), self.usage, self.name)
        return ",".join((str(self.id), self.gender, *kind, *rest))

    def photo(self, seed: int) -> Image.Image:
        """Draw the photo: an RGB or, where `grey`, a single-channel image of `size`."""
        rng = np.random.default_rng((seed, self.id))
        pen = Pen(rng, self.colour, self.pattern, grey=self.grey)
        self.article.draw(pen)
        image = pen.develop(self.size, tilt=self.article.tilt, mirror=True)
        return image.convert("L") if self.grey else image


def draw_sample(
    output: str | os.PathLike,
    *,
    count: int = 2000,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Path:
    """Draw a catalogue of `count` photos into the new folder `output` and return its path.

    `output/styles.csv` has one row a photo, in random order, and one more that has no photo.
    `output/images/<id>.jpg` are 60×80 (a few of other sizes) RGB (a few single-channel) JPEGs.
    The same `count` and `seed` give the same bytes. `progress(1)` is called after each photo.

    A complete sample of the same count and seed is kept as it is; a new one is there when it is
    whole. Raises `UserError` where `output` holds
    anything else or cannot be written, or where `count` or `seed` is out of range.
    """
    if not MIN_COUNT <= count <= MAX_COUNT:
        raise UserError(f"count {count}: a sample has {MIN_COUNT} to {MAX_COUNT:,} photos")
    if seed < 0:
        raise UserError(f"seed {seed}: expected 0 or more")
    output = place(output)
    marker = {"drawn_by": _DRAWN_BY, "drawing": _DRAWING, "count": count, "seed": seed}
    try:
        if not _is_there(output, marker):
            _draw_beside(output, marker, progress or (lambda _: None))
    except OSError as error:
        raise UserError(f"cannot draw the sample into {output}: {error}") from error
    return output


def _is_there(output: Path, marker: dict) -> bool:
    """Return whether `output` is the wanted sample; `UserError` if it holds anything else."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    found = _read_marker(output)
    if found is None:
        raise UserError(
            f"{output} exists and is not a drawn sample: it was left as it is.\n"
            "Give an output folder that is new or empty."
        )
    differ = [key for key in marker if found.get(key) != marker[key]]
    if differ:
        what = ", ".join(f"{key} {found.get(key)} (asked for: {marker[key]})" for key in differ)
        raise UserError(
            f"{output} holds another sample, of {what}.\n"
            "Give another output folder, or delete that one."
        )
    photos = sum(1 for _ in (output / "images").glob("*.jpg"))
    if photos != marker["count"] or not (output / "styles.csv").is_file():
        raise UserError(
            f"{output} is a damaged sample: styles.csv or some of its {marker['count']} photos "
            "are missing.\nDelete it to have it drawn again, or give another output folder."
        )
    return True


def _read_marker(folder: Path) -> dict | None:
    try:
        found = read_json(folder / MARKER, "draw the sample anew")
    except UserError:
        return None
    return found if found.get("drawn_by") == _DRAWN_BY else None


def _draw_beside(output: Path, marker: dict, progress: Callable[[int], object]) -> None:
    """Draw the sample whole, or leave nothing behind where that fails."""
    with replacing_folder(output) as partial:
        (partial / "images").mkdir()
        (partial / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
        rows = [",".join(COLUMNS)]
        for product, has_photo in _products(marker["count"], marker["seed"]):
            rows.append(product.row())
            if has_photo:
                path = partial / "images" / f"{product.id}.jpg"
                product.photo(marker["seed"]).save(path, quality=_JPEG_QUALITY)
                progress(1)
        text = "\n".join(rows) + "\n"
        (partial / "styles.csv").write_text(text, encoding="utf-8", newline="\n")


def _products(count: int, seed: int) -> Iterator[tuple[Product, bool]]:
    """Yield `count` products in random order, and one that has no photo among them."""
    rng = np.random.default_rng((seed, count))
    articles = [a for a, n in zip(ARTICLES, _counts(count), strict=True) for _ in range(n)]
    articles = [articles[i] for i in rng.permutation(count)]
    ids = rng.choice(20 * count, size=count + 1, replace=False) + 1000
    # Disjoint troubles: grey, odd size, no usage, no season, a comma in the name, no photo.
    order, few = rng.permutation(count).tolist(), max(2, count // 100)
    grey, odd, no_usage, no_season = (set(order[i * few : (i + 1) * few]) for i in range(4))
    comma, absent = order[-1], order[-2]
    for index, article in enumerate(articles):
        product = _product(rng, int(ids[index]), article, grey=index in grey)
        if index in odd:
            product = dataclasses.replace(product, size=_ODD_SIZES[index % len(_ODD_SIZES)])
        if index in no_usage:
            product = dataclasses.replace(product, usage="NA")
        if index in no_season:
            product = dataclasses.replace(product, season="")
        if index == comma:
            product = dataclasses.replace(product, name=product.name + ", Pack of 2")
        yield product, True
        if index == absent:
            yield _product(rng, int(ids[count]), ARTICLES[0], grey=False), False


def _product(rng: np.random.Generator, number: int, article: Article, *, grey: bool) -> Product:
    """Draw the lots for one product: who wears it, its colour, pattern, season and name."""

    def pick(choices, shares=None):
        return choices[int(rng.choice(len(choices), p=shares))]

    gender, pattern = pick(article.genders), pick(article.patterns)
    # A single-channel photo can only show these colours, and baseColour is to be true.
    colour = pick(_ACHROMATIC if grey else article.colours)
    style = "" if pattern == "plain" else _STYLES[pattern] + " "
    return Product(
        id=number,
        article=article,
        gender=gender,
        colour=colour,
        pattern=pattern,
        season=pick(_SEASONS, _SEASON_SHARES),
        year=pick(_YEARS, _YEAR_SHARES),
        usage=pick(article.usages),
        name=f"{pick(_BRANDS)} {gender} {style}{colour} {article.article_type}",
        grey=grey,
    )


def _counts(count: int) -> list[int]:
    """Return how many photos each article gets: the tail's, then shares by largest remainder."""
    shared = count - sum(a.tail or 1 for a in ARTICLES)  # everything occurs
    total = sum(a.weight for a in ARTICLES)
    exact = [shared * a.weight / total for a in ARTICLES]
    counts = [(a.tail or 1) + int(x) for a, x in zip(ARTICLES, exact, strict=True)]
    by_remainder = sorted(range(len(exact)), key=lambda i: int(exact[i]) - exact[i])
    for i in by_remainder[: count - sum(counts)]:
        counts[i] += 1
    return counts


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, draw, print where to; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="fashion-keras sample",
        description="Draw a sample catalogue in the layout of the small Kaggle archive.",
    )
    parser.add_argument("output", type=place, help="a new or empty folder")
    parser.add_argument("--count", type=int, default=2000, help="photos (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    try:
        args = parser.parse_args(argv)
        with tqdm(total=args.count, unit="photo", disable=None, leave=False) as bar:
            draw_sample(args.output, count=args.count, seed=args.seed, progress=bar.update)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{args.output}: {args.count} drawn photos")
    return 0


if __name__ == "__main__":
    sys.exit(main())
