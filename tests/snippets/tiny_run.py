"""Train a tiny detector on a real backbone with OpenMMLab's own runner and hooks, and say what each epoch did.

As a program, which ``torch.distributed.run`` starts twice, it trains under DistributedDataParallel.
"""

import dataclasses
import importlib
import json
import logging
import os
import sys
import tempfile
import unittest.mock
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from mmcv.cnn import is_norm
from torch import nn

from howto.checkout.family import api
from howto.checkout.isolation import isolated, no_naps
from howto.project import stacks
from howto.project.files import snippet_folder
from howto.project.quiet import quiet

FAMILY = stacks.current().family
FOLDER = snippet_folder(FAMILY) / "unfreeze_backbone"
SGD = dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001)
SETTINGS = ["device_ids", "dim", "broadcast_buffers", "find_unused_parameters"]
WRAPPED = {
    "stock": dict(broadcast_buffers=False),  # as training wraps
    "other": dict(broadcast_buffers=True, dim=1),
    "unused": dict(broadcast_buffers=False, find_unused_parameters=True),
    "accumulating": dict(broadcast_buffers=False),
    "all frozen": dict(broadcast_buffers=False),
}
KEYS = {  # of the runs in WRAPPED that have some of their own
    "unused": dict(part_unused=True),
    "accumulating": dict(accumulate=3 if FAMILY == "mmdet2" else 2),
    "all frozen": dict(frozen_stages=4),
}
if FAMILY == "mmdet2":
    import mmcls.models  # noqa: F401  registers mmcls's backbones
    import mmdet.core.hook  # noqa: F401  and this mmdet's hooks
    from mmcv.parallel import MMDistributedDataParallel
    from mmcv.runner import EpochBasedRunner, build_optimizer

    Model = nn.Module
else:
    from mmdet.registry import DATASETS, METRICS, MODELS
    from mmengine.config import Config
    from mmengine.evaluator import BaseMetric
    from mmengine.model import BaseModel as Model
    from mmengine.runner import Runner

    SETTINGS += ["detect_anomalous_params", "static_graph", "gradient_as_bucket_view"]
    WRAPPED["other"]["detect_anomalous_params"] = True
    WRAPPED["static"] = dict(broadcast_buffers=False, static_graph=True, gradient_as_bucket_view=True)

HOOKS, Hook = api().hooks()


class TinyDetector(Model):
    """A detector as far as the hook can tell: a model with a backbone.

    Args:
        part_unused: Whether a part gets no gradient, which DDP tolerates with ``find_unused_parameters`` alone.
        backbone: Keys of the backbone's config; a narrow ResNet-18 has the others.
    """

    def __init__(self, part_unused: bool, backbone: dict, **_) -> None:
        super().__init__()
        if backbone.setdefault("type", "ResNet") in ("ResNet", "ResNetV1d"):
            # With zero_init_residual, the first step moves no more than the last norm of each block.
            backbone = dict(depth=18, base_channels=16, zero_init_residual=False) | backbone
        self.backbone = api().backbone(backbone)
        self.head = nn.Conv2d(3, 1, 1)
        self.unused = nn.Linear(1, 1) if part_unused else None

    def forward(self, inputs, mode="loss"):
        loss = sum(level.square().mean() for level in self.backbone(inputs)) + self.head(inputs).square().mean()
        return dict(loss=loss) if mode == "loss" else [loss]

    if FAMILY == "mmdet2":

        def train_step(self, batch, optimizer):
            loss = self(batch["inputs"])["loss"]
            return dict(loss=loss, log_vars=dict(loss=float(loss)), num_samples=len(batch["inputs"]))

        val_step = train_step


class Images(torch.utils.data.Dataset):
    """Four images of noise."""

    def __init__(self, seed: int) -> None:
        self.images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=self.images[index])


@dataclasses.dataclass
class Epoch:
    """What one epoch did, each by names as in the detector's state dict.

    Attributes:
        trainable: Parameters that had ``requires_grad``.
        moved: Parameters and buffers that ended other than they began.
    """

    trainable: set[str]
    moved: set[str]


class Watch(Hook):
    """Tells ``Watch.run`` what each epoch did."""

    run: "TinyRun"

    def before_train_epoch(self, runner):
        self._before = {name: value.clone() for name, value in unwrapped(runner).state_dict().items()}

    def after_train_epoch(self, runner):
        detector = unwrapped(runner)
        after = detector.state_dict()
        self.run.epochs[runner.epoch] = Epoch(
            trainable={name for name, parameter in detector.named_parameters() if parameter.requires_grad},
            moved={name for name, value in after.items() if not torch.equal(value, self._before[name])},
        )


@dataclasses.dataclass(kw_only=True)
class _Settings:
    """What a run is made of.

    Attributes:
        epochs: Number of epochs.
        unfreeze_epoch: The hook's own argument; its default, if it is left out.
        evaluate: Whether an evaluation follows each epoch.
        work_dir: Where a checkpoint is saved after each epoch.
        resume_from: Checkpoint to resume.
        optimizer: The optimizer's config.
        paramwise: Its ``paramwise_cfg``; on 2.x it brings the constructor that the snippet has.
        accumulate: Number of iterations before each step.
        wrapper: More keys of the config's ``optim_wrapper``, on 3.x.
        wrap: Keys of the ``MMDistributedDataParallel`` to wrap the detector in, or on 2.x what wraps it.
        part_unused: Whether a part of the detector gets no gradient.
        seed: Seed of the images.
        before: Called with the detector before the run starts.
        backbone: Keys of the backbone's config.
    """

    epochs: int = 3
    unfreeze_epoch: int | None = None
    evaluate: bool = False
    work_dir: Path | None = None
    resume_from: Path | None = None
    optimizer: dict = dataclasses.field(default_factory=SGD.copy)
    paramwise: dict | None = None
    accumulate: int = 1
    wrapper: dict = dataclasses.field(default_factory=dict)
    wrap: dict | Callable | None = None
    part_unused: bool = False
    seed: int = 0
    before: Callable = lambda detector: None
    backbone: dict

    @property
    def custom_hooks(self) -> list[dict]:
        """The ``custom_hooks`` of its config."""
        epoch = {} if self.unfreeze_epoch is None else dict(unfreeze_epoch=self.unfreeze_epoch)
        hook = dict(type="UnfreezeBackboneEpochBasedHook", **epoch)
        return [hook, dict(type="Watch", priority="VERY_LOW")]


class TinyRun:
    """Two iterations an epoch, of two 32 x 32 images each, with the snippet's hook in ``custom_hooks``.

    Args:
        **keys: Those of :class:`_Settings`, and keys of the backbone's config.
    """

    def __init__(self, **keys) -> None:
        own = {field.name for field in dataclasses.fields(_Settings)}
        backbone = {key: value for key, value in keys.items() if key not in own}
        self.settings = _Settings(**{key: keys[key] for key in keys.keys() & own}, backbone=backbone)
        self.epochs: dict[int, Epoch] = {}
        self.log: list[str] = []

    def start(self, action: str = "train") -> "TinyRun":
        """Train, or on 3.x only evaluate with ``val``; return this."""
        torch.set_num_threads(1)
        with tempfile.TemporaryDirectory() as folder, isolated(FOLDER), quiet():
            importlib.import_module("unfreeze_backbone_epoch_based_hook")  # the very file that a reader copies
            HOOKS.register_module(module=Watch, force=True)
            Watch.run = self
            self.runner = (self._runner2 if FAMILY == "mmdet2" else self._runner3)(folder)
            self.detector = unwrapped(self.runner)
            self.settings.before(self.detector)
            self.wrapper = self.runner.model
            with self._noting():
                self._run(action)
        return self

    def _runner2(self, folder: str):
        of = self.settings
        torch.manual_seed(0)
        detector = TinyDetector(of.part_unused, of.backbone)
        wrap = of.wrap if callable(of.wrap) else lambda model: MMDistributedDataParallel(model, **of.wrap)
        model = wrap(detector) if of.wrap else detector
        own = dict(constructor="FrozenTooOptimizerConstructor", paramwise_cfg=of.paramwise) if of.paramwise else {}
        adding = dict(type="GradientCumulativeOptimizerHook", cumulative_iters=of.accumulate)
        logger = logging.Logger("tiny")  # one of its own, without handlers
        optimizer = build_optimizer(model, of.optimizer | own)
        work_dir = of.work_dir and str(of.work_dir)
        runner = EpochBasedRunner(model, optimizer=optimizer, work_dir=work_dir, logger=logger, max_epochs=of.epochs)
        runner.register_training_hooks(
            dict(policy="step", step=[100]), adding if of.accumulate > 1 else dict(grad_clip=None),
            work_dir and dict(interval=1), custom_hooks_config=of.custom_hooks,
        )  # fmt: skip
        if of.resume_from:
            runner.resume(str(of.resume_from), map_location="cpu")
        return runner

    def _runner3(self, folder: str):
        of = self.settings
        for registry, kind in ((MODELS, TinyDetector), (DATASETS, Images), (METRICS, Nothing)):
            registry.register_module(module=kind, force=True)
        loader = dict(batch_size=2, num_workers=0, dataset=dict(type="Images", seed=of.seed))
        loader |= dict(sampler=dict(type="DefaultSampler", shuffle=False), collate_fn=dict(type="default_collate"))
        wrapper = dict(optimizer=of.optimizer, paramwise_cfg=of.paramwise, accumulative_counts=of.accumulate)
        cfg = dict(
            default_scope="mmdet", work_dir=str(of.work_dir or folder), launcher="pytorch" if of.wrap else "none",
            model=dict(type="TinyDetector", part_unused=of.part_unused, backbone=of.backbone),
            train_dataloader=loader, train_cfg=dict(by_epoch=True, max_epochs=of.epochs),
            optim_wrapper=wrapper | of.wrapper, randomness=dict(seed=0),
            param_scheduler=dict(type="MultiStepLR", by_epoch=True, milestones=[100]), custom_hooks=of.custom_hooks,
            resume=bool(of.resume_from), load_from=of.resume_from and str(of.resume_from),
        )  # fmt: skip
        if of.evaluate:
            cfg |= dict(val_dataloader=loader, val_cfg=dict(), val_evaluator=dict(type="Nothing"))
        if of.wrap:
            cfg["model_wrapper_cfg"] = dict(type="MMDistributedDataParallel", device_ids=None, **of.wrap)
        with unittest.mock.patch("mmengine.runner.runner.collect_env", dict):  # it asks compilers, for the log
            return Runner.from_cfg(Config(cfg))

    def _run(self, action: str) -> None:
        if FAMILY == "mmdet3":
            getattr(self.runner, action)()
            return
        device = next(self.detector.parameters()).device
        images = [dict(inputs=image) for image in Images(self.settings.seed).images.to(device)]
        loader = torch.utils.data.DataLoader(images, batch_size=2)
        workflow = [("train", 1), ("val", 1)][: 1 + self.settings.evaluate]
        with no_naps():
            self.runner.run([loader] * len(workflow), workflow)

    def _noting(self):
        """Context in which the messages of the runner's logger are kept."""
        info = lambda message, *_: self.log.append(str(message))  # noqa: E731
        return unittest.mock.patch.object(self.runner.logger, "info", info)

    def parameters(self, *modules: str) -> set[str]:
        """Names of the parameters of some modules of the backbone."""
        return {name for name in self.everything if name.split(".")[1] in modules}

    def trains(self, *modules: str) -> dict[int, bool]:
        """For each epoch, whether every parameter of these modules could train and moved; they must agree."""
        expected = self.parameters(*modules)
        found = {}
        for number, epoch in self.epochs.items():
            did = expected & epoch.trainable & epoch.moved
            assert did in (expected, set()), f"epoch {number}: {sorted(expected - did)} do not train"
            found[number] = did == expected
        return found

    @property
    def rates(self) -> dict:
        """The learning rate of each parameter, by the parameter."""
        optimizer = self.runner.optimizer if FAMILY == "mmdet2" else self.runner.optim_wrapper
        return {weight: group["lr"] for group in optimizer.param_groups for weight in group["params"]}

    @property
    def everything(self) -> set[str]:
        """Names of all parameters of the detector."""
        return {name for name, _ in self.detector.named_parameters()}

    @property
    def norms(self) -> set[str]:
        """Names of all parameters of norm layers of the backbone."""
        layers = [(layer, module) for layer, module in self.detector.named_modules() if is_norm(module)]
        return {f"{layer}.{name}" for layer, module in layers for name, _ in module.named_parameters()}

    @property
    def unfroze(self) -> list[str]:
        """What the hook logged."""
        return [line for line in self.log if "unfroze" in line]


if FAMILY == "mmdet3":

    class Nothing(BaseMetric):
        """An evaluation that only takes place."""

        def process(self, data_batch, data_samples):
            self.results.append(0)

        def compute_metrics(self, results):
            return dict(images=len(results))


def unwrapped(runner):
    """The detector of a runner, without what wraps it."""
    return getattr(runner.model, "module", runner.model)


def main(folder: Path) -> None:
    """One of two processes that train on images of their own and average their gradients (DDP, gloo).

    Rank 0 writes, for each entry of :data:`WRAPPED`, the wrapper's settings before and after, and the parameters in
    which the processes differ at the end.

    Args:
        folder: Where ``results.json`` is written.
    """
    dist.init_process_group("gloo")
    results = {}
    for name, settings in WRAPPED.items():
        run = TinyRun(wrap=settings, seed=dist.get_rank(), **dict(frozen_stages=1) | KEYS.get(name, {})).start()
        results[name] = dict(
            trains=list(run.trains("conv1", "bn1", "layer1").values()),
            before=[getattr(run.wrapper, setting) for setting in SETTINGS],
            after=[getattr(run.runner.model, setting) for setting in SETTINGS],
            again=run.wrapper is not run.runner.model,
            apart=sorted(name for name, value in run.detector.named_parameters() if differs(value)),
        )
    if dist.get_rank() == 0:
        (folder / "results.json").write_text(json.dumps(results), "utf-8")
    dist.destroy_process_group()


def differs(value) -> bool:
    """Whether a parameter is another in the other process."""
    both = [torch.empty_like(value) for _ in range(dist.get_world_size())]
    dist.all_gather(both, value.detach())
    return not torch.equal(*both)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    # With torch 2.11.0, 2 of 40 starts aborted here: threads of gloo release tensors while the interpreter ends.
    os._exit(0)
