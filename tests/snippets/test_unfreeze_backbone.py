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

every_stem = pytest.mark.parametrize("kind", STEM)
one_rate_or_several = pytest.mark.parametrize("paramwise", [None, TENTH], ids=["one rate", "paramwise_cfg"])
only = {name: pytest.mark.skipif(name != FAMILY, reason=f"of {name}") for name in ("mmdet2", "mmdet3")}


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
    command = [*start, tiny_run.__file__, folder]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads((folder / "results.json").read_text("utf-8"))


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


@every_stem
def test_nothing_happens_when_nothing_is_frozen(kind):
    run = TinyRun(type=kind, frozen_stages=-1).start()
    assert (run.trains(*STEM[kind], *LAYERS), run.unfroze) == ({0: True, 1: True, 2: True}, [])


@pytest.mark.parametrize("stages", range(4))
def test_what_was_frozen_by_other_means_stays_frozen(stages):
    def freeze(detector):
        detector.head.weight.requires_grad_(False)
        detector.backbone.layer4.requires_grad_(False)

    run = TinyRun(frozen_stages=stages, before=freeze).start()
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


@one_rate_or_several
@pytest.mark.parametrize(
    ("after", "unfreeze_epoch", "trains"),
    [(1, 2, {1: False, 2: True, 3: True}), (2, 2, {2: True, 3: True}), (3, 2, {3: True}), (3, 0, {3: True})],
)
def test_a_resumed_run_trains_from_unfreeze_epoch_on(after, unfreeze_epoch, trains, paramwise, tmp_path):
    keys = dict(unfreeze_epoch=unfreeze_epoch, frozen_stages=1, paramwise=paramwise)
    TinyRun(epochs=after, work_dir=tmp_path, **keys).start()
    resumed = TinyRun(epochs=4, resume_from=tmp_path / f"epoch_{after}.pth", **keys).start()
    assert resumed.trains("conv1", "bn1", "layer1") == trains
    layers = resumed.detector.backbone.layer1, resumed.detector.backbone.layer4
    rates = {round(resumed.rates[weight], 6) for layer in layers for weight in layer.parameters()}
    assert rates == {SGD["lr"] / 10 if paramwise else SGD["lr"]}


@every_stem
def test_running_statistics_do_not_move_when_norm_eval_is_true(kind):
    run = TinyRun(type=kind, frozen_stages=1, norm_eval=True).start()
    assert set().union(*(epoch.moved for epoch in run.epochs.values())) <= run.everything


@every_stem
def test_norms_go_to_training_mode_with_their_stage_when_norm_eval_is_false(kind):
    run = TinyRun(type=kind, frozen_stages=1, norm_eval=False).start()
    norms = {name.rpartition(".")[0] for name in run.norms}
    before = {name for name in norms if name.split(".")[1] in LAYERS[1:]}
    assert [epoch.norms_training for epoch in run.epochs.values()] == [before, norms, norms]


@one_rate_or_several
@pytest.mark.parametrize(
    "norm",
    [dict(type="BN"), dict(type="GN", num_groups=4), dict(type="SyncBN")],
    ids=lambda norm: norm["type"],
)
def test_norm_weights_stay_frozen_when_norm_cfg_froze_them(norm, paramwise):
    keys = dict(norm_eval=True, norm_cfg=dict(norm, requires_grad=False), paramwise=paramwise)
    run = TinyRun(frozen_stages=2, **keys).start()
    assert run.everything - run.epochs[1].trainable == run.norms


@every_stem
def test_group_norms_are_unfrozen_too(kind):
    run = TinyRun(type=kind, frozen_stages=2, norm_cfg=dict(type="GN", num_groups=4)).start()
    assert run.everything - run.epochs[1].moved == set()


@pytest.mark.parametrize(
    "keys",
    [
        dict(paramwise=dict(norm_decay_mult=0.0)),
        dict(optimizer=ADAMW),
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
@pytest.mark.parametrize(("enable", "scaled"), [(False, 1), (True, 1 / 8)], ids=["off", "on"])
def test_the_rate_is_scaled_once_although_the_optimizer_is_built_again(enable, scaled):
    auto_scale_lr = dict(enable=enable, base_batch_size=16)
    run = TinyRun(frozen_stages=1, paramwise=TENTH, auto_scale_lr=auto_scale_lr).start()
    rates = {round(run.rates[weight], 6) for weight in run.detector.backbone.parameters()}
    assert rates == {SGD["lr"] / 10 * scaled}


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


@pytest.mark.parametrize(
    "backbone",
    [dict(type="SwinTransformer", frozen_stages=1, embed_dims=24), dict(type=f"{CLASSIFIERS}.MobileNetV3")],
    ids=lambda backbone: backbone["type"],
)
def test_a_backbone_without_stages_stops_the_run_before_its_first_epoch(backbone):
    run = TinyRun(unfreeze_epoch=100, **backbone)
    with pytest.raises(TypeError, match=rf"^{backbone['type'].split('.')[-1]} has no ResNet stages to unfreeze"):
        run.start()
    assert (run.runner.iter, run.epochs) == (0, {})


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
class TestOfTwoProcesses:
    def test_unfreezes_inside_distributed_data_parallel(self, two_processes, wrapped):
        assert two_processes[wrapped]["trains"] == [False, True, True]

    def test_every_weight_is_the_same_in_both(self, two_processes, wrapped):
        assert two_processes[wrapped]["apart"] == []

    def test_the_settings_are_kept_when_the_model_is_wrapped_again(self, two_processes, wrapped):
        assert two_processes[wrapped]["again"]
        assert two_processes[wrapped]["after"] == two_processes[wrapped]["before"]


def test_the_copied_files_train_with_the_command_that_the_page_gives(work_dir):
    saved = torch.load(work_dir / "epoch_1.pth", map_location="cpu", weights_only=False)
    assert saved["meta"]["epoch"] == 1
