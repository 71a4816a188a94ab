"""Predictions as lines and as rows."""

import pytest

from fashion_keras.serving.prediction import LineFormat, Prediction, csv_writer

SHOES = Prediction("a.jpg", ("Shoes", "Bags", "Ties"), (0.75, 0.2, 0.05))
BAD = Prediction("b\x1b[2J.jpg", error="empty file")


def test_lines_are_aligned():
    line = LineFormat(["a.jpg", "a longer path.jpg"], ["Shoes", "Flip Flops"], top=2)
    assert line(SHOES) == "a.jpg              Shoes       0.750  (Bags 0.200)"


def test_a_line_may_show_one_class_or_several():
    assert LineFormat(["a.jpg"], ["Shoes"], top=1)(SHOES) == "a.jpg  Shoes  0.750"
    three = LineFormat(["a.jpg"], ["Shoes"], top=3)(SHOES)
    assert three.endswith("(Bags 0.200, Ties 0.050)")


def test_a_line_shows_an_error_and_nothing_a_terminal_obeys():
    assert LineFormat([BAD.path], ["Shoes"], top=2)(BAD) == "b?[2J.jpg  error: empty file"


def test_rows_hold_the_best_two_classes_or_the_reason(tmp_path):
    path = tmp_path / "out.csv"
    alone = Prediction("c, d.jpg", ("Shoes",), (1.0,))
    with csv_writer(path) as write:
        for prediction in (SHOES, BAD, alone):
            write(prediction)
    assert path.read_text(encoding="utf-8").splitlines() == [
        "path,class,score,runner_up,runner_up_score,error",
        "a.jpg,Shoes,0.750000,Bags,0.200000,",
        "b\x1b[2J.jpg,,,,,empty file",
        '"c, d.jpg",Shoes,1.000000,,,',
    ]


def test_names_that_are_no_unicode_can_be_written(tmp_path):
    with csv_writer(tmp_path / "out.csv") as write:
        write(Prediction(b"caf\xe9.jpg".decode("utf-8", "surrogateescape"), error="gone"))
    assert "caf\\udce9.jpg,,,,,gone" in (tmp_path / "out.csv").read_text(encoding="utf-8")


def test_a_table_that_was_there_survives_an_interruption(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("precious")
    with pytest.raises(KeyboardInterrupt), csv_writer(path) as write:
        write(SHOES)
        raise KeyboardInterrupt
    assert path.read_text() == "precious"
    assert "a.jpg,Shoes" in (tmp_path / "out.csv.partial").read_text()
