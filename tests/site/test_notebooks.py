"""The notebooks that can be downloaded, run as a reader would run them."""

import json

import nbformat
import pytest
from nbclient import NotebookClient

from howto import files, stacks


def run(site, topic, folder):
    """Run a notebook in a kernel of its own, in an empty folder; return all that its cells printed."""
    (path,) = site.glob(f"_downloads/*/plot_{topic}.ipynb")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "".join(output.get("text", "") for cell in cells for output in cell.outputs)


def records(site):
    return {record["topic"]: record for record in json.loads((site / "verified.json").read_text())["records"]}


def test_the_quickest_notebook_runs_top_to_bottom(site, tmp_path):
    topic, record = min(records(site).items(), key=lambda item: item[1]["seconds"])
    assert run(site, topic, tmp_path).count("✓ ") == len(record["checks"])


@pytest.mark.slow
@pytest.mark.parametrize("topic", files.topics(stacks.current().family))
def test_every_notebook_runs_top_to_bottom(site, topic, tmp_path):
    assert run(site, topic, tmp_path).count("✓ ") == len(records(site)[topic]["checks"])


@pytest.mark.parametrize("topic", files.topics(stacks.current().family))
def test_the_first_cell_of_a_notebook_says_how_to_install(site, topic):
    (path,) = site.glob(f"_downloads/*/plot_{topic}.ipynb")
    first = nbformat.read(path, as_version=4).cells[0].source
    assert "tox -e wheels" in first
    assert f".tox/stack-{stacks.current().name}/bin/python" in first
