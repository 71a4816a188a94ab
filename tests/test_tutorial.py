"""docs/tutorial.ipynb: every cell runs, and what is stored in it can be shown to anybody."""

import importlib.util
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 400_000  # bytes: what GitHub still renders at once
BAR = re.compile(r"\d+%\|")


def load_script():
    spec = importlib.util.spec_from_file_location("tutorial", ROOT / "scripts" / "tutorial.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = load_script()


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(cell):
    for output in cell.outputs:
        yield output.get("text") or output.get("data", {}).get("text/plain", "")


def shortened(text):
    """Return the notebook with fewer photos and epochs, and a network that is traced sooner."""
    text, counts = re.subn(r"\bcount=\d+", "count=100", text)
    text, epochs = re.subn(r"\bepochs=\d+", "epochs=1", text)
    text, archs = re.subn(r'\barch=\\"resnet18\\"', r'arch=\\"tiny\\"', text)
    assert (counts, epochs, archs) == (2, 1, 1)
    notebook = nbformat.reads(text, as_version=4)
    tiny = f"""
import sys
from fashion_keras.models.registry import ARCHITECTURES
sys.path.append({str(Path(__file__).parent)!r})
ARCHITECTURES["tiny"] = "tiny_arch"
"""
    notebook.cells.insert(0, nbformat.v4.new_code_cell(tiny))
    return notebook


@pytest.mark.parametrize(
    "short", [pytest.param(True, id="short"), pytest.param(False, marks=pytest.mark.slow, id="all")]
)
def test_every_cell_runs_and_the_last_table_has_tags(tmp_path, short):
    text = SCRIPT.NOTEBOOK.read_text(encoding="utf-8")
    notebook = shortened(text) if short else nbformat.reads(text, as_version=4)
    SCRIPT.execute(notebook, tmp_path)  # raises where a cell fails
    cells = code_cells(notebook)
    for cell in cells:
        assert not [out for out in cell.outputs if out.get("name") == "stderr"], cell.source
        assert sum(bool(BAR.search(text)) for text in texts(cell)) <= 1, cell.source
    table = cells[-1].outputs[-1].data["text/plain"]
    assert re.search(
        r"\bid +masterCategory +masterCategory_score +masterCategory_decision\n", table
    )
    assert re.search(r"^\d+ +\d+ +(Accessories|Apparel|Footwear) +[01]\.\d+ ", table, re.MULTILINE)


def test_the_stored_notebook_is_executed_small_and_of_no_machine():
    text = SCRIPT.NOTEBOOK.read_text(encoding="utf-8")
    assert len(text.encode()) < LIMIT
    assert not re.search(r"/(work|home|tmp|root|Users)/|Traceback|\"stderr\"", text)
    cells = code_cells(nbformat.reads(text, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    pictures = [
        output
        for cell in cells
        for output in cell.outputs
        if {"image/png", "image/jpeg"} & {*output.get("data", {})}
    ]
    assert len(pictures) >= 5
