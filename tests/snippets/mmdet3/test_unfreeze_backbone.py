"""The hook unfreezes what ``frozen_stages`` froze, that alone, for good, and in every kind of run.

Most tests train a tiny detector on a real backbone, see :mod:`tiny_run`; the last ones train the real config.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.optim.optimizer import amp_optimizer_wrapper

from howto.project.stacks import ROOT
from tests.snippets.mmdet3.tiny_run import SGD, WRAPPED, TinyRun

CONFIG = "faster-rcnn_r50_fpn_unfreeze_1x_coco.py"
STEM = {"ResNet": ("conv1", "bn1"), "ResNetV1d": ("stem",)}
LAYERS = ("layer1", "layer2", "layer3", "layer4")
TENTH = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)))
ADAMW = dict(type="AdamW", lr=0.001, weight_decay=0.05)

every_stem = pytest.mark.parametrize("kind", STEM)


@pytest.fixture(scope="module", params=[(kind, stages) for kind in STEM for stages in (0, 1, 4)], ids=str)
def unfrozen(request):
    """For each stem and number of frozen stages: the frozen modules, and a run evaluated between its three epochs."""
    kind, stages = request.param
    return (*STEM[kind], *LAYERS[:stages]), TinyRun(evaluate=True, type=kind, frozen_stages=stages).start()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What two processes found, one after the other, for each way in which a model is wrapped."""
    folder = tmp_path_factory.mktemp("two_processes")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*start, Path(__file__).with_name("tiny_run.py"), folder]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads((folder / "results.json").read_text())


def test_the_frozen_modules_alone_do_not_train_before_the_epoch(unfrozen):
    modules, run = unfrozen
    assert run.everything - run.epochs[0].moved == run.parameters(*modules)


@pytest.mark.parametrize("epoch", [1, 2])
def test_every_parameter_trains_from_the_epoch_on_with_evaluations_in_between(unfrozen, epoch):
    _, run = unfrozen
    assert run.epochs[epoch].trainable == run.everything
    assert run.everything - run.epochs[epoch].moved == set()


def test_logs_once_what_it_unfroze(unfrozen):
    modules, run = unfrozen
    names = ", ".join(modules).replace("bn1", "norm1")  # as ResNet itself calls it, whatever norm it is
    assert run.unfroze == [f"Epoch 1: unfroze {names} of {type(run.detector.backbone).__name__}"]


def test_nothing_happens_when_nothing_is_frozen():
    run = TinyRun(frozen_stages=-1).start()
    assert (run.trains("conv1", *LAYERS), run.unfroze) == ({0: True, 1: True, 2: True}, [])


def test_what_was_frozen_by_other_means_stays_frozen():
    def freeze(detector):
        detector.head.weight.requires_grad_(False)
        detector.backbone.layer4.requires_grad_(False)

    run = TinyRun(frozen_stages=2, before=freeze).start()
    assert run.everything - run.epochs[1].trainable == {"head.weight"} | run.parameters("layer4")


@pytest.mark.parametrize(
    ("unfreeze_epoch", "trains"),
    [
        (0, {0: True, 1: True, 2: True}),
        (2, {0: False, 1: False, 2: True}),
        (3, {0: False, 1: False, 2: False}),
    ],
)
def test_trains_from_unfreeze_epoch_on_counted_from_zero(unfreeze_epoch, trains):
    run = TinyRun(unfreeze_epoch=unfreeze_epoch, frozen_stages=1).start()
    assert run.trains("conv1", "bn1", "layer1") == trains


@pytest.mark.parametrize("paramwise_cfg", [None, TENTH], ids=["one rate", "paramwise_cfg"])
@pytest.mark.parametrize(
    ("after", "unfreeze_epoch", "trains"),
    [(1, 2, {1: False, 2: True, 3: True}), (2, 2, {2: True, 3: True}), (3, 2, {3: True})],
)
def test_a_resumed_run_trains_from_unfreeze_epoch_on(after, unfreeze_epoch, trains, paramwise_cfg, tmp_path):
    keys = dict(unfreeze_epoch=unfreeze_epoch, frozen_stages=1, optim_wrapper=dict(paramwise_cfg=paramwise_cfg))
    TinyRun(epochs=after, work_dir=tmp_path, **keys).start()
    resumed = TinyRun(epochs=4, resume_from=tmp_path / f"epoch_{after}.pth", **keys).start()
    assert resumed.trains("conv1", "bn1", "layer1") == trains


@every_stem
def test_norms_stay_in_evaluation_mode_when_norm_eval_is_true(kind):
    run = TinyRun(type=kind, frozen_stages=1, norm_eval=True).start()
    assert [epoch.norms_training for epoch in run.epochs.values()] == [set(), set(), set()]


@every_stem
def test_norms_go_to_training_mode_with_their_stage_when_norm_eval_is_false(kind):
    run = TinyRun(type=kind, frozen_stages=1, norm_eval=False).start()
    norms = {name.rpartition(".")[0] for name in run.norms}
    before = {name for name in norms if name.split(".")[1] in LAYERS[1:]}
    assert [epoch.norms_training for epoch in run.epochs.values()] == [before, norms, norms]


@pytest.mark.parametrize("norm", [dict(type="BN"), dict(type="GN", num_groups=4)], ids=lambda norm: norm["type"])
@pytest.mark.parametrize("paramwise_cfg", [None, TENTH], ids=["one rate", "paramwise_cfg"])
def test_norm_weights_stay_frozen_when_norm_cfg_froze_them(norm, paramwise_cfg):
    keys = dict(norm_cfg=dict(norm, requires_grad=False), optim_wrapper=dict(paramwise_cfg=paramwise_cfg))
    run = TinyRun(frozen_stages=2, **keys).start()
    assert run.everything - run.epochs[1].moved == run.norms


@pytest.mark.parametrize(
    "optim_wrapper",
    [
        dict(paramwise_cfg=dict(norm_decay_mult=0.0)),
        dict(paramwise_cfg=TENTH),
        dict(optimizer=ADAMW, paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0)),
        dict(clip_grad=dict(max_norm=35)),
        dict(accumulative_counts=2),
        dict(accumulative_counts=3),  # a step in the middle of an epoch
    ],
    ids=str,
)
def test_trains_with_any_optim_wrapper(optim_wrapper):
    run = TinyRun(frozen_stages=1, optim_wrapper=optim_wrapper).start()
    assert run.trains("conv1", "bn1", "layer1") == {0: False, 1: True, 2: True}


@pytest.mark.parametrize(
    ("auto_scale_lr", "scaled"),
    [(None, 1), (dict(enable=False, base_batch_size=16), 1), (dict(enable=True, base_batch_size=16), 1 / 8)],
    ids=["none", "off", "on"],
)
def test_paramwise_cfg_gives_the_unfrozen_weights_their_own_rate(auto_scale_lr, scaled):
    keys = dict(optim_wrapper=dict(paramwise_cfg=TENTH), auto_scale_lr=auto_scale_lr)
    run = TinyRun(frozen_stages=1, **keys).start()
    rates = {group["params"][0]: group["lr"] for group in run.runner.optim_wrapper.param_groups}
    weights = [*run.detector.backbone.layer1.parameters(), *run.detector.backbone.layer4.parameters()]
    assert {round(rates[weight], 6) for weight in weights} == {SGD["lr"] / 10 * scaled}


def test_trains_in_mixed_precision(monkeypatch):
    # MMEngine refuses AMP without a GPU, though torch has it for the CPU too, in bfloat16.
    monkeypatch.setattr(amp_optimizer_wrapper, "is_cuda_available", lambda: True)
    run = TinyRun(frozen_stages=1, optim_wrapper=dict(type="AmpOptimWrapper", dtype="bfloat16")).start()
    assert run.trains("conv1", "bn1", "layer1") == {0: False, 1: True, 2: True}


def test_an_average_of_the_weights_follows_the_unfrozen_ones():
    run = TinyRun(frozen_stages=1, hooks=[dict(type="EMAHook", momentum=0.1)]).start()
    (hook,) = [hook for hook in run.runner.hooks if type(hook) is EMAHook]
    average, weight = hook.ema_model.module.backbone.conv1.weight, run.detector.backbone.conv1.weight
    assert run.trains("conv1", "bn1", "layer1") == {0: False, 1: True, 2: True}
    assert torch.allclose(average, weight, atol=0.1)
    assert not torch.equal(average, weight)


@pytest.mark.parametrize("requires_grad", [True, False])
def test_weights_of_synchronized_batch_norms_are_unfrozen_unless_norm_cfg_froze_them(requires_grad):
    run = TinyRun(frozen_stages=1, norm_cfg=dict(type="SyncBN", requires_grad=requires_grad)).start()
    assert run.everything - run.epochs[1].trainable == (set() if requires_grad else run.norms)


@pytest.mark.parametrize(
    "backbone",
    [
        dict(type="ResNeXt", depth=50, base_channels=16, groups=4, base_width=4),
        dict(type="RegNet", arch="regnetx_400mf"),
        dict(type="Res2Net", depth=50, base_channels=16, scales=4, base_width=8),
        dict(type="ResNeSt", depth=50, base_channels=16),
        dict(type="mmpretrain.ResNet", depth=18),
    ],
    ids=lambda backbone: backbone["type"],
)
def test_unfreezes_every_backbone_that_is_built_on_resnet(backbone):
    run = TinyRun(epochs=2, frozen_stages=1, **backbone).start()
    stem = "stem" if run.detector.backbone.deep_stem else "conv1"
    assert run.trains(stem, "layer1") == {0: False, 1: True}


@pytest.mark.parametrize(
    "backbone",
    [dict(type="MobileNetV2", frozen_stages=1), dict(type="mmpretrain.MobileNetV3", arch="small")],
    ids=lambda backbone: backbone["type"],
)
def test_a_backbone_without_stages_stops_the_run_before_its_first_epoch(backbone):
    run = TinyRun(unfreeze_epoch=100, **backbone)
    with pytest.raises(TypeError, match=rf"^{backbone['type'].split('.')[-1]} has no ResNet stages to unfreeze"):
        run.start()
    assert (run.runner.iter, run.epochs) == (0, {})


def test_a_run_that_only_evaluates_is_left_alone():
    assert TinyRun(frozen_stages=1, evaluate=True).start("val").epochs == {}


@pytest.mark.parametrize("wrapped", WRAPPED)
class TestOfTwoProcesses:
    def test_unfreezes_inside_distributed_data_parallel(self, two_processes, wrapped):
        assert two_processes[wrapped]["trains"] == [False, True, True]

    def test_every_weight_is_the_same_in_both(self, two_processes, wrapped):
        assert two_processes[wrapped]["apart"] == []

    def test_the_settings_are_kept_when_the_model_is_wrapped_again(self, two_processes, wrapped):
        assert two_processes[wrapped]["again"]
        assert two_processes[wrapped]["after"] == two_processes[wrapped]["before"]


def test_a_run_that_counts_iterations_stops_before_its_first(checkout, resnet18):
    by_iteration = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=2)
    with pytest.raises(TypeError, match=r"^IterBasedTrainLoop has no epochs to wait for"):
        checkout.train(CONFIG, evaluate=False, train_cfg=by_iteration, **resnet18)


def test_the_real_config_trains_every_stage_from_epoch_0_on(checkout, resnet18):
    run = checkout.train(CONFIG, evaluate=False, custom_hooks__0__unfreeze_epoch=0, **resnet18)
    assert [run.trains(stage) for stage in ("stem", *LAYERS)] == [[True]] * 5


def test_the_copied_files_train_with_the_command_that_the_page_gives(work_dir):
    saved = torch.load(work_dir / "epoch_1.pth", map_location="cpu", weights_only=False)
    assert saved["meta"]["epoch"] == 1
