"""Every notebook runs from top to bottom, offline, and is kept without outputs."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient
from support import needs
from support.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXTRAS = {"pvlib": ("import pvlib", ".solar(mean"), "scores": ("import scores", ".hrrr.errors(")}
"""Modules of the extra ``analysis``, and code that needs them."""


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 4


def test_a_notebook_is_kept_clean(notebook):
    assert notebook.cells[0].source.startswith("# ")
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert not any(place in cell.source for place in ("/home/", "/root/", "/tmp/", "/work/", "/Users/"))


def test_a_notebook_runs_and_warns_of_nothing(notebook, tmp_path, monkeypatch, request):
    if not (request.config.getoption("--all") or request.node.callspec.id.startswith("01")):
        pytest.skip(needs.LONG)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    for module, uses in EXTRAS.items():
        if any(use in code for use in uses):
            needs.extra(module)
    monkeypatch.delenv("HRRR_STORE", raising=False)
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    resources = {"metadata": {"path": str(here)}}
    NotebookClient(notebook, kernel_name="python3", timeout=180, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 1
    assert not list(here.iterdir())
