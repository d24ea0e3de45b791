import importlib.util
import types

import pytest
import torch

from howto.checkout import gpu
from howto.project import device
from howto.project.errors import HowtoError
from howto.project.settings import Settings


@pytest.fixture(autouse=True)
def no_wish(monkeypatch):
    monkeypatch.delenv("HOWTO_DEVICE", raising=False)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def gpu_without_ops(monkeypatch):
    """A machine with a GPU, and an mmcv that was compiled where there was none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("mmcv.ops.get_compiling_cuda_version", lambda: "not available")


@pytest.mark.parametrize("ask", [gpu.choose, device.kind])
@pytest.mark.parametrize("wish", ["gpu", "CUDA", "cuda:0", " "])
def test_an_unknown_device_is_refused_in_one_line(monkeypatch, ask, wish):
    monkeypatch.setenv("HOWTO_DEVICE", wish)
    with pytest.raises(HowtoError) as error:
        ask()
    assert str(error.value) == f"HOWTO_DEVICE={wish} is unknown; set it to auto, cpu or cuda"


@pytest.mark.parametrize("wish", ["", "auto"])
def test_no_wish_is_auto(monkeypatch, wish):
    monkeypatch.setenv("HOWTO_DEVICE", wish)
    assert Settings.from_environ().device == "auto"


def test_cuda_without_a_gpu_is_refused_with_the_mend(monkeypatch, no_gpu):
    monkeypatch.setenv("HOWTO_DEVICE", "cuda")
    with pytest.raises(HowtoError, match=r"^HOWTO_DEVICE=cuda, but torch finds no usable GPU; .* HOWTO_DEVICE=cpu$"):
        gpu.choose()


def test_cuda_without_cuda_ops_is_refused_with_the_mend(monkeypatch, gpu_without_ops):
    monkeypatch.setenv("HOWTO_DEVICE", "cuda")
    with pytest.raises(HowtoError, match="compiled without CUDA ops; run `HOWTO_DEVICE=cuda tox -e wheels`"):
        gpu.choose()


def test_auto_is_the_cpu_without_a_gpu(no_gpu):
    assert gpu.choose() == "cpu"


def test_auto_is_the_cpu_where_the_ops_know_no_cuda(gpu_without_ops):
    assert gpu.choose() == "cpu"


@pytest.mark.parametrize(("linked", "kind"), [(b"libc10.so", "cpu"), (b"libc10.so libcudart.so.13", "cuda")], ids=str)
def test_a_driver_beside_ops_that_know_no_cuda_counts_as_the_cpu(monkeypatch, tmp_path, linked, kind):
    driver, package = tmp_path / "version", tmp_path / "mmcv/__init__.py"
    package.parent.mkdir()
    for file, content in ((driver, b""), (package, b""), (package.with_name("_ext.so"), linked)):
        file.write_bytes(content)
    monkeypatch.setattr(device, "DRIVERS", (driver,))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: types.SimpleNamespace(origin=package))
    device._has_cuda_ops.cache_clear()
    assert device.kind() == kind
    device._has_cuda_ops.cache_clear()


def test_the_cpu_is_had_without_looking_for_a_gpu(monkeypatch):
    monkeypatch.setenv("HOWTO_DEVICE", "cpu")
    monkeypatch.setattr(gpu, "cuda_problem", None)
    assert gpu.choose() == device.kind() == "cpu"


def test_the_quick_look_at_this_machine_agrees_with_the_thorough_one():
    assert device.kind() == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_cpu_is_called_so():
    assert gpu.describe("cpu") == "CPU"
