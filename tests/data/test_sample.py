"""The drawn sample: the same bytes for a seed, the real layout, the real archive's troubles."""

import csv
import hashlib
import io
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from fashion_keras.data import sample
from fashion_keras.data.sample import draw_sample
from fashion_keras.data.sample_articles import ARTICLES
from fashion_keras.data.sample_pen import COLOURS, Pen
from fashion_keras.errors import UserError

COUNT, SEED = 150, 3

# Written out here from the Kaggle archive's styles.csv.
HEADER = (
    "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,"
    "productDisplayName"
)
REAL_SUBCATEGORIES = {
    "Apparel": {"Topwear", "Bottomwear", "Dress", "Innerwear"},
    "Accessories": {
        *("Socks", "Watches", "Bags", "Belts", "Eyewear", "Wallets", "Ties", "Jewellery"),
        *("Headwear", "Umbrellas", "Water Bottle"),
    },
    "Footwear": {"Shoes", "Sandal", "Flip Flops"},
    "Personal Care": {"Fragrance", "Lips", "Nails"},
    "Sporting Goods": {"Sports Equipment"},
    "Home": {"Home Furnishing"},
}
GENDERS = {"Men", "Women", "Boys", "Girls", "Unisex"}
USAGES = {"Casual", "Sports", "Ethnic", "Formal", "Party", "Home", "NA"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_sample(tmp_path_factory.mktemp("sample") / "out", count=COUNT, seed=SEED)


@pytest.fixture(scope="module")
def rows(drawn):
    """All rows, the malformed one repaired."""
    lines = list(csv.reader(io.StringIO((drawn / "styles.csv").read_text())))[1:]
    return [
        dict(zip(HEADER.split(","), [*line[:9], ",".join(line[9:])], strict=True)) for line in lines
    ]


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_same_seed_gives_same_bytes_in_another_process(drawn, tmp_path):
    again = tmp_path / "again"
    command = [sys.executable, "-m", "fashion_keras.data.sample", str(again)]
    subprocess.run([*command, f"--count={COUNT}", f"--seed={SEED}"], check=True)
    assert digests(again) == digests(drawn)


def test_other_seed_gives_other_rows_and_photos(drawn, tmp_path):
    other = draw_sample(tmp_path / "other", count=COUNT, seed=SEED + 1)
    assert (other / "styles.csv").read_bytes() != (drawn / "styles.csv").read_bytes()
    assert not set(digests(other).values()) & set(digests(drawn).values())


def test_columns_are_those_of_kaggle(drawn):
    assert (drawn / "styles.csv").read_text().splitlines()[0] == HEADER


def test_vocabulary_is_the_real_one(rows):
    found = {}
    for row in rows:
        found.setdefault(row["masterCategory"], set()).add(row["subCategory"])
    assert found == REAL_SUBCATEGORIES
    assert {row["gender"] for row in rows} <= GENDERS
    assert {row["usage"] for row in rows} <= USAGES
    assert all(2007 <= int(row["year"]) <= 2019 for row in rows)


def test_full_size_has_a_long_tail():
    counts = Counter()
    for article, n in zip(ARTICLES, sample._counts(2000), strict=True):
        counts[article.sub_category] += n
    assert counts.total() == 2000
    assert counts.most_common(1)[0][0] == "Topwear"
    assert counts["Topwear"] > 500
    assert sorted(counts.values())[0] == 1
    assert all(3 <= n <= 6 for n in sorted(counts.values())[1:4])


@pytest.mark.parametrize("count", [100, 101, 777])
def test_every_article_occurs_whatever_the_count(count):
    counts = sample._counts(count)
    assert sum(counts) == count
    assert min(counts) == 1


def test_one_row_has_no_photo_and_every_photo_a_row(drawn, rows):
    ids = [row["id"] for row in rows]
    photos = {path.stem for path in (drawn / "images").iterdir()}
    assert len(ids) == len(set(ids)) == COUNT + 1
    assert len(photos) == COUNT
    assert len(set(ids) - photos) == 1 and photos < set(ids)


def test_one_row_is_malformed(drawn):
    lines = (drawn / "styles.csv").read_text().splitlines()
    assert Counter(line.count(",") for line in lines) == {9: COUNT + 1, 10: 1}


def test_some_cells_are_empty(rows):
    assert any(row["season"] == "" for row in rows)
    assert any(row["usage"] == "NA" for row in rows)


def test_photos_are_jpegs_some_grey_some_of_odd_size(drawn):
    kinds = Counter()
    for path in (drawn / "images").iterdir():
        with Image.open(path) as photo:
            assert photo.format == "JPEG"
            kinds[photo.mode, photo.size] += 1
    assert kinds["RGB", (60, 80)] > 0.9 * COUNT
    assert kinds["L", (60, 80)] >= 2
    assert sum(n for (_, size), n in kinds.items() if size != (60, 80)) >= 2


def test_background_is_white_and_product_is_not(drawn):
    for path in (drawn / "images").iterdir():
        pixels = np.asarray(Image.open(path).convert("L"))
        corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert np.median(corners) > 250, path
        assert (pixels < 235).mean() > 0.02, path


@pytest.mark.parametrize("article", ARTICLES, ids=lambda a: a.article_type)
def test_base_colour_is_the_one_drawn(article):
    def redness(colour):
        pen = Pen(np.random.default_rng(1), colour, "plain")
        article.draw(pen)
        photo = np.asarray(pen.develop((60, 80), tilt=0, mirror=False), np.float32)
        return (photo[..., 0] - photo[..., 2]).mean()

    assert redness("Red") > redness("Blue") + 2


def test_every_article_and_colour_has_a_drawing_of_its_own():
    assert len({a.draw for a in ARTICLES}) == len(ARTICLES)
    assert {c for a in ARTICLES for c in a.colours} <= set(COLOURS)


def test_complete_sample_is_kept(drawn):
    before = {path: path.stat().st_mtime_ns for path in drawn.rglob("*")}
    calls = []
    assert draw_sample(drawn, count=COUNT, seed=SEED, progress=calls.append) == drawn
    assert {path: path.stat().st_mtime_ns for path in drawn.rglob("*")} == before
    assert calls == []


def test_empty_folder_is_filled_and_progress_counts_photos(tmp_path):
    (tmp_path / "out").mkdir()
    calls = []
    draw_sample(tmp_path / "out", count=100, progress=calls.append)
    assert sum(calls) == 100
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_foreign_folder_is_refused_and_untouched(tmp_path):
    (tmp_path / "styles.csv").write_text("mine")
    with pytest.raises(UserError, match="not a drawn sample"):
        draw_sample(tmp_path, count=100)
    assert digests(tmp_path) == {"styles.csv": hashlib.sha256(b"mine").hexdigest()}


def test_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="not a drawn sample"):
        draw_sample(tmp_path / "out", count=100)
    assert (tmp_path / "out").read_text() == "mine"


def test_two_drawings_at_once_are_a_line(tmp_path):
    def draw_too(_):
        with pytest.raises(UserError, match="another process is writing"):
            draw_sample(tmp_path / "out", count=100)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_sample(tmp_path / "out", count=100, progress=draw_too)


def test_sample_of_another_seed_is_refused(drawn):
    with pytest.raises(UserError, match=rf"seed {SEED} \(asked for: 9\)"):
        draw_sample(drawn, count=COUNT, seed=9)


def test_damaged_sample_is_refused(tmp_path):
    out = draw_sample(tmp_path / "out", count=100)
    next((out / "images").iterdir()).unlink()
    with pytest.raises(UserError, match="damaged"):
        draw_sample(out, count=100)


def test_interrupted_drawing_leaves_nothing(tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_sample(tmp_path / "out", count=100, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_replaced(tmp_path):
    left = tmp_path / ".out.partial" / "out"
    left.mkdir(parents=True)
    (left / "stray.jpg").write_bytes(b"half a photo")
    out = draw_sample(tmp_path / "out", count=100)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in out.iterdir()) == ["images", "sample.json", "styles.csv"]


@pytest.mark.parametrize("wrong", [{"count": 5}, {"count": 10**9}, {"seed": -1}])
def test_wrong_number_is_refused(tmp_path, wrong):
    with pytest.raises(UserError, match=str(next(iter(wrong.values())))):
        draw_sample(tmp_path / "out", **wrong)


def test_command_prints_the_error_and_returns_2(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert sample.main([str(tmp_path)]) == 2
    assert "not a drawn sample" in capsys.readouterr().err


def test_importing_it_loads_no_tensorflow():
    code = "import sys, fashion_keras.data.sample; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
