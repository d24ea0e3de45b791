"""The hook unfreezes what ``frozen_stages`` froze, that alone, for good, and in every kind of run.

Most tests train a tiny detector on a real backbone, see :mod:`tiny_run`; the last ones train the real config.
"""

import json
import os
import subprocess
import sys

import mmcls.models  # noqa: F401  registers mmcls's backbones
import mmdet.core.hook  # noqa: F401  and this mmdet's hooks
import pytest
import torch
from mmcv.parallel import MMDataParallel

from howto.project.stacks import ROOT
from tests.snippets.mmdet2.tiny_run import SETTINGS, SGD, WRAPPED, TinyRun

CONFIG = "faster_rcnn_r50_fpn_unfreeze_1x_coco.py"
STEM = {"ResNet": ("conv1", "bn1"), "ResNetV1d": ("stem",)}
LAYERS = ("layer1", "layer2", "layer3", "layer4")
CONSTRUCTOR = dict(constructor="FrozenTooOptimizerConstructor")
TENTH = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)))
ADAMW = dict(type="AdamW", lr=0.001, weight_decay=0.05)

every_stem = pytest.mark.parametrize("kind", STEM)


@pytest.fixture(scope="module", params=[(kind, stages) for kind in STEM for stages in range(5)], ids=str)
def unfrozen(request):
    """For each stem and number of frozen stages: the frozen modules, and a run evaluated between its three epochs."""
    kind, stages = request.param
    run = TinyRun(evaluate=True, type=kind, frozen_stages=stages)
    return (*STEM[kind], *LAYERS[:stages]), run.start()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What two processes found, one after the other, for each way in which a model is wrapped."""
    folder = tmp_path_factory.mktemp("two_processes")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*start, "-m", TinyRun.__module__, folder]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads((folder / "results.json").read_text())


def test_the_frozen_modules_alone_do_not_train_before_the_epoch(unfrozen):
    modules, run = unfrozen
    assert run.everything - run.epochs[0].moved == run.parameters(*modules)


def test_every_parameter_is_trainable_from_the_epoch_on(unfrozen):
    _, run = unfrozen
    assert run.epochs[1].trainable == run.everything


def test_every_parameter_moves_from_the_epoch_on(unfrozen):
    _, run = unfrozen
    assert run.epochs[1].moved == run.everything


def test_every_parameter_still_moves_in_the_epoch_after_an_evaluation(unfrozen):
    _, run = unfrozen
    assert run.epochs[2].moved == run.everything


def test_logs_once_what_it_unfroze(unfrozen):
    modules, run = unfrozen
    names = ", ".join(modules).replace("bn1", "norm1")  # as ResNet itself calls it, whatever norm it is
    assert run.unfroze == [f"Epoch 1: unfroze {names} of {type(run.detector.backbone).__name__}"]


@every_stem
def test_nothing_happens_when_nothing_is_frozen(kind):
    run = TinyRun(type=kind, frozen_stages=-1).start()
    assert (run.trains(*STEM[kind], *LAYERS), run.unfroze) == ({0: True, 1: True, 2: True}, [])


@every_stem
@pytest.mark.parametrize("stages", range(4))
def test_what_was_frozen_by_other_means_stays_frozen(kind, stages):
    run = TinyRun(type=kind, frozen_stages=stages)
    run.detector.head.weight.requires_grad_(False)
    run.detector.backbone.layer4.requires_grad_(False)
    run.start()
    assert run.everything - run.epochs[1].trainable == {"head.weight"} | run.parameters("layer4")


@pytest.mark.parametrize(
    ("unfreeze_epoch", "trains"),
    [
        (0, {0: True, 1: True, 2: True}),
        (1, {0: False, 1: True, 2: True}),
        (2, {0: False, 1: False, 2: True}),
        (3, {0: False, 1: False, 2: False}),
        (100, {0: False, 1: False, 2: False}),
    ],
)
def test_trains_from_unfreeze_epoch_on_counted_from_zero(unfreeze_epoch, trains):
    run = TinyRun(unfreeze_epoch=unfreeze_epoch, frozen_stages=1).start()
    assert run.trains("conv1", "bn1", "layer1") == trains


@pytest.mark.parametrize(
    ("after", "unfreeze_epoch", "trains"),
    [
        (1, 3, {1: False, 2: False, 3: True}),
        (1, 2, {1: False, 2: True, 3: True}),
        (2, 2, {2: True, 3: True}),
        (3, 2, {3: True}),
        (3, 0, {3: True}),
    ],
)
def test_a_resumed_run_trains_from_unfreeze_epoch_on(after, unfreeze_epoch, trains, tmp_path):
    keys = dict(unfreeze_epoch=unfreeze_epoch, frozen_stages=1)
    TinyRun(epochs=after, work_dir=tmp_path, **keys).start()
    resumed = TinyRun(epochs=4, resume_from=tmp_path / f"epoch_{after}.pth", **keys).start()
    assert resumed.trains("conv1", "bn1", "layer1") == trains


@every_stem
def test_norms_stay_in_evaluation_mode_when_norm_eval_is_true(kind):
    run = TinyRun(type=kind, frozen_stages=1, norm_eval=True).start()
    assert [epoch.norms_training for epoch in run.epochs.values()] == [set(), set(), set()]


@every_stem
def test_running_statistics_do_not_move_when_norm_eval_is_true(kind):
    run = TinyRun(type=kind, frozen_stages=1, norm_eval=True).start()
    assert set().union(*(epoch.moved for epoch in run.epochs.values())) <= run.everything


@every_stem
@pytest.mark.parametrize("stages", range(5))
def test_norms_go_to_training_mode_with_their_stage_when_norm_eval_is_false(kind, stages):
    run = TinyRun(type=kind, frozen_stages=stages, norm_eval=False).start()
    frozen = (*STEM[kind], *LAYERS[:stages])
    norms = {name.rpartition(".")[0] for name in run.norms}
    before = {name for name in norms if name.split(".")[1] not in frozen}
    assert [epoch.norms_training for epoch in run.epochs.values()] == [before, norms, norms]


@every_stem
def test_running_statistics_move_with_their_stage_when_norm_eval_is_false(kind):
    run = TinyRun(type=kind, frozen_stages=1, norm_eval=False).start()
    statistics = {name for name in run.detector.state_dict() if "running_" in name}
    before = {name for name in statistics if name.split(".")[1] in LAYERS[1:]}
    assert [epoch.moved & statistics for epoch in run.epochs.values()] == [before, statistics, statistics]


@every_stem
@pytest.mark.parametrize("norm", [dict(type="BN"), dict(type="GN", num_groups=4)], ids=lambda norm: norm["type"])
def test_norm_weights_stay_frozen_when_norm_cfg_froze_them(kind, norm):
    run = TinyRun(type=kind, frozen_stages=2, norm_cfg=dict(norm, requires_grad=False)).start()
    assert run.everything - run.epochs[1].moved == run.norms


@every_stem
def test_group_norms_are_unfrozen_too(kind):
    run = TinyRun(type=kind, frozen_stages=2, norm_cfg=dict(type="GN", num_groups=4)).start()
    assert run.everything - run.epochs[1].moved == set()


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD | dict(paramwise_cfg=dict(norm_decay_mult=0.0)),
        SGD | dict(paramwise_cfg=TENTH),
        ADAMW,
        ADAMW | dict(paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0)),
    ],
    ids=["SGD-norm_decay_mult", "SGD-custom_keys", "AdamW", "AdamW-norm_decay_mult"],
)
def test_trains_with_any_optimizer_and_its_paramwise_cfg(optimizer):
    run = TinyRun(optimizer=optimizer | CONSTRUCTOR, frozen_stages=1).start()
    assert run.trains("conv1", "bn1", "layer1") == {0: False, 1: True, 2: True}


@pytest.mark.parametrize("after", [1, 3])
def test_paramwise_cfg_gives_the_unfrozen_weights_their_own_rate_in_a_resumed_run_too(after, tmp_path):
    keys = dict(optimizer=SGD | CONSTRUCTOR | dict(paramwise_cfg=TENTH), unfreeze_epoch=2, frozen_stages=1)
    TinyRun(epochs=after, work_dir=tmp_path, **keys).start()
    run = TinyRun(epochs=4, resume_from=tmp_path / f"epoch_{after}.pth", **keys).start()
    rates = {group["params"][0]: group["lr"] for group in run.runner.optimizer.param_groups}
    weights = [*run.detector.backbone.layer1.parameters(), *run.detector.backbone.layer4.parameters()]
    assert {round(rates[weight], 6) for weight in weights} == {SGD["lr"] / 10}


def test_the_optimizer_s_constructor_leaves_what_is_frozen_frozen():
    run = TinyRun(optimizer=SGD | CONSTRUCTOR, frozen_stages=1, norm_cfg=dict(type="BN", requires_grad=False))
    frozen = {name for name, parameter in run.detector.named_parameters() if not parameter.requires_grad}
    assert frozen == run.norms | run.parameters("conv1", "layer1")


def test_paramwise_cfg_without_the_constructor_stops_the_run_before_its_first_epoch():
    run = TinyRun(optimizer=SGD | dict(paramwise_cfg=TENTH), frozen_stages=1)
    with pytest.raises(TypeError, match=r"set optimizer\.constructor='FrozenTooOptimizerConstructor'$"):
        run.start()
    assert (run.runner.iter, run.epochs) == (0, {})


@pytest.mark.parametrize("number", [2, 3])  # 3: a step in the middle of an epoch
def test_trains_when_gradients_are_accumulated(number):
    accumulated = dict(type="GradientCumulativeOptimizerHook", cumulative_iters=number)
    run = TinyRun(optimizer_config=accumulated, frozen_stages=1).start()
    assert run.trains("conv1", "bn1", "layer1") == {0: False, 1: True, 2: True}


def test_an_average_of_the_weights_follows_the_unfrozen_ones():
    run = TinyRun(hooks=[dict(type="ExpMomentumEMAHook")], frozen_stages=1)
    before = run.detector.backbone.conv1.weight.clone()
    run.start()  # after which the detector has the averages, and the buffers have the weights
    average, weight = run.detector.backbone.conv1.weight, run.detector.ema_backbone_conv1_weight
    assert run.trains("conv1", "bn1", "layer1") == {0: False, 1: True, 2: True}
    assert not torch.allclose(average, before)
    assert not torch.equal(average, weight)


def test_weights_of_synchronized_batch_norms_are_unfrozen_unless_norm_cfg_froze_them():
    run = TinyRun(frozen_stages=1, norm_eval=True, norm_cfg=dict(type="SyncBN")).start()
    kept = TinyRun(frozen_stages=1, norm_eval=True, norm_cfg=dict(type="SyncBN", requires_grad=False)).start()
    assert run.trains("conv1", "bn1", "layer1") == {0: False, 1: True, 2: True}
    assert kept.everything - kept.epochs[1].trainable == kept.norms


@pytest.mark.parametrize(
    "backbone",
    [
        dict(type="ResNeXt", depth=50, base_channels=16, groups=4, base_width=4),
        dict(type="RegNet", arch="regnetx_400mf"),
        dict(type="Res2Net", depth=50, base_channels=16, scales=4, base_width=8),
        dict(type="ResNeSt", depth=50, base_channels=16),
        dict(type="mmcls.ResNet", depth=18),
    ],
    ids=lambda backbone: backbone["type"],
)
def test_unfreezes_every_backbone_that_is_built_on_resnet(backbone):
    run = TinyRun(epochs=2, frozen_stages=1, **backbone).start()
    stem = "stem" if run.detector.backbone.deep_stem else "conv1"
    assert run.trains(stem, "layer1") == {0: False, 1: True}


@pytest.mark.parametrize(
    "backbone",
    [
        dict(type="MobileNetV2", frozen_stages=1),
        dict(type="CSPDarknet", frozen_stages=1),
        dict(type="SwinTransformer", frozen_stages=1, embed_dims=24),
        dict(type="mmcls.MobileNetV3", arch="small"),
    ],
    ids=lambda backbone: backbone["type"],
)
@pytest.mark.parametrize("unfreeze_epoch", [1, 100])
class TestOfABackboneWithoutStages:
    def test_the_error_names_the_backbone(self, backbone, unfreeze_epoch):
        run = TinyRun(unfreeze_epoch=unfreeze_epoch, **backbone)
        name = type(run.detector.backbone).__name__
        with pytest.raises(TypeError, match=f"^{name} has no ResNet stages to unfreeze"):
            run.start()

    def test_the_run_stops_before_its_first_epoch(self, backbone, unfreeze_epoch):
        run = TinyRun(unfreeze_epoch=unfreeze_epoch, **backbone)
        with pytest.raises(TypeError):
            run.start()
        assert (run.runner.iter, run.epochs) == (0, {})


def test_unfreezes_inside_mmdataparallel():
    def wrap(detector):
        gpus = [0] if torch.cuda.is_available() else []
        return MMDataParallel(detector.to("cuda" if gpus else "cpu"), device_ids=gpus)

    run = TinyRun(wrap=wrap, frozen_stages=1).start()
    assert run.trains("conv1", "bn1", "layer1") == {0: False, 1: True, 2: True}


@pytest.mark.parametrize("wrapped", WRAPPED)
class TestOfTwoProcesses:
    def test_unfreezes_inside_distributed_data_parallel(self, two_processes, wrapped):
        assert two_processes[wrapped]["trains"] == [False, True, True]

    def test_every_weight_is_the_same_in_both(self, two_processes, wrapped):
        assert two_processes[wrapped]["apart"] == []

    @pytest.mark.parametrize("number", range(len(SETTINGS)), ids=SETTINGS)
    def test_the_setting_is_kept_when_the_model_is_wrapped_again(self, two_processes, wrapped, number):
        assert two_processes[wrapped]["after"][number] == two_processes[wrapped]["before"][number]


def test_a_run_that_counts_iterations_stops_before_its_first(checkout, resnet18):
    by_iteration = dict(_delete_=True, type="IterBasedRunner", max_iters=2)
    with pytest.raises(TypeError, match=r"^IterBasedRunner has no epochs to wait for"):
        checkout.train(CONFIG, evaluate=False, runner=by_iteration, **resnet18)


def test_the_real_config_trains_every_stage_from_epoch_0_on(checkout, resnet18):
    run = checkout.train(CONFIG, evaluate=False, custom_hooks__1__unfreeze_epoch=0, **resnet18)
    assert [run.trains(stage) for stage in ("stem", *LAYERS)] == [[True]] * 5


def test_the_real_config_resumed_before_the_epoch_trains_from_the_epoch_on(checkout, resnet18):
    keys = dict(evaluate=False, custom_hooks__1__unfreeze_epoch=2, **resnet18)
    begun = checkout.train(CONFIG, epochs=1, **keys)
    resumed = checkout.train(CONFIG, epochs=3, resume_from=begun.checkpoint, **keys)
    assert [run.trains("layer1") for run in (begun, resumed)] == [[False], [False, True]]


def test_the_real_config_keeps_two_processes_equal(checkout, resnet18):
    (apart,) = checkout.train_in_two_processes([CONFIG], epochs=2, model__backbone__frozen_stages=2, **resnet18)
    assert set(apart.values()) == {0.0}


def test_the_copied_files_train_with_the_command_that_the_page_gives(work_dir):
    assert (work_dir / "latest.pth").resolve().name == "epoch_1.pth"
