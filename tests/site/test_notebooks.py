"""The notebooks that can be downloaded, run as a reader would run them."""

import json

import nbformat
import pytest
from nbclient import NotebookClient

from howto.project import howtos, stacks


@pytest.mark.slow
@pytest.mark.parametrize("topic", [howto.topic for howto in howtos.runnable(stacks.current())])
def test_every_notebook_runs_top_to_bottom(site, topic, tmp_path):
    """In a kernel of its own, in an empty folder."""
    (path,) = site.glob(f"_downloads/*/plot_{topic}.ipynb")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    records = json.loads((site / "verified.json").read_text())["records"]
    (checks,) = [record["checks"] for record in records if record["topic"] == topic]
    assert "".join(output.get("text", "") for output in outputs).count("✓ ") == len(checks)
