import re
import subprocess
import sys
from pathlib import Path

import grimp

from howto.project.stacks import ROOT

TOOL = Path(sys.executable).with_name("lint-imports")
UP, ABSENT = "A room imports only from those below it", "What runs before anything is installed imports nothing"


def linted(root):
    return subprocess.run([TOOL, "--no-logo", "--no-cache"], cwd=root, capture_output=True, text=True)


DOORS = {  # a line each that is refused, all in one copy of the project
    "howto/project/record.py": "from howto.setup import install",
    "howto/execution/limits.py": "def late():\n    import howto.site.html_output",
    "howto/project/files.py": "import torch",
    "howto/setup/install.py": "def late():\n    from sphinx.application import Sphinx",
}


def test_a_door_that_leads_up_a_package_too_early_and_a_module_outside_the_rooms_are_refused(project):
    done = linted(project.root)
    assert done.returncode == 0, done.stdout
    for path, line in DOORS.items():
        with (project.root / path).open("a") as file:
            file.write(f"\n{line}\n")
    done = linted(project.root)
    assert done.returncode == 1
    assert len(re.findall(rf"({UP}|{ABSENT}).* BROKEN", done.stdout)) == 2
    named = {"howto.project.record", "howto.execution.limits", "howto.project.files", "howto.setup.install"}
    assert named <= {*re.findall(r"howto\.\w+\.\w+", done.stdout.replace(" is not allowed", ""))}
    (project.root / "howto/somewhere.py").touch()
    assert "somewhere" in linted(project.root).stdout


def test_every_package_that_is_imported_anywhere_is_forbidden_where_none_is_installed():
    graph = grimp.build_graph("howto", include_external_packages=True, cache_dir=None)
    imported = {name for name in graph.modules if name.partition(".")[0] != "howto"} - sys.stdlib_module_names
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    (forbidden,) = re.findall(r"forbidden_modules = \[(.*?)\]", text, re.DOTALL)
    assert imported == set(re.findall(r'"(\w+)"', forbidden))


def test_a_module_that_a_string_names_exists():
    named = set()
    for path in [ROOT / "conf.py", *(ROOT / "howto").rglob("*.py")]:
        named |= {(path.name, name) for name in re.findall(r'"(howto\.[a-z_.0-9]*\w)"', path.read_text("utf-8"))}
    assert {name for _, name in named} >= {"howto.site.extension", "howto.execution.preloaded", "howto.setup.ops"}
    files = {"howto.css", "howto.js", "howto.json"}
    for path, name in named:
        place = ROOT / name.replace(".", "/")
        attribute = place.with_suffix("") if place.with_suffix(".py").exists() or place.is_dir() else place.parent
        assert name in files or attribute.with_suffix(".py").exists() or attribute.is_dir(), f"{path} names {name}"


def test_only_the_package_itself_imports_what_runs_before_anything_is_installed():
    for path in (ROOT / "howto").rglob("__init__.py"):
        if path.parent != ROOT / "howto":
            assert not re.search(r"^(import|from) ", path.read_text("utf-8"), re.MULTILINE), path


def test_the_map_names_files_that_there_are():
    named = set(
        re.findall(r"`((?:howto|docs|gallery|snippets)/[\w/.]*)`", (ROOT / "docs/architecture.md").read_text("utf-8"))
    )
    assert len(named) > 12
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_tests_lie_in_the_rooms_of_what_they_test():
    lie = {path.name for path in (ROOT / "tests/howto").iterdir() if path.is_dir() and path.name != "__pycache__"}
    rooms = {path.parent.name for path in (ROOT / "howto").glob("*/__init__.py")}
    assert lie - {"mmdet3"} == rooms
