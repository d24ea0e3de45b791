"""Make what a page offers to download beside its snippets."""

import io
import json
import re
import zipfile
from pathlib import Path

from howto.project import stacks
from howto.project.howtos import HowTo
from howto.project.record import write_json


def topic_zip(howto: HowTo) -> bytes:
    """A zip to unpack into ``configs/`` of a checkout: the folder of the how-to, with every snippet in it."""
    return _zip({f"{howto.topic}/{path.name}": path.read_bytes() for path in howto.snippets})


def one_gpu(config: Path) -> str:
    """The command that trains a how-to's config on one GPU."""
    return f"{root(config)}python tools/train.py configs/{config.parent.name}/{config.name} --auto-scale-lr"


def resume(howto: HowTo, config: Path) -> str:
    """The command that goes on with that training after it was interrupted."""
    last = {"mmdet2": f"--resume-from work_dirs/{config.stem}/latest.pth", "mmdet3": "--resume"}
    return f"{one_gpu(config)} {last[howto.stack.family]}"


def root(config: Path) -> str:
    """What a command needs before it if a config imports from below ``configs``: the repository's root."""
    return "PYTHONPATH=. " if "'configs." in config.read_text("utf-8") else ""


def finish_notebook(howto: HowTo, notebook: Path) -> None:
    """Put the snippets into a notebook's prose, and zip script and notebook.

    A notebook has no tabs: what is in one comes under its name.
    """
    if not notebook.exists():
        return
    content = json.loads(notebook.read_text("utf-8"))

    def code(directive: re.Match) -> str:
        path = howto.snippet(directive[1])
        return f"`configs/{howto.topic}/{path.name}`\n\n```python\n{path.read_text('utf-8')}```\n"

    def command(directive: re.Match) -> str:
        return f"```console\n$ {stacks.current().install(directive[1].split())}\n```"

    def train(directive: re.Match) -> str:
        command = f"```console\n$ {one_gpu(howto.snippet(directive[1]))}\n```"
        asked = howto.examples.read_text("utf-8") if howto.examples.exists() else ""
        return f"{command}\n\nAre the files saved right? Ask Python:\n\n```pycon\n{asked}```" if asked else command

    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            prose = "".join(cell["source"])
            prose = re.sub(r"^\.\. tab:: (.+)\n\n   (?=\.\. snippet)", r"**\1**\n\n", prose, flags=re.MULTILINE)
            prose = re.sub(r"^\.\. index:: .+\n\n?", "", prose, flags=re.MULTILINE)
            prose = re.sub(r"^\.\. needs:: (\S+)$", r"It needs the package \1.", prose, flags=re.MULTILINE)
            prose = re.sub(r"^\.\. install:: (.+)$", command, prose, flags=re.MULTILINE)
            prose = re.sub(r"^\.\. train:: (\S+)$(?:\n\n   .*(?:\n   .*)*)?", train, prose, flags=re.MULTILINE)
            snippets = "\n\n".join(f".. snippet:: {path.name}" for path in howto.snippets)
            prose = prose.replace(".. files::", snippets)
            cell["source"] = [re.sub(r"\.\. snippet:: (\S+)(?:\n\n(?:   .*\n?)+)?", code, prose)]
    write_json(notebook, content)
    both = [notebook.with_suffix(".py"), notebook]
    notebook.with_suffix(".zip").write_bytes(_zip({path.name: path.read_bytes() for path in both}))


def _zip(content: dict[str, bytes]) -> bytes:
    """The same bytes for the same content: no entry has a time of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return buffer.getvalue()
