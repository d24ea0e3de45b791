"""A Python of the reader's own gets what it lacks and nothing else; here it borrows the stack's packages."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from howto.project import stacks
from howto.project.errors import HowtoError
from howto.project.stacks import STACKS
from howto.setup import here

STACK = stacks.current()


@pytest.fixture(scope="module")
def own(whole_project, tmp_path_factory):
    """A virtual environment without an environment of the stack beside it, and a lock with one package that it lacks.

    How to run ``python -m howto`` there, or the script of the install page, and where its packages lie.
    """
    root = tmp_path_factory.mktemp("own")
    project = whole_project.copy(root / "project")
    (project.root / ".tox" / f"stack-{STACK.name}").unlink()
    lock = project.root / "requirements" / f"{STACK.name}.txt"
    lock.write_text(f"howto-lacks==1.0\n    # via -r requirements/site.inc\n{lock.read_text()}")
    wheels = project.root / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "howto_lacks-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("howto_lacks.py", "")
        archive.writestr(
            "howto_lacks-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: howto-lacks\nVersion: 1.0\n"
        )
        archive.writestr(
            "howto_lacks-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("howto_lacks-1.0.dist-info/RECORD", "")
    environment = root / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    packages = next(environment.glob("lib/python3*/site-packages"))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))

    def howto(*arguments, script=None):
        python = environment / "bin" / "python"
        command = ["docs/own_torch.sh", script] if script else [python, "-m", "howto", *arguments]
        variables = {**os.environ, "PYTHON": str(python), "HOWTO_STACK": STACK.name}
        return subprocess.run(command, cwd=project.root, env=variables, capture_output=True, text=True)

    return howto, packages


def test_what_is_missing_is_named_in_one_message_with_the_command_that_installs_it(own):
    howto, _ = own
    done = howto("build")
    assert done.returncode == 1
    assert done.stderr.startswith("howto build: packages: 1 of ")
    assert done.stderr.endswith("are missing: howto-lacks; run `python -m howto install --here`\n")
    assert howto(script="needs").stdout == "howto-lacks==1.0\n"  # a requirements file


def test_what_cannot_be_had_says_so_and_changes_nothing(own, tmp_path):
    howto, packages = own
    done = howto("install", "--here", "--no-index", "--find-links", str(tmp_path))
    assert done.returncode == 1
    assert "howto install: pip install failed" in done.stderr
    assert not list(packages.glob("howto_lacks*"))


def test_only_what_is_missing_is_added_from_a_folder_of_wheels(own):
    howto, packages = own
    before = {path.name for path in packages.iterdir()}
    done = howto(script="install")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 packages added" in done.stdout
    added = {path.name for path in packages.iterdir()} - before
    assert added <= {"howto_lacks.py", "howto_lacks-1.0.dist-info", "__pycache__"}
    assert howto("install", "--list").stdout == "\n"


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_a_build_needs_neither_torchs_own_packages_nor_those_of_the_tests(stack):
    needed = set(stack.needed())
    assert {stack.compiled, "sphinx", "scikit-image", "cosmic-ray", "sphinxcontrib-htmlhelp"} <= needed
    assert not needed & {"torch", "triton", "sympy", "pytest", "playwright", "ipykernel", "pluggy"}
    assert not [name for name in needed if name.startswith("nvidia-")]


def test_another_build_of_opencv_does(monkeypatch):
    found = dict.fromkeys(STACK.needed(), "1")
    found["opencv-python"] = found.pop("opencv-python-headless")
    monkeypatch.setattr(here, "installed", lambda: found)
    assert here.missing(STACK) == []


def test_without_a_torch_nothing_is_installed(monkeypatch):
    monkeypatch.setattr(here, "installed", dict)
    with pytest.raises(HowtoError, match="there is no torch here"):
        here.install_here(STACK, Path("wheels"))


def test_a_torch_that_came_without_torchvision_gets_the_one_that_belongs_to_it(monkeypatch, capsys):
    monkeypatch.setattr(here, "installed", lambda: {"torch": f"{STACK.versions['torch']}+cu130"})
    here.install_here(STACK, only_list=True)
    assert f"torchvision=={STACK.versions['torchvision']}" in capsys.readouterr().out.splitlines()


def test_no_torchvision_is_put_beside_a_torch_that_it_does_not_belong_to(monkeypatch):
    monkeypatch.setattr(here, "installed", lambda: {"torch": "1.0"})
    with pytest.raises(HowtoError, match=r"no torchvision here.*install the one that belongs to torch 1\.0"):
        here.install_here(STACK, only_list=True)


def test_versions_that_are_not_the_locks_are_named_with_those_that_are():
    versions = {"torch": f"{STACK.versions['torch']}+cu130", STACK.compiled: "99.0", "another": "1.0"}
    assert stacks.differing(versions, STACK) == {STACK.compiled: STACK.versions[STACK.compiled]}
