import subprocess
import sys

import pytest

from howto.checkout import weights
from howto.execution import doctor, machine
from howto.project.errors import HowtoError
from howto.project.stacks import ROOT, STACKS

MMDET2 = STACKS["mmdet2"]


@pytest.fixture(autouse=True)
def ordinary_machine(monkeypatch):
    """A machine like any other: no wish of the user's, and no network."""
    for name in ("HOWTO_DEVICE", "HOWTO_COCO", "CXX", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(weights, "reachable", lambda host: False)


def found(name):
    return next(check for check in doctor.checks(MMDET2) if check.name == name)


def test_every_line_that_is_not_fine_says_what_mends_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOWTO_COCO", "/nowhere")
    monkeypatch.setenv("HOWTO_DEVICE", "toaster")
    lines = doctor.checks(MMDET2)
    assert [check.name for check in lines if check.ok is False] == ["HOWTO_DEVICE", "COCO"]
    assert [check.name for check in lines if bool(check.mend) == bool(check.ok)] == []


def test_this_environment_can_build(capsys):
    assert doctor.doctor(MMDET2) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("Python", "torch", "mmcv-full 1.7.2, with ops", "disk"))


def test_a_build_with_nothing_to_execute_imports_no_torch():
    code = "import sys; from howto.execution import doctor; from howto.project import stacks; "
    code += "doctor.require(stacks.current(), executes=False); "
    code += "sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_package_of_another_version_is_named(monkeypatch, tmp_path):
    (tmp_path / "timm-0.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    check = found("packages")
    assert check.ok is False
    assert "timm==0.0" in check.found
    assert check.mend == "run `rm -rf .tox/stack-mmdet2 && tox -e wheels`"


def test_a_torch_that_does_not_import_is_a_line_of_the_table(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert doctor.doctor(MMDET2) == 1
    assert "import of torch halted" in " ".join(capsys.readouterr().out.split())


def test_the_table_comes_without_rich_too(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert doctor.doctor(MMDET2) == 0
    assert "ok   Python        3.11" in capsys.readouterr().out


def test_without_a_compiler_or_weights_all_can_be_built_and_the_table_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "resnet50-0676ba61.pth").touch()
    assert (found("compiler").ok, found("weights").ok) == (None, None)
    assert "install" in found("compiler").mend
    assert found("weights").found.startswith(f"1 checkpoints in {tmp_path}")
    assert "stand-ins take the place of others" in found("weights").found


def test_a_build_stops_at_what_it_cannot_do_without(monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(HowtoError, match="HOWTO_DEVICE=toaster is unknown; set it to"):
        patch.setenv("HOWTO_DEVICE", "toaster")
        doctor.require(MMDET2)
    monkeypatch.setattr(machine, "NEEDED_GIB", 10**6)
    with pytest.raises(HowtoError, match=r"disk: \d+ GiB free; make 1000000 GiB free in"):
        doctor.require(MMDET2)
