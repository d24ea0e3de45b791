import importlib.util
import types

import pytest
import torch

from howto.checkout import gpu
from howto.project import device
from howto.project.errors import HowtoError


@pytest.fixture(autouse=True)
def no_wish(monkeypatch):
    monkeypatch.delenv("HOWTO_DEVICE", raising=False)


@pytest.mark.parametrize("ask", [gpu.choose, device.kind])
@pytest.mark.parametrize("wish", ["gpu", "CUDA", " "])
def test_an_unknown_device_is_refused_in_one_line(monkeypatch, ask, wish):
    monkeypatch.setenv("HOWTO_DEVICE", wish)
    with pytest.raises(HowtoError) as error:
        ask()
    assert str(error.value) == f"HOWTO_DEVICE={wish} is unknown; set it to auto, cpu or cuda"


@pytest.mark.parametrize(
    ("available", "said"),
    [
        (False, r"^HOWTO_DEVICE=cuda, but torch finds no usable GPU; .* HOWTO_DEVICE=cpu$"),
        (True, "compiled without CUDA ops; run `HOWTO_DEVICE=cuda tox -e wheels`"),
    ],
)
def test_without_a_gpu_or_ops_for_it_cuda_is_refused_with_the_mend_and_auto_is_the_cpu(monkeypatch, available, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr("mmcv.ops.get_compiling_cuda_version", lambda: "not available")
    assert (gpu.choose(), gpu.describe("cpu")) == ("cpu", "CPU")
    monkeypatch.setenv("HOWTO_DEVICE", "cuda")
    with pytest.raises(HowtoError, match=said):
        gpu.choose()


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
