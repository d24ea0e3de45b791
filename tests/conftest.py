"""What several test modules share: the built site, and copies of the project that a test may break."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from howto.checkout import standby
from howto.execution.machine import BROWSERS
from howto.project import files, stacks

AT_START = ("LC_", "LANG", "PYTHON")  # what a copy of a running process does not see, or not alike
ONE = "print(1 + 1)\n"
PAGE = '''"""
How much is one and one?
========================

Two.
"""

# %%
# .. snippet:: {topic}/one.py

# %%
import runpy

from howto.project import files
from howto.project.record import Record, sha256

snippet = files.snippet_folder("mmdet2") / "{topic}" / "one.py"
record = Record("{topic}", "mmdet2", {{"mmdet2/{topic}/one.py": sha256(snippet)}}, device="CPU")
runpy.run_path(str(snippet))
record.check("the sum", 1 + 1, 2)
'''


@dataclasses.dataclass(frozen=True)
class Project:
    """A copy of this project, with the environment of the original."""

    root: Path

    @property
    def site(self) -> Path:
        return self.root / "docs/_build/html/mmdet2"

    def start(self, *arguments: str, python: tuple[str, ...] = (), **environment: str) -> subprocess.Popen:
        """Start ``python -m howto`` in this copy."""
        return subprocess.Popen(
            [sys.executable, *python, "-m", "howto", *arguments], cwd=self.root, env=self._environment(environment),
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def howto(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        """Run ``python -m howto`` in this copy to its end; where nothing speaks against it, with torch imported."""
        if not any(name == "python" or name.startswith(AT_START) for name in options):
            return standby.run(["-m", "howto", *arguments], self.root, self._environment(options), limit=300)
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def _environment(self, changes: dict[str, str]) -> dict[str, str]:
        mine = {"PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1", "HOWTO_WORKERS": "1"}
        return {**os.environ, **mine, **changes}

    def add(self, topic: str) -> None:
        """Add a how-to that runs in no time."""
        for path, text in ((f"snippets/mmdet2/{topic}/one.py", ONE), (f"gallery/plot_{topic}.py", PAGE)):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text.format(topic=topic))

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert text.count(old) == 1
        (self.root / path).write_text(text.replace(old, new))

    def copy(self, root: Path) -> "Project":
        """This copy once more, with what it has built."""
        return Project(Path(shutil.copytree(self.root, root, symlinks=True)))


@pytest.fixture(scope="session")
def site() -> Path:
    """The site of this stack, as if nobody knew where it will be; built if it is not fresh."""
    known = {name: value for name, value in os.environ.items() if not re.fullmatch("HOWTO_.*_URL", name)}
    command = [sys.executable, "-m", "howto", "build"]
    done = subprocess.run(command, cwd=stacks.ROOT, env=known, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"the site does not build:\n{done.stdout[-3000:]}{done.stderr[-3000:]}", pytrace=False)
    return stacks.ROOT / "docs/_build/html" / stacks.current().name


@pytest.fixture(scope="session")
def whole_project(tmp_path_factory) -> Project:
    """A copy of this project with its own how-tos, nothing built. Not to be changed: ask for `project`."""
    root = tmp_path_factory.mktemp("whole") / "project"
    shutil.copytree(stacks.ROOT, root, ignore=files.NO_SOURCES)
    stack = root / ".tox" / f"stack-{stacks.current().name}"
    stack.parent.mkdir()
    stack.symlink_to(sys.prefix)
    return Project(root)


@pytest.fixture
def project(whole_project, tmp_path) -> Project:
    """A copy of this project that a test may break."""
    return whole_project.copy(tmp_path / "project")


@pytest.fixture(scope="session")
def tiny_project(whole_project, tmp_path_factory) -> Project:
    """A copy of this project whose only how-to, ``tiny``, runs in no time, with its site built. Not to be changed."""
    tiny = whole_project.copy(tmp_path_factory.mktemp("tiny") / "project")
    for folder in ("snippets/mmdet2", "gallery"):
        for path in (tiny.root / folder).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix == ".py":
                path.unlink()
    shutil.rmtree(tiny.root / "docs/results")  # they are of other pages
    tiny.add("tiny")
    done = tiny.howto("build")
    assert done.returncode == 0, done.stdout + done.stderr
    return tiny


@pytest.fixture
def tiny(tiny_project, tmp_path) -> Project:
    """The tiny project, built, at a place of its own, for a test to break."""
    return tiny_project.copy(tmp_path / "tiny")


@pytest.fixture(scope="session")
def browser():
    """Chromium; without one the test is skipped, and fails where CI is set."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        lacking = f"there is no browser, so the pages were not looked at; install one of {', '.join(BROWSERS)}"
        pytest.fail(lacking, pytrace=False) if os.environ.get("CI") else pytest.skip(lacking)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        options.append("--host-resolver-rules=MAP next-room.test 127.0.0.1")
        launched = playwright.chromium.launch(executable_path=found, args=options)
        yield launched
        launched.close()
