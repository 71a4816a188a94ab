"""scripts/titles_results.py: the tables of docs/titles.md are those of the kept predictions."""

import re

import pytest
from sklearn.metrics import accuracy_score, f1_score
from test_results_table import ROOT, load_script

SCRIPT = load_script("titles_results")
TABLES = SCRIPT.stored()


def assert_shown(table, document):
    """Check all but the ends of the intervals to the letter: NumPy's versions draw differently."""
    text = document.read_text(encoding="utf-8")
    shown = text[text.index(table.splitlines()[0]) :].split("\n\n")[0]
    interval = re.compile(r"\[([^],]+), ([^]]+)\]")
    assert interval.sub("[]", shown) == interval.sub("[]", table)
    for found, expected in zip(interval.findall(shown), interval.findall(table), strict=True):
        for one, other in zip(found, expected, strict=True):
            last_digit = 10.0 ** -len(other.strip("%").partition(".")[2])
            assert abs(float(one.strip("%")) - float(other.strip("%"))) < 6 * last_digit


def test_the_documents_show_the_tables_of_the_kept_predictions():
    for table in SCRIPT.all_tables(TABLES):
        assert_shown(table, ROOT / "docs" / "titles.md")
    assert_shown(SCRIPT.readme_table(TABLES), ROOT / "README.md")


@pytest.mark.parametrize("name", sorted(TABLES))
@pytest.mark.parametrize("label", ["subCategory", "baseColour"])
def test_figures_are_scikit_learns(name, label):
    rows = SCRIPT.rows_of(TABLES[name], label, "all")
    table = SCRIPT.scores_table({name: TABLES[name]}, label)
    truth = rows[f"{label}.truth"].astype(str)
    for way in SCRIPT.WAYS:
        said = rows[f"{label}.{way}"].astype(str)
        if any(part[0] == name and part[1] == "all" for part in SCRIPT.PARTS):
            assert f" {accuracy_score(truth, said):.4f} [" in table
            assert f" {f1_score(truth, said, average='macro', zero_division=0):.3f} [" in table


def test_products_are_those_of_the_published_test_split():
    rows = TABLES["published"]
    assert len(rows) == rows.id.nunique() == 6_664
    assert int(rows.known_title.sum()) == 2_519  # stand word for word in train
