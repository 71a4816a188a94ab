"""The audit of titles: what it ranks first, what it leaves out, writes and refuses."""

import csv
import io
import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image
from tiny_records import COLOURS, LABELS, write_tiny_records

import fashion_keras as fk
from fashion_keras.audit import main
from fashion_keras.auditing.sheets import Tile, csv_bytes, tile_sheet
from fashion_keras.auditing.title_audit import (
    Answers,
    _sheet,
    disagreement,
    rank_products,
)
from fashion_keras.config import load_config
from fashion_keras.data.corrections import read_corrections
from fashion_keras.errors import UserError
from fashion_keras.retrain import retrain
from fashion_keras.run import DECISION_FILE, save_labels

SIZE = (40, 32)
SWAPPED = 141  # of the test split, a red bag or belt that is called blue, or the reverse


def title(number, shape, colour):
    """Shape and colour; of one product the other colour, and every ninth has no title."""
    if number == SWAPPED:
        colour = next(name for name in COLOURS if name != colour)
    return "" if number % 9 == 0 else f"={colour} {shape} 靴👗 {'of fine leather ' * 40}"


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("titled") / "records"
    write_tiny_records(folder, train=90, validation=40, test=30, title=title)
    return folder


@pytest.fixture(scope="module")
def run(records, tmp_path_factory):
    """A run whose photo's model knows the colour by the mean pixel and nothing of shapes."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    image = keras.Input((*SIZE, 3), name="image")
    mean = keras.layers.GlobalAveragePooling2D(name="features")(image)
    heads = {k: keras.layers.Dense(len(names), name=k)(mean) for k, names in LABELS.items()}
    model = keras.Model(image, heads)
    model.get_layer("subCategory").set_weights([np.zeros((3, 3)), np.zeros(3)])
    blue_or_red = np.array([[-1, 1], [0, 0], [1, -1]], np.float32)
    model.get_layer("baseColour").set_weights([blue_or_red, np.zeros(2)])
    model.save(folder / "best.keras")
    save_labels(folder, LABELS)
    load_config(None, {"data.image_size": list(SIZE)}).save(folder / "config.yaml")
    retrain(folder, records, part="title", progress=False)
    return folder


@pytest.fixture(scope="module")
def audited(run, records, tmp_path_factory):
    """The folder that the audit wrote, and what it returned."""
    output = tmp_path_factory.mktemp("audited") / "out"
    return output, fk.audit(records, output, model=run, titles=True, progress=False)


def rows(folder):
    with open(folder / "titles.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_photo_of_another_product_comes_first(audited):
    first, second, *_ = rows(audited[0])
    assert (first["rank"], first["id"], first["split"]) == ("1", str(SWAPPED), "test")
    assert first["differs_in"] == "baseColour"
    assert first["baseColour"] == first["baseColour_by_photo"] != first["baseColour_by_title"]
    assert float(first["baseColour_p_title"]) > 0.5 < float(first["baseColour_p_photo"])
    assert float(first["score"]) > 0 > float(second["score"])


def test_products_without_text_are_left_out_and_counted(audited):
    folder, said = audited
    found = {int(row["id"]) for row in rows(folder)}
    assert found == {number for number in range(91, 161) if number % 9}
    assert "63 products compared (validation 36, test 27); 7 left out: no text" in said
    report = json.loads((folder / "titles.json").read_text("utf-8"))
    assert report["products"] == {"validation": 36, "test": 27}
    assert report["without_text"] == 7


def test_no_title_is_a_formula_and_a_product_without_a_label_has_an_empty_cell(audited):
    found = rows(audited[0])
    assert all(row["title"].startswith("'=") for row in found)
    assert {row["baseColour"] for row in found} == {*COLOURS, ""}


def test_convert_relabel_reads_it_and_finds_the_labels_as_they_are(audited):
    relabel = read_corrections(None, audited[0] / "titles.csv", list(LABELS)).relabel
    own = {row["id"]: {k: row[k] for k in LABELS if row[k]} for row in rows(audited[0])}
    assert relabel == own


def test_the_sheet_shows_the_first(audited):
    assert Image.open(audited[0] / "titles.png").width > 1_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "靴" * 5_000,
        "👩\u200d👧 🏽 \ufe0f",
        "קופסה \u202e كتاب",
        "a\0b\r\n\tc\x1b[2J",
        "x" * 100_000,
        "e\u0301" * 99,
    ],
)
def test_any_title_can_be_drawn(records, text):
    row = {"rank": 1, "id": "141", "split": "test", "score": 1.0, "title": text, "kind": ""}
    row |= {"kind_by_photo": "A", "kind_p_photo": 1.0, "kind_by_title": "B", "kind_p_title": 1.0}
    assert Image.open(io.BytesIO(_sheet(records, [row | {"differs_in": "kind"}]))).height > 200
    csv_bytes([row])


def test_letters_beyond_ascii_are_drawn():
    """What a font does not have is one and the same box."""
    assert len({tile_sheet("", [Tile([], [letter])]) for letter in "ÉöЖΩאع"}) == 6


def test_one_label_and_one_split_can_be_asked_for(run, records, tmp_path, capsys):
    argv = ["--titles", "--data", str(records), "--model", str(run), "--output", str(tmp_path)]
    assert main([*argv, "--label", "subCategory", "--splits", "train"]) == 0
    printed = capsys.readouterr()
    assert "train 80" in printed.out and "10 left out" in printed.out
    assert "knows its training products by heart" in printed.err
    assert "baseColour" not in rows(tmp_path)[0] and rows(tmp_path)[0]["split"] == "train"


def test_disagreement_is_how_much_likelier_two_products_are_than_one():
    """Counted: photos and titles that say a class wrongly once in five, of 1 : 3 classes."""
    shares = np.array([0.25, 0.75])
    says = np.array([[0.8, 0.2], [0.2, 0.8]])  # [class, what is said]
    said = shares @ says
    posterior = (shares[:, None] * says / said).T  # [what is said, class]
    for photo in (0, 1):
        for title in (0, 1):
            of_one = (shares * says[:, photo] * says[:, title]).sum()
            expected = np.log10(said[photo] * said[title] / of_one)
            found = disagreement(posterior[[photo]], posterior[[title]], shares)
            assert found[0] == pytest.approx(expected, abs=1e-3)
    assert disagreement(shares[None], posterior[[0]], shares)[0] == pytest.approx(0, abs=1e-3)
    assert disagreement(np.eye(2)[[0]], np.eye(2)[[1]], shares).tolist() == [4]


def test_ranks_go_over_all_splits():
    def answers(split, photo):
        probabilities = {"kind": np.array([photo])}
        return Answers(split, [split], ["Shirt"], {"kind": np.array([0])}, probabilities, sure, 0)

    sure = {"kind": np.array([[0.9, 0.1]])}
    found = [answers("validation", [0.5, 0.5]), answers("test", [0.1, 0.9])]
    ranked = rank_products(found, {"kind": ("A", "B")}, {"kind": np.array([0.5, 0.5])})
    assert [(row["rank"], row["split"]) for row in ranked] == [(1, "test"), (2, "validation")]


# ---- what is refused ----


def refusal(capsys, *argv):
    assert main([*map(str, argv)]) == 2
    return capsys.readouterr().err


def test_a_run_without_titles_is_told_how_to_get_them(run, records, tmp_path, capsys):
    shutil.copy(run / "best.keras", tmp_path)
    argv = ("--titles", "--data", records, "--model", tmp_path, "--output", tmp_path / "out")
    error = refusal(capsys, *argv)
    assert "takes no titles" in error and "--part title" in error
    assert len(error.splitlines()) == 1


def test_records_without_text_are_refused_in_a_line(run, tmp_path, capsys):
    write_tiny_records(tmp_path / "plain")
    argv = ("--titles", "--data", tmp_path / "plain", "--model", run, "--output", tmp_path / "out")
    error = refusal(capsys, *argv)
    assert "no text of its products" in error and "--text-column" in error
    assert len(error.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_records_whose_titles_are_all_empty_are_refused(run, tmp_path):
    write_tiny_records(tmp_path / "mute", title=lambda *_: "")
    with pytest.raises(UserError, match="no product of validation or test has a text"):
        fk.audit(tmp_path / "mute", tmp_path / "out", model=run, titles=True, progress=False)
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_not_calibrated_is_refused(run, records, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / DECISION_FILE).unlink()
    with pytest.raises(UserError, match=r"by the photo are not calibrated. Run\n.*calibrate"):
        fk.audit(records, tmp_path / "out", model=folder, titles=True, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--titles"], "--titles needs one --model RUN"),
        (["--titles", "--model", "a", "b"], "--titles needs one --model RUN"),
        (["--titles", "--labels"], "two audits"),
        (["--titles", "--folds", "2"], "--folds belongs to --labels"),
        (["--titles", "--max-distance", "2"], "leave out --titles"),
        (["--titles", "--model", "nowhere", "--splits", "tset"], "did you mean 'test'"),
        (["--titles", "--model", "nowhere"], "no trained model at nowhere"),
        (["--splits", "test"], "--splits belongs to --labels or --titles"),
    ],
)
def test_what_does_not_fit_is_refused(records, tmp_path, capsys, options, message):
    assert message in refusal(capsys, "--data", records, "--output", tmp_path / "out", *options)
