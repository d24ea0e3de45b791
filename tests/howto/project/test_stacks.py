import re
import tomllib
from dataclasses import FrozenInstanceError
from importlib import metadata

import pytest

from howto.project.errors import HowtoError
from howto.project.stacks import ROOT, STACKS, current, installed, named

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def test_the_default_stack_is_mmdet2(monkeypatch):
    monkeypatch.delenv("HOWTO_STACK", raising=False)
    assert current() is STACKS["mmdet2"]


@pytest.mark.parametrize("name", STACKS)
def test_the_environment_variable_chooses_the_stack(monkeypatch, name):
    monkeypatch.setenv("HOWTO_STACK", name)
    assert current().name == name


def test_an_empty_environment_variable_is_no_choice(monkeypatch):
    monkeypatch.setenv("HOWTO_STACK", "")
    assert current() is STACKS["mmdet2"]


def test_an_unknown_stack_is_answered_with_those_there_are(monkeypatch):
    monkeypatch.setenv("HOWTO_STACK", "mmdet9")
    with pytest.raises(HowtoError, match=r"no stack is called 'mmdet9'; set HOWTO_STACK to one of: mmdet2"):
        current()


def test_a_stack_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        named("mmdet2").name = "other"


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_a_stack_locks_torch_and_the_package_compiled_against_it(stack):
    assert {"torch", stack.compiled} <= stack.versions.keys()


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_one_opencv_is_locked_and_it_needs_no_screen(stack):
    assert [name for name in stack.versions if name.startswith("opencv")] == ["opencv-python-headless"]


def test_the_default_stack_is_the_one_the_pages_name():
    versions = named("mmdet2").versions
    pinned = {"torch": "2.0.1", "torchvision": "0.15.2", "mmcv-full": "1.7.2", "mmdet": "2.28.2", "mmcls": "0.25.0"}
    assert versions.items() >= {**pinned, "timm": "0.6.13"}.items()


@pytest.mark.parametrize(
    ("stack", "packages", "command"),
    [
        ("mmdet2", ["timm", "mmcls"], "pip install timm=={timm} mmcls=={mmcls}"),
        ("mmdet3", ["mmpretrain"], "pip install mmpretrain=={mmpretrain}"),
        ("onedl", ["timm", "mmpretrain"], "pip install timm=={timm} onedl-mmpretrain=={onedl-mmpretrain}"),
    ],
)
def test_a_package_is_installed_by_the_name_and_in_the_version_of_the_lock(stack, packages, command):
    assert named(stack).install(packages) == command.format_map(named(stack).versions)


def test_a_package_that_the_lock_lacks_is_not_installed():
    with pytest.raises(HowtoError, match=r"mmdet2\.txt has no mmpretrain"):
        named("mmdet2").install(["mmpretrain"])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_line_of_a_lock_is_an_exact_version(lock):
    lines = [line for line in lock.read_text("utf-8").splitlines() if line and not line.lstrip().startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; [\w.<>=' ()!]+)?", line)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_names_a_package_once(lock):
    names = [line.partition("==")[0] for line in lock.read_text("utf-8").splitlines() if "==" in line]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", [*LOCKS, ROOT / "pyproject.toml", ROOT / "tox.ini"], ids=lambda path: path.name)
def test_no_index_address_is_written_down(path):
    assert "://" not in path.read_text("utf-8")


def test_every_lock_has_the_file_it_is_made_from():
    assert [lock.stem for lock in LOCKS] == sorted(path.stem for path in (ROOT / "requirements").glob("*.in"))


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_the_resolver_knows_what_the_compiled_package_requires(stack):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    known = {(entry["name"], entry["version"]) for entry in project["tool"]["uv"]["dependency-metadata"]}
    assert (stack.compiled, stack.versions[stack.compiled]) in known


def test_what_is_installed_is_what_importlib_says_of_it():
    names = {re.sub("[-_.]+", "-", item.name).lower() for item in metadata.distributions()}
    assert installed() == {name: metadata.version(name) for name in names}
