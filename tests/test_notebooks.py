"""The notebooks run from their first cell to their last."""

import shutil
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks_and_they_hold_no_outputs():
    assert [page.stem for page in NOTEBOOKS] == ["cluster", "laptop", "xarray-only"]
    for page in NOTEBOOKS:
        cells = nbformat.read(page, as_version=4).cells
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_notebooks_run(page, tmp_path):
    """In an empty folder but for the store that the quickstart leaves."""
    shutil.unpack_archive(ROOT / "tests" / "data" / "studies" / "quickstart.zip", tmp_path)
    notebook = nbformat.read(page, as_version=4)
    run = nbclient.NotebookClient(
        notebook, timeout=800, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    run.execute()
