"""The hook unfreezes what ``frozen_stages`` froze, that alone, for good, and in every kind of run.

The tests train a tiny detector on a real backbone, see :mod:`tiny_run`; the page trains the real config.
"""

import json
import os
import subprocess
import sys

import pytest
import torch

from howto.project.stacks import ROOT
from tests.snippets import tiny_run
from tests.snippets.tiny_run import FAMILY, SGD, WRAPPED, TinyRun

STEM = {"ResNet": ("conv1", "bn1"), "ResNetV1d": ("stem",)}
LAYERS = ("layer1", "layer2", "layer3", "layer4")
TENTH = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)))
ADAMW = dict(type="AdamW", lr=0.001, weight_decay=0.05)
CLASSIFIERS = {"mmdet2": "mmcls", "mmdet3": "mmpretrain"}[FAMILY]

only = {name: pytest.mark.skipif(name != FAMILY, reason=f"of {name}") for name in ("mmdet2", "mmdet3")}


@pytest.mark.parametrize(("kind", "stages"), [("ResNet", 0), ("ResNetV1d", 0), ("ResNetV1d", 4)])
def test_what_is_frozen_alone_does_not_train_before_the_epoch_and_all_does_after_it_with_evaluations_between(
    kind, stages
):
    modules = (*STEM[kind], *LAYERS[:stages])
    run = TinyRun(evaluate=True, type=kind, frozen_stages=stages).start()
    assert run.everything - run.epochs[0].moved == run.parameters(*modules)
    for epoch in (1, 2):
        assert run.epochs[epoch].trainable == run.everything
        assert run.everything - run.epochs[epoch].moved == set()
    names = ", ".join(modules).replace("bn1", "norm1")  # as ResNet itself calls it, whatever norm it is
    assert run.unfroze == [f"Epoch 1: unfroze {names} of {kind}"]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What two processes found, one after the other, for each way in which a model is wrapped."""
    folder = tmp_path_factory.mktemp("two_processes")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*start, tiny_run.__file__, folder]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads((folder / "results.json").read_text("utf-8"))


def test_nothing_happens_when_nothing_is_frozen():
    run = TinyRun(frozen_stages=-1).start()
    assert (run.trains(*STEM["ResNet"], *LAYERS), run.unfroze) == ({0: True, 1: True, 2: True}, [])


def test_what_was_frozen_by_other_means_stays_frozen():
    def freeze(detector):
        detector.head.weight.requires_grad_(False)
        detector.backbone.layer4.requires_grad_(False)

    run = TinyRun(frozen_stages=3, before=freeze).start()
    assert run.everything - run.epochs[1].trainable == {"head.weight"} | run.parameters("layer4")


@pytest.mark.parametrize(
    ("unfreeze_epoch", "trains"), [(0, {0: True, 1: True, 2: True}), (2, {0: False, 1: False, 2: True})]
)
def test_trains_from_unfreeze_epoch_on_counted_from_zero(unfreeze_epoch, trains):
    run = TinyRun(unfreeze_epoch=unfreeze_epoch, frozen_stages=1).start()
    assert run.trains("conv1", "bn1", "layer1") == trains


@pytest.mark.parametrize(
    ("after", "unfreeze_epoch", "trains", "paramwise"),
    [
        (1, 2, {1: False, 2: True, 3: True}, TENTH),
        (2, 2, {2: True, 3: True}, None),
        (3, 0, {3: True}, TENTH),
    ],
    ids=["before it", "with it", "after it"],
)
def test_a_resumed_run_trains_from_unfreeze_epoch_on(after, unfreeze_epoch, trains, paramwise, tmp_path):
    keys = dict(unfreeze_epoch=unfreeze_epoch, frozen_stages=1, paramwise=paramwise)
    TinyRun(epochs=after, work_dir=tmp_path, **keys).start()
    resumed = TinyRun(epochs=4, resume_from=tmp_path / f"epoch_{after}.pth", **keys).start()
    assert resumed.trains("conv1", "bn1", "layer1") == trains
    layers = resumed.detector.backbone.layer1, resumed.detector.backbone.layer4
    rates = {round(resumed.rates[weight], 6) for layer in layers for weight in layer.parameters()}
    assert rates == {SGD["lr"] / 10 if paramwise else SGD["lr"]}


def test_group_norms_are_unfrozen_and_stay_frozen_if_norm_cfg_froze_them():
    group = dict(type="GN", num_groups=4)
    run = TinyRun(type="ResNetV1d", frozen_stages=2, norm_cfg=group).start()
    assert run.everything - run.epochs[1].moved == set()
    run = TinyRun(frozen_stages=2, norm_eval=True, norm_cfg=group | dict(requires_grad=False)).start()
    assert run.everything - run.epochs[1].trainable == run.norms


@pytest.mark.parametrize(
    "keys",
    [
        dict(optimizer=ADAMW, paramwise=dict(norm_decay_mult=0.0, bias_decay_mult=0.0)),
        dict(accumulate=3),  # a step in the middle of an epoch
        pytest.param(dict(wrapper=dict(clip_grad=dict(max_norm=35))), marks=only["mmdet3"]),
    ],
    ids=str,
)
def test_trains_with_any_optimizer(keys):
    run = TinyRun(frozen_stages=1, **keys).start()
    assert run.trains("conv1", "bn1", "layer1") == {0: False, 1: True, 2: True}


@only["mmdet2"]
def test_the_optimizer_s_constructor_leaves_what_is_frozen_frozen():
    norm = dict(type="BN", requires_grad=False)
    run = TinyRun(frozen_stages=1, paramwise=TENTH, norm_cfg=norm, unfreeze_epoch=100, epochs=1).start()
    assert run.everything - run.epochs[0].trainable == run.norms | run.parameters("conv1", "layer1")


@only["mmdet3"]
def test_trains_in_mixed_precision(monkeypatch):
    # MMEngine refuses AMP without a GPU, though torch has it for the CPU too, in bfloat16.
    monkeypatch.setattr("mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available", lambda: True)
    run = TinyRun(frozen_stages=1, wrapper=dict(type="AmpOptimWrapper", dtype="bfloat16")).start()
    assert run.trains("conv1", "bn1", "layer1") == {0: False, 1: True, 2: True}


@pytest.mark.parametrize(
    "backbone",
    [
        dict(type="ResNeXt", depth=50, base_channels=16, groups=4, base_width=4),
        dict(type="RegNet", arch="regnetx_400mf"),
        dict(type="Res2Net", depth=50, base_channels=16, scales=4, base_width=8),
        dict(type="ResNeSt", depth=50, base_channels=16),
        dict(type=f"{CLASSIFIERS}.ResNet", depth=18),
    ],
    ids=lambda backbone: backbone["type"],
)
def test_unfreezes_every_backbone_that_is_built_on_resnet(backbone):
    run = TinyRun(epochs=2, frozen_stages=1, **backbone).start()
    stem = "stem" if run.detector.backbone.deep_stem else "conv1"
    assert run.trains(stem, "layer1") == {0: False, 1: True}


@only["mmdet3"]
def test_a_run_that_only_evaluates_is_left_alone():
    assert TinyRun(frozen_stages=1, evaluate=True).start("val").epochs == {}


@only["mmdet2"]
def test_unfreezes_inside_mmdataparallel():
    from mmcv.parallel import MMDataParallel

    def wrap(detector):
        gpus = [0] if torch.cuda.is_available() else []
        return MMDataParallel(detector.to("cuda" if gpus else "cpu"), device_ids=gpus)

    run = TinyRun(wrap=wrap, frozen_stages=1).start()
    assert run.trains("conv1", "bn1", "layer1") == {0: False, 1: True, 2: True}


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_unfreezes_alike_in_two_processes_and_keeps_the_settings_of_what_wraps_the_model(two_processes, wrapped):
    found = two_processes[wrapped]
    assert (found["trains"], found["apart"], found["again"]) == ([False, True, True], [], True)
    assert found["after"] == found["before"]


def test_the_copied_files_train_with_the_command_that_the_page_gives(work_dir):
    saved = torch.load(work_dir / "epoch_1.pth", map_location="cpu", weights_only=False)
    assert saved["meta"]["epoch"] == 1
