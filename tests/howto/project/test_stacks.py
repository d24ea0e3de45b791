import re
import tomllib
from importlib import metadata

import pytest

from howto.project.errors import HowtoError
from howto.project.stacks import ROOT, STACKS, current, installed, named

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def test_the_environment_variable_chooses_the_stack_and_without_it_it_is_mmdet2(monkeypatch):
    for name in STACKS:
        monkeypatch.setenv("HOWTO_STACK", name)
        assert current() is STACKS[name]
    monkeypatch.setenv("HOWTO_STACK", "")
    assert current() is STACKS["mmdet2"]
    monkeypatch.setenv("HOWTO_STACK", "mmdet9")
    with pytest.raises(HowtoError, match=r"no stack is called 'mmdet9'; set HOWTO_STACK to one of: mmdet2"):
        current()


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_a_stack_locks_torch_what_is_compiled_against_it_and_one_opencv_that_needs_no_screen(stack):
    assert {"torch", stack.compiled} <= stack.versions.keys()
    assert [name for name in stack.versions if name.startswith("opencv")] == ["opencv-python-headless"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))  # tells the resolver what that requires
    known = {(entry["name"], entry["version"]) for entry in project["tool"]["uv"]["dependency-metadata"]}
    assert (stack.compiled, stack.versions[stack.compiled]) in known


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
    with pytest.raises(HowtoError, match=rf"{stack}\.txt has no unknown"):
        named(stack).install(["unknown"])


def test_a_lock_names_each_package_once_in_an_exact_version_and_no_address_of_an_index_is_written_down():
    assert [lock.stem for lock in LOCKS] == sorted(path.stem for path in (ROOT / "requirements").glob("*.in"))
    for path in (*LOCKS, ROOT / "pyproject.toml", ROOT / "tox.ini"):
        assert "://" not in path.read_text("utf-8"), path.name
    for lock in LOCKS:
        lines = [line for line in lock.read_text("utf-8").splitlines() if line and not line.lstrip().startswith("#")]
        assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; [\w.<>=' ()!]+)?", line)] == []
        assert len({line.partition("==")[0] for line in lines}) == len(lines), lock.name


def test_what_is_installed_is_what_importlib_says_of_it():
    names = {re.sub("[-_.]+", "-", item.name).lower() for item in metadata.distributions()}
    assert installed() == {name: metadata.version(name) for name in names}
