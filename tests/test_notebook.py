"""In a notebook: a bar that is a widget, figures below the cell, and no warning."""

import pytest
from example import write_config, write_set

CELLS = [
    "import warnings\nwarnings.simplefilter('error')\nimport distmlp",
    "result = distmlp.train('config.toml', progress=True)",
    "distmlp.plot('runs/mine')",
    "result = distmlp.train('config.toml', progress=True)\nresult.complete",
]


@pytest.mark.slow
def test_a_notebook_runs_without_a_warning(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    for name in ("ipykernel", "ipywidgets"):
        pytest.importorskip(name)
    write_set(tmp_path / "set.h5")
    write_config(tmp_path / "config.toml", {"run.directory": "runs/mine"})
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3", resources=where).execute()
    outputs = [cell["outputs"] for cell in book.cells]
    said = [out for each in outputs for out in each if out["output_type"] == "stream"]
    assert all(out["name"] == "stdout" for out in said), said
    _, trained, plotted, again = outputs
    kinds = {kind for out in trained for kind in out.get("data", {})}
    assert "application/vnd.jupyter.widget-view+json" in kinds
    assert any("epoch 2/2" in out.get("text", "") for out in trained)
    (figures,) = [out["data"]["text/html"] for out in plotted]
    assert figures.count('src="data:image/png;base64,') >= 2 and 'alt="curves"' in figures
    assert again[-1]["data"]["text/plain"] == "True"
