"""Train a tiny detector on a real backbone with mmcv's own runner and hooks, and say what each epoch did.

As a program, which ``torch.distributed.run`` starts twice, it trains under DistributedDataParallel.
"""

import contextlib
import dataclasses
import importlib.util
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from mmcv.cnn import is_norm
from mmcv.parallel import MMDistributedDataParallel
from mmcv.runner import EpochBasedRunner, build_optimizer
from mmcv.runner.hooks import HOOKS, Hook
from mmcv.runner.optimizer import OPTIMIZER_BUILDERS
from mmdet.models import build_backbone
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from howto.checkout.isolation import no_naps
from howto.project.files import snippet_folder

HOOK = snippet_folder("mmdet2") / "unfreeze_backbone/unfreeze_backbone_epoch_based_hook.py"
SGD = dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001)
SETTINGS = ("device_ids", "dim", "broadcast_buffers", "find_unused_parameters")
WRAPPED = {
    "stock": dict(broadcast_buffers=False),  # as mmdet.apis.train_detector wraps
    "other": dict(broadcast_buffers=True, dim=1),
    "unused": dict(broadcast_buffers=False, find_unused_parameters=True),
    "accumulating": dict(broadcast_buffers=False),
    "all frozen": dict(broadcast_buffers=False),
}
KEYS = {  # of the runs in WRAPPED that have some of their own
    "unused": dict(part_unused=True),
    "accumulating": dict(optimizer_config=dict(type="GradientCumulativeOptimizerHook", cumulative_iters=3)),
    "all frozen": dict(frozen_stages=4),
}


@contextlib.contextmanager
def registered_hook() -> Iterator[None]:
    """What the very file that a reader copies registers is in mmcv's registries."""
    spec = importlib.util.spec_from_file_location(HOOK.stem, HOOK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        yield
    finally:
        del HOOKS._module_dict["UnfreezeBackboneEpochBasedHook"]
        del OPTIMIZER_BUILDERS._module_dict["FrozenTooOptimizerConstructor"]


class TinyDetector(nn.Module):
    """A detector as far as the hook can tell: a backbone and a ``train_step``.

    Args:
        part_unused: Whether a part gets no gradient, which DDP tolerates with ``find_unused_parameters`` alone.
        **backbone: Keys of the backbone's config; a narrow ResNet-18 has the others.
    """

    def __init__(self, part_unused: bool = False, **backbone) -> None:
        super().__init__()
        if backbone.setdefault("type", "ResNet") in ("ResNet", "ResNetV1d"):
            backbone = dict(depth=18, base_channels=16) | backbone
        self.backbone = build_backbone(backbone)
        self.head = nn.Conv2d(3, 1, 1)
        self.unused = nn.Linear(1, 1) if part_unused else None

    def train_step(self, images, optimizer):
        loss = sum(level.square().mean() for level in self.backbone(images)) + self.head(images).square().mean()
        return dict(loss=loss, log_vars=dict(loss=float(loss)), num_samples=len(images))

    val_step = train_step


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


class TinyRun(Hook):
    """Two iterations an epoch, of two 32 x 32 images each, with the hook in ``custom_hooks``.

    Args:
        epochs: Number of epochs.
        unfreeze_epoch: The hook's own argument; its default, if it is left out.
        evaluate: Whether a validation epoch follows each epoch.
        wrap: What to wrap the detector in.
        work_dir: Where a checkpoint is saved after each epoch; nowhere, if it is left out.
        resume_from: Checkpoint to resume.
        optimizer: The optimizer's config.
        optimizer_config: Config of the hook that lets the optimizer step.
        hooks: Configs of more hooks, which come before the snippet's.
        part_unused: Whether a part of the detector gets no gradient.
        seed: Seed of the images.
        **backbone: Keys of the backbone's config.
    """

    def __init__(
        self, epochs=3, unfreeze_epoch=None, evaluate=False, wrap=None, work_dir=None, resume_from=None, optimizer=SGD,
        optimizer_config=None, hooks=(), part_unused=False, seed=0, **backbone,
    ) -> None:  # fmt: skip
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.detector = TinyDetector(part_unused, **backbone)
        self.epochs: dict[int, Epoch] = {}
        self.log: list[str] = []
        images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
        model = wrap(self.detector) if wrap else self.detector
        device = next(self.detector.parameters()).device
        self.loader = torch.utils.data.DataLoader(images.to(device), batch_size=2)
        self.workflow = [("train", 1), ("val", 1)][: 1 + evaluate]
        logger = logging.Logger("tiny")  # one of its own, without handlers
        logger.addFilter(lambda record: self.log.append(record.getMessage()))
        hook = dict(type="UnfreezeBackboneEpochBasedHook")
        if unfreeze_epoch is not None:
            hook["unfreeze_epoch"] = unfreeze_epoch
        with registered_hook():
            self.runner = EpochBasedRunner(
                model, optimizer=build_optimizer(model, optimizer), work_dir=work_dir and str(work_dir), logger=logger,
                max_epochs=epochs,
            )  # fmt: skip
            self.runner.register_training_hooks(
                dict(policy="step", step=[100]), optimizer_config or dict(grad_clip=None),
                work_dir and dict(interval=1), custom_hooks_config=[*hooks, hook],
            )  # fmt: skip
        self.runner.register_hook(self, priority="VERY_LOW")
        if resume_from:
            self.runner.resume(str(resume_from), map_location="cpu")

    def start(self) -> "TinyRun":
        """Train, and return this."""
        with no_naps():
            self.runner.run([self.loader] * len(self.workflow), self.workflow)
        return self

    def parameters(self, *modules: str) -> set[str]:
        """Names of the parameters of some modules of the backbone."""
        return {name for name, _ in self.detector.named_parameters() if name.split(".")[1] in modules}

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
        return {
            f"{layer}.{name}"
            for layer, module in self.detector.named_modules()
            if is_norm(module)
            for name, _ in module.named_parameters()
        }

    @property
    def unfroze(self) -> list[str]:
        """What the hook logged."""
        return [line for line in self.log if "unfroze" in line]

    def before_train_epoch(self, runner) -> None:
        self._before = {name: value.clone() for name, value in self.detector.state_dict().items()}

    def after_train_epoch(self, runner) -> None:
        after = self.detector.state_dict()
        self.epochs[runner.epoch] = Epoch(
            trainable={name for name, parameter in self.detector.named_parameters() if parameter.requires_grad},
            moved={name for name, value in after.items() if not torch.equal(value, self._before[name])},
            norms_training={
                name
                for name, module in self.detector.named_modules()
                if isinstance(module, _BatchNorm) and module.training
            },
        )


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
        run = TinyRun(
            wrap=lambda model, s=settings: MMDistributedDataParallel(model, **s),
            seed=dist.get_rank(), **dict(frozen_stages=1) | KEYS.get(name, {}),
        )  # fmt: skip
        wrapper = run.runner.model
        try:
            trains = list(run.start().trains("conv1", "bn1", "layer1").values())
        except RuntimeError as error:  # DDP's, in both processes
            trains = str(error)
        results[name] = dict(
            trains=trains,
            before=[getattr(wrapper, setting) for setting in SETTINGS],
            after=[getattr(run.runner.model, setting) for setting in SETTINGS],
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
