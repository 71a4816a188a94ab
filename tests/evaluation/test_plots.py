"""The confusion matrix's picture: what is on it, at every size that the labels come in."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fashion_keras.evaluation.plots import confusion_matrix_figure, figure_to_png, short_name


def matrix(size):
    counts = np.diag(np.arange(1, size + 1) * 7)
    counts[0, 1] = 12345
    return counts


def names(size):
    return [f"Class {index}" for index in range(size)]


def texts(figure):
    return [text.get_text() for text in (*figure.texts, *figure.axes[0].texts)]


@pytest.mark.parametrize("size", [1, 2, 7, 45, 143])
def test_every_name_is_on_the_picture_and_none_outside_it(size):
    counts = matrix(size) if size > 1 else np.array([[3]])
    figure = confusion_matrix_figure(counts, names(size))
    found = texts(figure)
    assert set(names(size)) <= set(found)
    frame = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1, text.get_text()
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1, text.get_text()


def test_counts_are_written_in_small_matrices_and_not_in_large_ones():
    assert "12345" in texts(confusion_matrix_figure(matrix(7), names(7)))
    assert "12345" not in texts(confusion_matrix_figure(matrix(143), names(143)))


def test_rows_carry_the_number_of_photos_in_a_column_of_their_own():
    figure = confusion_matrix_figure(matrix(7), names(7))
    drawn = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}
    assert drawn["Class 0"].x1 < drawn["12,352"].x0 < drawn["12,352"].x1 < figure.axes[0].bbox.x0


def test_long_names_leave_the_cells_their_room():
    long = [f"Women's Ethnic and Fusion Wear / Kurtas, Tunics and Kurtis / {n}" for n in range(45)]
    figure = confusion_matrix_figure(matrix(45), long)
    assert figure.axes[0].bbox.width > 0.7 * figure.bbox.width
    left = [text for text in figure.axes[0].texts if text.get_text().endswith(" / 44")]
    assert len(left) == 2  # below, and at the left: what tells it from the others is still there


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Topwear", "Topwear"),
        ("Loungewear and Nightwear", "Loungewear and Nightwear"),
        ("Clothing > Women > Ethnic Wear > Kurtas", "Clothing > W…nic Wear > Kurtas"),
        ("two\nlines", "two lines"),
    ],
)
def test_of_a_long_name_beginning_and_end_are_kept(name, short):
    assert short_name(name) == short


def test_classes_that_never_occur_are_left_out_with_a_note():
    counts = np.zeros((5, 5), int)
    counts[1, 3] = 2  # 1 is true, 3 only predicted
    found = texts(confusion_matrix_figure(counts, names(5)))
    assert {"Class 1", "Class 3"} <= set(found)
    assert not {"Class 0", "Class 2", "Class 4"} & set(found)
    assert any("3 of 5 classes do not occur" in text for text in found)


def test_right_predictions_are_blue_mistakes_red_and_the_rest_white():
    figure = confusion_matrix_figure(np.array([[9, 1], [0, 5]]), names(2))
    (red, _, blue), wrong, empty = (
        figure.axes[0].images[0].get_array()[cell][:3] for cell in ((0, 0), (0, 1), (1, 0))
    )
    assert blue > red
    assert wrong[0] > wrong[2]
    assert tuple(empty) == (1, 1, 1)


def test_dollar_signs_in_names_are_text_and_not_formulas():
    figure_to_png(confusion_matrix_figure(np.eye(2, dtype=int), ["$5", r"$\frac{$"], title="$x$"))


def test_a_matrix_without_photos_is_drawn_empty():
    found = texts(confusion_matrix_figure(np.zeros((3, 3), int), names(3)))
    assert any("3 of 3 classes do not occur" in text for text in found)


def test_the_png_is_of_the_figures_size_and_always_the_same():
    figure = confusion_matrix_figure(matrix(7), names(7))
    png = figure_to_png(figure)
    picture = Image.open(io.BytesIO(png))
    assert picture.size == pytest.approx(figure.get_size_inches() * figure.dpi, abs=1)
    assert figure_to_png(confusion_matrix_figure(matrix(7), names(7))) == png


def test_plots_load_neither_tensorflow_nor_pyplot():
    code = (
        "import sys, fashion_keras.evaluation.plots\n"
        "print([m for m in ('tensorflow', 'keras', 'matplotlib.pyplot') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
