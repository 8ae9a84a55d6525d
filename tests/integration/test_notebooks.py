"""The notebooks run from top to bottom on a part of the corpora, and are kept without outputs."""

import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from models.notebook import MESSAGES

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


def test_there_is_a_notebook_for_each_question():
    assert NAMES == [
        "1-corpus.ipynb",
        "2-training-and-comparing.ipynb",
        "3-errors-and-label-quality.ipynb",
        "4-thresholds-and-costs.ipynb",
    ]


@pytest.mark.filterwarnings("default")  # Jupyter's own libraries warn in this process
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_top_to_bottom_and_shows_pictures(name, monkeypatch):
    monkeypatch.setenv(MESSAGES, "25")
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
    book = nbformat.read(NOTEBOOKS / name, as_version=4)
    began = time.monotonic()

    NotebookClient(book, timeout=240, kernel_name="python3").execute(cwd=str(NOTEBOOKS))

    shown = [o for cell in book.cells for o in cell.get("outputs", ())]
    assert [o for o in shown if o.output_type == "error"] == []
    assert sum("image/png" in o.get("data", {}) for o in shown) >= 3
    print(f"{name}: {time.monotonic() - began:.0f} s")  # noqa: T201 - read with -s


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_kept_without_outputs_and_has_no_logic_of_its_own(name):
    book = nbformat.read(NOTEBOOKS / name, as_version=4)

    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    for cell in code:
        assert "def " not in cell.source
        assert "class " not in cell.source
