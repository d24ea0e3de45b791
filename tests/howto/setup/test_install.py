import contextlib
import dataclasses
import json
import shutil
import sys
import time
from pathlib import Path

import pytest

from howto.project import stacks
from howto.project.errors import HowtoError
from howto.project.stacks import STACKS
from howto.setup import install, interpreter, wheelhouse
from howto.setup.interpreter import Interpreter, Toolkit

MMDET2 = STACKS["mmdet2"]
H100 = Interpreter(Path(sys.executable), "cp311", "linux_x86_64", "", "", torch="2.1.2", cuda="12.1", archs="9.0")
NO_GPU = dataclasses.replace(H100, archs="")


@pytest.fixture(autouse=True)
def checkout(tmp_path, monkeypatch):
    """A checkout whose environment is a link and a stamp, so that nothing can be installed by mistake."""
    for name in ("HOWTO_DEVICE", "TORCH_CUDA_ARCH_LIST"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(stacks.ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(stacks.ROOT / "pyproject.toml", tmp_path)
    monkeypatch.setattr(stacks, "ROOT", tmp_path)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    MMDET2.python.parent.mkdir(parents=True)
    MMDET2.python.symlink_to(sys.executable)
    stamp = {**install.inputs(MMDET2), "wheel": "mmcv-full-1.7.2-cpu"}
    (MMDET2.environment / install.STAMP).write_text(json.dumps(stamp))
    return tmp_path


@pytest.fixture
def uv(monkeypatch):
    """The calls of uv, of which each fails."""
    calls = []

    def record(*arguments):
        calls.append(arguments)
        raise HowtoError("uv was called")

    monkeypatch.setattr(install, "uv", record)
    return calls


def test_nothing_is_done_and_no_time_is_taken_if_nothing_changed(uv, capsys):
    start = time.monotonic()
    install.install(MMDET2)
    assert time.monotonic() - start < 0.5  # it takes some 0.02 s, and other tests run beside it
    assert uv == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["requirements/mmdet2.txt", "pyproject.toml"])
def test_a_changed_file_updates_the_environment(checkout, uv, name):
    with (checkout / name).open("a") as file:
        file.write("# changed\n")
    with pytest.raises(HowtoError, match="uv was called"):
        install.install(MMDET2)
    assert "--allow-existing" in uv[0]
    assert install.read_stamp(MMDET2) == {}  # it was interrupted


def test_asking_for_cuda_in_vain_leaves_the_environment_as_it_was(uv, monkeypatch):
    before = install.read_stamp(MMDET2)
    monkeypatch.setattr(interpreter, "ask", lambda python, mend: NO_GPU)
    monkeypatch.setenv("HOWTO_DEVICE", "cuda")
    with pytest.raises(HowtoError, match="no usable GPU"):
        install.install(MMDET2)
    assert uv == []
    assert install.read_stamp(MMDET2) == before


@pytest.mark.parametrize(("device", "calls"), [("cpu", 0), ("cuda", 1)])
def test_another_device_exchanges_the_compiled_package_only_if_it_must(checkout, uv, monkeypatch, nvcc, device, calls):
    nvcc("12.1")
    monkeypatch.setenv("HOWTO_DEVICE", device)
    monkeypatch.setattr(interpreter, "ask", lambda python, mend: H100)
    monkeypatch.setattr(wheelhouse, "provide", lambda stack, python, ops, archs: checkout / f"mmcv-full-1.7.2-{ops}")
    with contextlib.suppress(HowtoError):
        install.install(MMDET2)
    assert len(uv) == calls


ELSEWHERE = json.dumps({**install.inputs(MMDET2), "root": "/elsewhere"})


@pytest.mark.parametrize("content", [ELSEWHERE, None, "{"], ids=["copied from elsewhere", "missing", "half-written"])
def test_an_environment_that_is_not_whole_and_of_here_is_made_anew(uv, content):
    stamp = MMDET2.environment / install.STAMP
    stamp.unlink() if content is None else stamp.write_text(content)
    with pytest.raises(HowtoError, match="uv was called"):
        install.install(MMDET2)
    assert "--clear" in uv[0]


@pytest.mark.parametrize(("wanted", "asked"), [("", "3.11"), ("3.12", "3.12")])
def test_the_environment_has_the_python_that_was_asked_for(uv, monkeypatch, wanted, asked):
    monkeypatch.setenv("HOWTO_PYTHON", wanted)
    (MMDET2.environment / install.STAMP).unlink()
    with pytest.raises(HowtoError, match="uv was called"):
        install.install(MMDET2)
    assert uv[0][uv[0].index("--python") + 1] == asked


def test_a_missing_uv_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HowtoError, match="uv is not installed; run `python -m pip install uv`"):
        install.uv("venv")


@pytest.fixture
def nvcc(monkeypatch):
    """Let nvcc be of that version of CUDA; empty for none."""

    def be(version):
        found = Toolkit(version, Path("/usr/local/cuda"), Path("/usr/local/cuda/include")) if version else None
        monkeypatch.setattr(interpreter, "toolkit", lambda: found)

    return be


@pytest.mark.parametrize(
    ("python", "device", "archs", "ops"),
    [
        (NO_GPU, "auto", "", ("cpu", "")),
        (H100, "auto", "", ("cu121-sm9.0", "9.0")),
        (H100, "auto", "8.0;9.0+PTX", ("cu121-sm8.0-9.0+PTX", "8.0;9.0+PTX")),  # the user's own list
        (H100, "cpu", "", ("cpu", "")),
        (NO_GPU, "cuda", "9.0", ("cu121-sm9.0", "9.0")),  # as when an image is built
    ],
)
def test_ops_are_for_what_is_there_or_wished_for(monkeypatch, nvcc, python, device, archs, ops):
    nvcc("12.4")
    monkeypatch.setenv("HOWTO_DEVICE", device)
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", archs)
    assert install.cuda_ops(python) == ops


@pytest.mark.parametrize("version", ["", "13.0"])
def test_a_gpu_whose_compiler_is_missing_or_of_another_cuda_is_left_alone_and_said_so(capsys, nvcc, version):
    nvcc(version)
    assert install.cuda_ops(H100) == ("cpu", "")
    assert "the GPU will not be used: CUDA ops need nvcc of CUDA 12.1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("python", "version", "message"),
    [
        (NO_GPU, "12.1", "HOWTO_DEVICE=cuda, but torch finds no usable GPU"),
        (H100, "13.0", "and there is 13.0; install"),
    ],
)
def test_cuda_on_request_is_never_exchanged_for_the_cpu(monkeypatch, nvcc, python, version, message):
    nvcc(version)
    monkeypatch.setenv("HOWTO_DEVICE", "cuda")
    with pytest.raises(HowtoError, match=message):
        install.cuda_ops(python)
