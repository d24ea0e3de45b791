import io
import json
import zipfile

import pytest

from howto.project import stacks
from howto.project.howtos import HowTo
from howto.site.downloads import finish_notebook, topic_zip

FAMILY = stacks.current().family
MOSAIC = HowTo(stacks.current(), "mosaic")
TIMM = f"pip install timm=={stacks.current().versions['timm']}"


def test_the_zip_of_a_topic_holds_its_folder_byte_for_byte_whenever_it_is_made(monkeypatch):
    first = topic_zip(MOSAIC)
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {f"mosaic/{path.name}": path.read_bytes() for path in MOSAIC.snippets}
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert topic_zip(MOSAIC) == first


@pytest.fixture
def notebook(tmp_path):
    snippet = MOSAIC.snippets[0]
    prose = f"See\n\n.. snippet:: mosaic/{snippet.name}\n\n   what it\n   prints\n\nand go on"
    path = tmp_path / "plot_mosaic.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": [prose]}]}))
    path.with_suffix(".py").write_text("x = 1\n")
    finish_notebook(MOSAIC, path)
    return path


@pytest.mark.parametrize(
    ("prose", "shown"),
    [
        ("A.\n\n.. install:: timm\n\nB.", f"A.\n\n```console\n$ {TIMM}\n```\n\nB."),
        ("A.\n\n.. needs:: detectron2\n\nB.", "A.\n\nIt needs the package detectron2.\n\nB."),
        (
            ".. train:: {0}\n\n   Some words on the rate.\n\nB.",
            "```console\n$ python tools/train.py configs/{0} --auto-scale-lr\n```\n\n"
            "Are the files saved right? Ask Python:\n\n```pycon\n{2}```\n\nB.",
        ),
        (
            ".. tab:: One\n\n   .. snippet:: {0}\n\n.. tab:: Two\n\n   .. snippet:: {0}\n",
            "**One**\n\n{1}\n\n**Two**\n\n{1}\n",
        ),
    ],
)
def test_a_notebook_says_in_words_what_only_a_page_can_show(tmp_path, prose, shown):
    snippet = MOSAIC.snippets[0]
    name = f"mosaic/{snippet.name}"
    path = tmp_path / "plot_mosaic.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": [prose.format(name)]}]}))
    path.with_suffix(".py").write_text("x = 1\n")
    finish_notebook(MOSAIC, path)
    (cell,) = json.loads(path.read_text())["cells"]
    code = f"`configs/{name}`\n\n```python\n{snippet.read_text()}```\n"
    assert "".join(cell["source"]) == shown.format(name, code, MOSAIC.examples.read_text())


def test_the_zip_of_a_page_holds_the_notebook_that_is_downloaded(notebook):
    with zipfile.ZipFile(notebook.with_suffix(".zip")) as archive:
        assert archive.namelist() == ["plot_mosaic.py", "plot_mosaic.ipynb"]
        assert archive.read("plot_mosaic.ipynb") == notebook.read_bytes()
