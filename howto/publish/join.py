"""Join the sites of the stacks that are built: the question which one to read, the switch between them, all records."""

import json
import os
import subprocess
from pathlib import Path

from howto.project.errors import HowtoError
from howto.project.files import BUILD
from howto.project.record import write_json, write_text
from howto.project.stacks import ROOT, STACKS
from howto.publish.front import front
from howto.setup.install import read_stamp


def build_all() -> int:
    """Build the site of every stack that is installed, each in its own environment; 0 if all were built.

    Raises:
        HowtoError: No stack is installed.
    """
    installed = [stack for stack in STACKS.values() if stack.python.exists() and read_stamp(stack)]
    if not installed:
        raise HowtoError("no stack is installed; run `tox -e wheels`, `tox -e wheels-mmdet3` or `tox -e wheels-onedl`")
    failed = 0
    # The first ones once more, executing nothing: their page about drift shows the records of the later ones.
    for stack in [*installed, *installed[:-1]]:
        print(f"== {stack.name}: {stack.title}", flush=True)
        environment = {**os.environ, "HOWTO_STACK": stack.name}
        failed += subprocess.run([stack.python, "-m", "howto", "build"], cwd=ROOT, env=environment).returncode != 0
    missing = [stack.name for stack in STACKS.values() if stack not in installed]
    print(f"not installed, so not built now: {', '.join(missing)}" if missing else "every stack was built")
    return int(failed > 0)


def join(html: Path = BUILD / "html") -> Path:
    """Write what stands above the stacks' sites in `html`; the address of the whole."""
    built = [stack for stack in STACKS.values() if (html / stack.name / "index.html").exists()]
    pages = {stack.name: sorted(_pages(html / stack.name)) for stack in built}
    switch = [{"name": stack.name, "audience": stack.audience, "pages": pages[stack.name]} for stack in built]
    write_text(html / "stacks.js", f"const HOWTO_STACKS = {json.dumps(switch, indent=1)};\n")
    write_json(
        html / "verified.json", [json.loads((html / name / "verified.json").read_text("utf-8")) for name in pages]
    )
    write_text(html / "index.html", front(html, built))
    return html / "index.html"


def _pages(site: Path) -> list[str]:
    return [str(path.relative_to(site).with_suffix("")) for path in site.rglob("*.html") if "_static" not in path.parts]
