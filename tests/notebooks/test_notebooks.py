"""The notebooks run from top to bottom, and are stored without outputs."""

import base64
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def read(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs(path):
    for cell in code_cells(read(path)):
        assert not cell.outputs and cell.execution_count is None, "clear all outputs, then save"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_shows_its_first_figure_after_six_lines(path, tmp_path):
    notebook = read(path)
    first = code_cells(notebook)[0]
    assert len([line for line in first.source.splitlines() if line.strip()]) <= 6
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    shown = [out.data for out in first.outputs if "image/png" in out.get("data", {})]
    assert len(shown) == 1
    assert base64.b64decode(shown[0]["image/png"])[:4] == b"\x89PNG"
    noise = [out for cell in code_cells(notebook) for out in cell.outputs if out.get("name")]
    assert all(out.name == "stdout" for out in noise), noise
