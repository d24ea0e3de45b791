"""Watch a training run from inside: which stages could train, how far their weights moved, what the losses were."""

import collections
import dataclasses
from pathlib import Path

from howto.checkout.family import api


@dataclasses.dataclass
class Epoch:
    """What one epoch did.

    Attributes:
        losses: Total loss of each iteration.
        rates: The largest learning rate of any parameter in each iteration; a config may multiply some.
        trainable: For each stage, whether any of its parameters had ``requires_grad`` in the last iteration.
        moved: For each stage, the L2 norm of its weights' change over that of the weights, a ratio.
        norms_training: For each stage, whether any of its batch norms was in training mode.
        images: What the detector saw, if the run keeps it: of each image the path of its file, which Mosaic and MixUp
            started from, and the image itself (height, width, 3), BGR, uint8, without padding.
    """

    losses: list[float] = dataclasses.field(default_factory=list)
    rates: list[float] = dataclasses.field(default_factory=list)
    trainable: dict[str, bool] = dataclasses.field(default_factory=dict)
    moved: dict[str, float] = dataclasses.field(default_factory=dict)
    norms_training: dict[str, bool] = dataclasses.field(default_factory=dict)
    images: list[tuple] = dataclasses.field(default_factory=list)


class Run:
    """A training run: a hook in it tells it of each step, and it collects one :class:`Epoch` after another.

    Args:
        cfg: The config that runs, overrides included.
        checkpoint: The last checkpoint that the run saves.
        keeps_images: Whether to keep every image that the detector sees.

    Attributes:
        epochs: The epochs that ran, by number.
        optimizer: The ``torch.optim.Optimizer`` that trained the model.
        metrics: The last evaluation's results, such as ``bbox_mAP``; empty if there was none.
        model: The trained detector.
        log: Everything that the run wrote.
    """

    def __init__(self, cfg, checkpoint: Path, keeps_images: bool = False) -> None:
        self.cfg, self.checkpoint, self.keeps_images = cfg, checkpoint, keeps_images
        self.epochs: dict[int, Epoch] = {}
        self.optimizer = self.model = None
        self.metrics: dict[str, float] = {}
        self.log = ""
        self._stepped: list[bool] = []  # of each iteration, whether the optimizer made a step in it

    @property
    def losses(self) -> list[float]:
        """Total loss of every iteration."""
        return [loss for epoch in self.epochs.values() for loss in epoch.losses]

    @property
    def rates(self) -> list[float]:
        """The largest learning rate of any parameter in every iteration."""
        return [rate for epoch in self.epochs.values() for rate in epoch.rates]

    @property
    def images_per_step(self) -> int:
        """How many images the optimizer saw before each of its steps: the run had one process."""
        return api().images(self.cfg) * api().accumulated(self.cfg)

    @property
    def steps(self) -> list[int]:
        """The iterations, counted from 1 over all epochs, that ended with a step of the optimizer."""
        return [number for number, stepped in enumerate(self._stepped, 1) if stepped]

    def logged(self, words: str) -> list[str]:
        """The messages of the run's log that contain `words`."""
        return [line.partition(" - INFO - ")[2] for line in self.log.splitlines() if words in line]

    @property
    def evaluations(self) -> int:
        """How many times the run was evaluated."""
        return self.log.count("Evaluating bbox")

    def trains(self, stage: str) -> list[bool]:
        """For each epoch, whether the stage's weights could train (``requires_grad``) and did change."""
        return [epoch.trainable[stage] and epoch.moved[stage] > 0 for epoch in self.epochs.values()]

    def moved(self, stage: str) -> list[float]:
        """For each epoch, how far the stage's weights moved relative to their length."""
        return [epoch.moved[stage] for epoch in self.epochs.values()]

    def begins(self, number: int, model, optimizer) -> None:
        """An epoch begins."""
        if optimizer is not self.optimizer:
            optimizer.register_step_post_hook(self._step)
        self.optimizer = optimizer
        self.epoch = self.epochs[number] = Epoch()
        self._before = _stages(model.state_dict())

    def iterates(self, rate: float, batch: dict) -> None:
        """An iteration of that epoch begins, with this learning rate and what the loader gave."""
        self.epoch.rates.append(rate)
        if self.keeps_images:
            self.epoch.images += api().images_of(batch)
        self._stepped.append(False)

    def iterated(self, model, loss: float, last: bool) -> None:
        """An iteration of that epoch has ended, the last one or another."""
        from torch.nn.modules.batchnorm import _BatchNorm

        self.epoch.losses.append(loss)
        self.epoch.trainable = {
            stage: any(param.requires_grad for param in params.values())
            for stage, params in _stages(dict(model.named_parameters()), copy=False).items()
        }
        norms = {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
        self.epoch.norms_training = {
            stage: any(norm.training for norm in found.values()) for stage, found in _stages(norms, copy=False).items()
        }
        if last:
            after = _stages(model.state_dict(), copy=False)
            self.epoch.moved = {stage: _moved(self._before[stage], after[stage]) for stage in after}

    def _step(self, *_) -> None:
        self._stepped[-1] = True


def stages_of(parameter: str) -> list[str]:
    """The parts of a detector that a parameter counts for: ``neck``, ``backbone``, of a ResNet its stem and layers."""
    part, _, rest = parameter.partition(".")
    first = rest.partition(".")[0]
    if part != "backbone":
        return [part]
    return [part, "stem" if first in ("conv1", "bn1", "stem") else first]


def _stages(named: dict, copy: bool = True) -> dict[str, dict]:
    grouped = collections.defaultdict(dict)
    for name, value in named.items():
        value = value.detach().clone() if copy else value
        for stage in stages_of(name):
            grouped[stage][name] = value
    return grouped


def _moved(before: dict, after: dict) -> float:
    """L2 norm of the change over that of the start. Batch norms' running statistics are no weights."""
    change = length = 0.0
    for name, value in after.items():
        if value.is_floating_point() and "running_" not in name:
            change += float((value.detach() - before[name]).square().sum())
            length += float(before[name].square().sum())
    return (change / length) ** 0.5 if length else 0.0
