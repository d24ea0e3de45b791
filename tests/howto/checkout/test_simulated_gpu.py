"""The path of a GPU without one: what is taken for a GPU's, and that it fails where a GPU would."""

import contextlib
import io
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
import torch

from howto import Workspace
from howto.checkout import simulated_gpu
from howto.checkout.simulated_gpu import simulated_gpus
from howto.project import stacks

FAMILY = stacks.current().family


@pytest.fixture
def gpu():
    with simulated_gpus():
        yield


def test_a_model_that_is_moved_is_on_the_gpu_with_all_that_it_computes_until_it_is_moved_back(gpu):
    assert (torch.cuda.is_available(), torch.cuda.device_count()) == (True, 1)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).cuda()
    out = model(torch.rand(1, 3, 8, 8).cuda())
    out.sum().backward()
    tensors = [*model.parameters(), *model.buffers(), out, out[0, 0], out.detach(), model[0].weight.grad]
    assert {(each.device, each.is_cuda, each.get_device()) for each in tensors} == {(torch.device("cuda", 0), True, 0)}
    there = torch.zeros(2).cuda()
    here = there.cpu()
    here += 1
    assert (there.tolist(), here.device.type, there.to("cpu").is_cuda) == ([0, 0], "cpu", False)


MISTAKES = {
    "a batch that stays": lambda: torch.nn.Conv2d(3, 4, 3).cuda()(torch.rand(1, 3, 8, 8)),
    "a model that stays": lambda: torch.nn.Conv2d(3, 4, 3)(torch.rand(1, 3, 8, 8).cuda()),
    "a new tensor without a device": lambda: torch.rand(2).cuda() + torch.zeros(2),
    "an array": lambda: torch.cat([torch.rand(2).cuda(), torch.from_numpy(np.zeros(2, "float32"))]),
    "an index on the GPU": lambda: torch.rand(2)[torch.tensor([0]).cuda()],
    "to NumPy": lambda: torch.rand(2).cuda().numpy(),
    "NumPy's own way": lambda: np.asarray(torch.rand(2).cuda()),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_it_fails_where_a_gpu_would(gpu, mistake):
    with pytest.raises((RuntimeError, TypeError), match=r"same device|on cpu or on the same|convert cuda:0 device"):
        mistake()


def test_numbers_may_be_on_either(gpu):
    there = torch.rand(2).cuda()
    assert (there * torch.tensor(2.0)).is_cuda
    assert there[torch.tensor([1])].is_cuda  # an index may be on the CPU
    there[0] = torch.tensor(1.0)
    there.copy_(torch.zeros(2))
    assert there.tolist() == [0, 0]


def test_a_checkpoint_is_loaded_where_it_is_wanted_and_says_nothing_of_the_gpu(gpu):
    file = io.BytesIO()
    torch.save({"weight": torch.nn.Linear(2, 2).cuda().weight}, file)
    assert simulated_gpu.MARK.encode() not in file.getvalue()
    places = {"cpu": "cpu", "cuda": "cuda", lambda storage, location: storage.cuda(0): "cuda"}
    for wanted, there in places.items():
        file.seek(0)
        assert torch.load(file, map_location=wanted)["weight"].device.type == there


def test_the_focal_loss_is_mmcvs(gpu):
    from mmcv.ops import sigmoid_focal_loss
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

    scores, labels = torch.randn(7, 5), torch.tensor([0, 1, 2, 3, 4, 5, 5])
    there, here = scores.cuda().requires_grad_(), scores.clone().requires_grad_()
    kernel = sigmoid_focal_loss(there, labels.cuda(), 2.0, 0.25, None, "sum")
    one_hot = torch.nn.functional.one_hot(labels, 6)[:, :5].float()
    python = py_sigmoid_focal_loss(here, one_hot, gamma=2.0, alpha=0.25, reduction="sum")
    kernel.backward()
    python.backward()
    assert kernel.is_cuda
    assert kernel.tolist() == pytest.approx(python.tolist())
    assert torch.allclose(there.grad.cpu(), here.grad, atol=1e-6)


@pytest.mark.skipif(FAMILY != "mmdet2", reason="MMDetection 3 has no MMDataParallel")
def test_mmcv_hands_an_int_to_the_stream_which_torch_since_2_1_does_not_take():
    from mmcv.parallel import DataContainer, _functions, scatter_kwargs

    batch = DataContainer([torch.rand(1, 2)], stack=True)

    def since_2_1(device: torch.device):
        return None if device.type == "cpu" else torch.cuda.Stream(device)

    with mock.patch.object(_functions, "_get_stream", since_2_1):
        scatter_kwargs((batch,), {}, [-1])  # the path of the CPU
        with simulated_gpus(), pytest.raises(AttributeError, match="'int' object has no attribute 'type'"):
            scatter_kwargs((batch,), {}, [0])
    with simulated_gpus():
        ((moved,),), _ = scatter_kwargs((batch,), {}, [0])
        assert moved.is_cuda


@pytest.fixture(scope="module")
def checkout():
    return Workspace("custom_module")


def test_training_and_evaluation_take_the_gpus_wrapper(checkout):
    with contextlib.redirect_stdout(io.StringIO()):
        run = checkout.train()
    assert checkout.record.simulated_gpus == [1]
    assert next(run.model.parameters()).is_cuda is False  # outside it is what it is, a tensor of the CPU
    assert simulated_gpu._mark(next(run.model.parameters())) == "cuda"
    assert "memory: " in run.log  # which the log of a CPU does not have
    assert not torch.cuda.is_available()  # nor has this process a GPU
    (checkout.root / "finds.py").write_text(
        "import torch; print(torch.cuda.device_count(), torch.rand(1).cuda().device)"
    )
    assert checkout.shell("python finds.py").splitlines()[-1] == "1 cuda:0"


NCCL = """
import os, sys
sys.path.insert(0, {root!r})
os.environ |= dict(MASTER_ADDR="127.0.0.1", MASTER_PORT="0", RANK="0", WORLD_SIZE="1")
import torch
import torch.distributed as dist
from howto.checkout.simulated_gpu import simulated_gpus
with simulated_gpus():
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    dist.init_process_group("nccl", store=store, rank=0, world_size=1)
    print(dist.get_backend())
    dist.all_reduce(torch.ones(1).cuda())
    try:
        dist.all_reduce(torch.ones(1))
    except RuntimeError as error:
        print(error)
os._exit(0)
"""


def test_nccl_takes_no_tensor_of_the_cpu():
    command = [sys.executable, "-W", "ignore", "-u", "-c", NCCL.format(root=str(stacks.ROOT))]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-2:] == ["nccl", "Tensors must be CUDA and dense (in all_reduce)"]
