"""Train a tiny detector on a real backbone with MMEngine's own Runner, and say what each epoch did.

As a program, which ``torch.distributed.run`` starts twice, it trains under DistributedDataParallel.
"""

import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from mmcv.cnn import is_norm
from mmdet.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from howto.checkout.isolation import isolated
from howto.project.files import snippet_folder
from howto.project.quiet import quiet

FOLDER = snippet_folder("mmdet3") / "unfreeze_backbone"
SGD = dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001)
SETTINGS = (
    "device_ids", "dim", "broadcast_buffers", "find_unused_parameters", "detect_anomalous_params", "static_graph",
    "gradient_as_bucket_view",
)  # fmt: skip
WRAPPED = {
    "stock": dict(broadcast_buffers=False),  # as the Runner wraps
    "other": dict(broadcast_buffers=True, dim=1, detect_anomalous_params=True),
    "unused": dict(broadcast_buffers=False, find_unused_parameters=True),
    "static": dict(broadcast_buffers=False, static_graph=True, gradient_as_bucket_view=True),
    "accumulating": dict(broadcast_buffers=False),
    "all frozen": dict(broadcast_buffers=False),
}
KEYS = {  # of the runs in WRAPPED that have some of their own
    "unused": dict(part_unused=True),
    "accumulating": dict(optim_wrapper=dict(accumulative_counts=2)),  # an iteration an epoch, here
    "all frozen": dict(frozen_stages=4),
}


class TinyDetector(BaseModel):
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
        self.backbone = MODELS.build(backbone)
        self.head = nn.Conv2d(3, 1, 1)
        self.unused = nn.Linear(1, 1) if part_unused else None

    def forward(self, inputs, mode):
        loss = sum(level.square().mean() for level in self.backbone(inputs)) + self.head(inputs).square().mean()
        return dict(loss=loss) if mode == "loss" else [loss]


class Images(torch.utils.data.Dataset):
    """Four images of noise."""

    def __init__(self, seed: int) -> None:
        self.images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=self.images[index])


class Nothing(BaseMetric):
    """An evaluation that only takes place."""

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(images=len(results))


@dataclasses.dataclass
class Epoch:
    """What one epoch did, each by names as in the detector's state dict.

    Attributes:
        trainable: Parameters that had ``requires_grad``.
        moved: Parameters and buffers that ended other than they began.
        norms_training: Batch norms in training mode.
    """

    trainable: set[str]
    moved: set[str]
    norms_training: set[str]


class TinyRun:
    """Two iterations an epoch, of two 32 x 32 images each, with the snippet's hook in ``custom_hooks``.

    Args:
        epochs: Number of epochs.
        unfreeze_epoch: The hook's own argument; its default, if it is left out.
        evaluate: Whether an evaluation follows each epoch.
        work_dir: Where a checkpoint is saved after each epoch.
        resume_from: Checkpoint to resume.
        optim_wrapper: Keys of the config's ``optim_wrapper``.
        auto_scale_lr: The config's ``auto_scale_lr``.
        wrap: Keys of the config's ``model_wrapper_cfg``.
        part_unused: Whether a part of the detector gets no gradient.
        seed: Seed of the images.
        hooks: Configs of more hooks, which come before the snippet's.
        before: Called with the detector before the run starts.
        **backbone: Keys of the backbone's config.
    """

    def __init__(
        self, epochs=3, unfreeze_epoch=None, evaluate=False, work_dir=None, resume_from=None, optim_wrapper=None,
        auto_scale_lr=None, wrap=None, part_unused=False, seed=0, hooks=(), before=None, **backbone,
    ) -> None:  # fmt: skip
        self.epochs: dict[int, Epoch] = {}
        self._keys = (epochs, unfreeze_epoch, evaluate, work_dir, resume_from, wrap, part_unused, seed, before)
        self._optim_wrapper, self._backbone = dict(optimizer=SGD) | (optim_wrapper or {}), backbone
        self._auto_scale_lr, self._hooks = auto_scale_lr, hooks

    def start(self, action: str = "train") -> "TinyRun":
        """Train, or only evaluate with ``val``; return this."""
        with tempfile.TemporaryDirectory() as folder, isolated(FOLDER):
            import unfreeze_backbone_epoch_based_hook  # noqa: F401  the very file that a reader copies

            torch.set_num_threads(1)
            init_default_scope("mmdet")
            for registry, kind in ((MODELS, TinyDetector), (DATASETS, Images), (METRICS, Nothing), (HOOKS, Watch)):
                registry.register_module(module=kind, force=True)
            Watch.run, runner.collect_env = self, dict  # which asks compilers for their versions, for the log
            with quiet():
                self.runner = Runner.from_cfg(self._cfg(folder))
                self.detector = Watch.unwrap(self.runner)
                if before := self._keys[-1]:
                    before(self.detector)
                self.wrapper = self.runner.model
                getattr(self.runner, action)()
            (log,) = [*Path(self.runner.log_dir).glob("*.log")] if dist_rank() == 0 else [None]
            self.log = log.read_text().splitlines() if log else []
        return self

    def _cfg(self, folder: str) -> Config:
        epochs, unfreeze_epoch, evaluate, work_dir, resume_from, wrap, part_unused, seed, _ = self._keys
        hook = dict(type="UnfreezeBackboneEpochBasedHook")
        if unfreeze_epoch is not None:
            hook["unfreeze_epoch"] = unfreeze_epoch
        loader = dict(batch_size=2, num_workers=0, dataset=dict(type="Images", seed=seed))
        loader |= dict(sampler=dict(type="DefaultSampler", shuffle=False), collate_fn=dict(type="default_collate"))
        cfg = dict(
            default_scope="mmdet", work_dir=str(work_dir or folder), launcher="pytorch" if wrap else "none",
            model=dict(type="TinyDetector", part_unused=part_unused, backbone=self._backbone),
            train_dataloader=loader, train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=self._optim_wrapper, auto_scale_lr=self._auto_scale_lr, randomness=dict(seed=0),
            param_scheduler=dict(type="MultiStepLR", by_epoch=True, milestones=[100]),
            custom_hooks=[*self._hooks, hook, dict(type="Watch", priority="VERY_LOW")],
            resume=bool(resume_from), load_from=resume_from and str(resume_from),
        )  # fmt: skip
        if evaluate:
            cfg |= dict(val_dataloader=loader, val_cfg=dict(), val_evaluator=dict(type="Nothing"))
        if wrap:
            cfg["model_wrapper_cfg"] = dict(type="MMDistributedDataParallel", device_ids=None, **wrap)
        return Config(cfg)

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
        return [line.partition(" - INFO - ")[2] for line in self.log if "unfroze" in line]


class Watch(Hook):
    """Tell ``Watch.run`` what each epoch did."""

    run: TinyRun

    def before_train_epoch(self, runner):
        self._before = {name: value.clone() for name, value in self.unwrap(runner).state_dict().items()}

    def after_train_epoch(self, runner):
        detector = self.unwrap(runner)
        norms = [(name, module) for name, module in detector.named_modules() if isinstance(module, _BatchNorm)]
        after = detector.state_dict()
        self.run.epochs[runner.epoch] = Epoch(
            trainable={name for name, parameter in detector.named_parameters() if parameter.requires_grad},
            moved={name for name, value in after.items() if not torch.equal(value, self._before[name])},
            norms_training={name for name, module in norms if module.training},
        )

    @staticmethod
    def unwrap(runner):
        return getattr(runner.model, "module", runner.model)


def dist_rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


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
        run = TinyRun(wrap=settings, seed=dist.get_rank(), **dict(frozen_stages=1) | KEYS.get(name, {}))
        run.start()
        results[name] = dict(
            trains=list(run.trains("conv1", "bn1", "layer1").values()),
            before=[getattr(run.wrapper, setting) for setting in SETTINGS],
            after=[getattr(run.runner.model, setting) for setting in SETTINGS],
            again=run.wrapper is not run.runner.model,
            apart=sorted(name for name, value in run.detector.named_parameters() if differs(value)),
        )
    if dist.get_rank() == 0:
        (folder / "results.json").write_text(json.dumps(results))
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
