"""Sheets of photos: what stands where, and captions of any kind."""

import io

import numpy as np
import pytest
from PIL import Image

from fashion_keras.training.tensorboard import photo_sheet, to_png

RED, GREEN = (200, 30, 30), (30, 160, 60)


def plain(*colours, size=(80, 60)):
    return np.stack([np.full((*size, 3), colour, np.float32) for colour in colours])


def pixels(sheet, colour):
    """Return where a colour is, as (rows, columns)."""
    return np.nonzero((np.asarray(sheet) == colour).all(axis=2))


def test_photos_stand_in_reading_order():
    sheet = photo_sheet(plain(RED, RED, GREEN), [["a"]] * 3, columns=2)
    red_rows, red_columns = pixels(sheet, RED)
    green_rows, green_columns = pixels(sheet, GREEN)
    assert green_rows.min() > red_rows.max()
    assert green_columns.min() == red_columns.min()
    assert green_columns.max() < sheet.width / 2 < red_columns.max()


@pytest.mark.parametrize("size", [(80, 60), (64, 64), (40, 120)])
def test_a_photo_keeps_its_proportions(size):
    rows, columns = pixels(photo_sheet(plain(RED, size=size), [[]]), RED)
    height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
    assert height / width == pytest.approx(size[0] / size[1], rel=0.02)


def test_the_caption_stands_below_its_photo_and_takes_a_line_each():
    def below(caption):
        sheet = photo_sheet(plain(RED), [caption])
        bottom = pixels(sheet, RED)[0].max() + 2
        return np.asarray(sheet.convert("L"))[bottom:, :150]

    assert below([]).min() == 255
    inked = [np.count_nonzero((below(["Shoes"] * n) < 128).any(axis=1)) for n in (1, 2, 3)]
    assert inked[0] > 0 and inked[1] == 2 * inked[0] and inked[2] == 3 * inked[0]


def test_a_long_caption_stays_within_its_tile():
    sheet = photo_sheet(plain(RED, RED), [["Accessories " * 9], []], columns=2)
    bottom = pixels(sheet, RED)[0].max() + 2
    dark = np.asarray(sheet.convert("L"))[bottom:] < 128
    assert dark[:, :150].any() and not dark[:, 150:].any()


@pytest.mark.parametrize("text", ["", "two\nlines", "süß 靴 👟", "\t"])
def test_any_text_can_be_a_caption(text):
    assert photo_sheet(plain(RED), [[text]]).size[0] == 8 * 150


def test_values_beyond_the_range_are_clipped_and_the_others_rounded():
    photos = np.stack([np.full((40, 40, 3), value, np.float32) for value in (-20, 300, 99.9)])
    sheet = np.asarray(photo_sheet(photos, [[]] * 3))
    middle = 4 + 70
    assert [sheet[middle, 75 + 150 * i].tolist() for i in range(3)] == [
        [0, 0, 0],
        [255, 255, 255],
        [100, 100, 100],
    ]


def test_each_photo_needs_its_caption():
    with pytest.raises(ValueError):
        photo_sheet(plain(RED, GREEN), [["a"]])


def test_png_holds_the_same_pixels():
    sheet = photo_sheet(plain(RED, GREEN), [["a"], ["b"]])
    with Image.open(io.BytesIO(to_png(sheet))) as read:
        assert read.format == "PNG"
        np.testing.assert_array_equal(np.asarray(read), np.asarray(sheet))
