"""The hook unfreezes what ``frozen_stages`` froze, that alone and for good, in any ResNet; the page trains with it."""

import importlib
import re
import types

import pytest
import torch
import torch.distributed as dist
from torch import nn

from howto.checkout.family import api
from howto.checkout.isolation import isolated
from howto.project import stacks
from howto.project.files import snippet_folder
from howto.project.howtos import HowTo
from howto.site.downloads import resume

FAMILY = stacks.current().family
LAYERS = ("layer1", "layer2", "layer3", "layer4")
RESNET = dict(type="ResNet", depth=18, base_channels=16)
GROUP = dict(type="GN", num_groups=4)
CLASSIFIERS = {"mmdet2": "mmcls", "mmdet3": "mmpretrain"}[FAMILY]
SMALL = dict(
    model__backbone__depth=18, model__backbone__init_cfg=None, model__backbone__frozen_stages=1,
    model__neck__in_channels=[64, 128, 256, 512],
)  # fmt: skip

only = {name: pytest.mark.skipif(name != FAMILY, reason=f"of {name}") for name in ("mmdet2", "mmdet3")}


@pytest.fixture(scope="module")
def hook():
    """The class of the very file that a reader copies."""
    with isolated(snippet_folder(FAMILY) / "unfreeze_backbone"):
        return importlib.import_module("unfreeze_backbone_epoch_based_hook").UnfreezeBackboneEpochBasedHook


def detector(**backbone):
    """A detector as far as the hook can tell: a model with a backbone."""
    model = nn.Module()
    model.backbone, model.head = api().part(RESNET | backbone), nn.Conv2d(3, 1, 1)
    return model


def epochs(hook, model, unfreeze_epoch=1):
    """For each of three epochs the parameters that train in it, and what the hook logged."""
    found, log = [], []
    runner = types.SimpleNamespace(model=model, logger=types.SimpleNamespace(info=log.append))
    hook = hook(unfreeze_epoch)
    for runner.epoch in range(3):
        if FAMILY == "mmdet2":  # the order in which each family's loop does it
            model.train()
        hook.before_train_epoch(runner)
        if FAMILY == "mmdet3":
            model.train()
        found.append({name for name, value in model.named_parameters() if value.requires_grad})
        model.eval()  # an evaluation
    return found, log


def parameters(model, *modules):
    """Names of the parameters of some modules of the backbone, or of all the detector's."""
    return {name for name, _ in model.named_parameters() if not modules or name.split(".")[1] in modules}


@pytest.mark.parametrize(
    ("backbone", "stem"),
    [
        (dict(frozen_stages=0), ("conv1", "bn1")),
        (dict(frozen_stages=4), ("conv1", "bn1")),
        (dict(type="ResNetV1d", frozen_stages=1), ("stem",)),
        (dict(type="ResNeXt", depth=50, groups=4, base_width=4, frozen_stages=1), ("conv1", "bn1")),
        (dict(type="Res2Net", depth=50, scales=4, base_width=8, frozen_stages=1), ("stem",)),
        (dict(type="ResNeSt", depth=50, frozen_stages=2), ("stem",)),
        (dict(frozen_stages=2, norm_cfg=GROUP), ("conv1", "gn1")),
    ],
    ids=str,
)
def test_what_is_frozen_alone_does_not_train_before_the_epoch_and_all_does_after_it(hook, backbone, stem):
    model = detector(**backbone)
    modules = (*stem, *LAYERS[: backbone["frozen_stages"]])
    before, *after = epochs(hook, model)[0]
    assert parameters(model) - before == parameters(model, *modules) != set()
    assert after == [parameters(model)] * 2


@pytest.mark.parametrize(
    "keys", [dict(type="RegNet", arch="regnetx_400mf"), dict(type=f"{CLASSIFIERS}.ResNet", depth=18)]
)
def test_it_knows_other_backbones_that_are_built_on_resnet_and_logs_once_what_it_unfroze(hook, keys):
    model = nn.Module()
    model.backbone = api().part(keys | dict(frozen_stages=1))
    (before, *after), log = epochs(hook, model, unfreeze_epoch=2)
    assert after == [before, parameters(model)]
    assert log == [f"Epoch 2: unfroze conv1, norm1, layer1 of {keys['type'].rpartition('.')[2]}"]


def test_nothing_happens_when_nothing_is_frozen(hook):
    model = detector(frozen_stages=-1)
    assert epochs(hook, model) == ([parameters(model)] * 3, [])


@pytest.mark.parametrize("norm", [dict(type="BN"), GROUP, dict(type="SyncBN")], ids=str)
def test_what_was_frozen_by_other_means_stays_frozen(hook, norm):
    model = detector(frozen_stages=2, norm_cfg=norm | dict(requires_grad=False))
    norms = {name for name in parameters(model) if name.split(".")[-2].startswith(("bn", "gn"))}
    norms |= {name for name in parameters(model) if ".downsample.1." in name}
    model.head.weight.requires_grad_(False)
    model.backbone.layer4.requires_grad_(False)
    *_, last = epochs(hook, model)[0]
    assert parameters(model) - last == norms | {"head.weight"} | parameters(model, "layer4")


@only["mmdet3"]
def test_a_run_that_only_evaluates_is_left_alone(hook):
    hook().before_run(types.SimpleNamespace(model=detector(frozen_stages=1), optim_wrapper=None))


@pytest.mark.parametrize(
    "settings",
    [
        dict(broadcast_buffers=False),  # as training wraps
        dict(broadcast_buffers=True, dim=1, find_unused_parameters=True),
        pytest.param(dict(static_graph=True, gradient_as_bucket_view=True), marks=only["mmdet3"]),
        pytest.param(dict(detect_anomalous_params=True), marks=only["mmdet3"]),
    ],
    ids=str,
)
def test_the_settings_of_what_wraps_the_model_are_kept_when_it_is_wrapped_again(hook, settings):
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        wrapped = wrapper()(detector(frozen_stages=1), **settings)
        again = hook.wrap_again(wrapped)
    finally:
        dist.destroy_process_group()
    names = ["device_ids", "dim", "broadcast_buffers", "find_unused_parameters", *settings]
    assert (type(again), again.module) == (type(wrapped), wrapped.module) and again is not wrapped
    assert [getattr(again, name) for name in names] == [getattr(wrapped, name) for name in names]


def wrapper():
    if FAMILY == "mmdet2":
        from mmcv.parallel import MMDistributedDataParallel
    else:
        from mmengine.model import MMDistributedDataParallel
    return MMDistributedDataParallel


def test_a_run_that_is_resumed_before_the_epoch_waits_for_it_with_any_optimizer(checkout):
    tenth = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)), norm_decay_mult=0.0)
    own = dict(constructor="FrozenTooOptimizerConstructor", paramwise_cfg=tenth) if FAMILY == "mmdet2" else {}
    place = "optimizer" if FAMILY == "mmdet2" else "optim_wrapper__optimizer"
    keys = {} if FAMILY == "mmdet2" else dict(optim_wrapper__paramwise_cfg=tenth)
    keys |= {f"custom_hooks__{len(checkout.config().custom_hooks) - 1}__unfreeze_epoch": 2}

    def train(**more):
        adam = {place: dict(type="AdamW", lr=0.001, weight_decay=0.05, _delete_=True, **own)}
        return checkout.train(evaluate=False, **more, **adam, **keys, **SMALL)

    run = train()
    resumed = train(epochs=3, resume_from=run.checkpoint)
    assert (run.trains("layer1"), resumed.trains("layer1")) == ([False], [False, True])


def test_the_copied_files_train_and_resume_with_the_commands_that_the_page_gives(checkout, work_dir):
    saved = torch.load(work_dir / "epoch_1.pth", map_location="cpu", weights_only=False)
    assert saved["meta"]["epoch"] == 1
    howto = HowTo(stacks.current(), checkout.topic)
    checkout.shell(f"{resume(howto, howto.config)} {{fit}}")
    assert any(re.search(r"resumed epoch:? 1, iter", log.read_text("utf-8")) for log in work_dir.rglob("*.log"))
