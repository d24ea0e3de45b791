"""Compare what one step of the optimizer does to a detector, and say whose loss depends on what other GPUs see."""

import contextlib
import math
import sys
import unittest.mock
from collections.abc import Sequence

from howto.checkout import fit, weights
from howto.checkout.family import api
from howto.figures.show import COLOURS
from howto.project.errors import HowtoError
from howto.project.quiet import quiet


def starting(checkout, name: str, path: str, **changes) -> tuple[str, dict]:
    """Write a config whose training starts from weights in a file, the same each time.

    Args:
        checkout: A :class:`howto.Workspace`.
        name: What the file of the config, and of the weights, is called.
        path: The config that it is made of.
        **changes: What to change in it, with ``__`` for the dot.

    Returns:
        The file name of the config, and the state dict that its training starts from.
    """
    import torch

    cfg = checkout.config(path, **changes)
    cfg.load_from = f"{name}.pth"
    state = checkout.build(cfg).state_dict()
    torch.save({"state_dict": state}, checkout.root / cfg.load_from)
    file = checkout.root / f"configs/{checkout.topic}/{name}.py"
    cfg.dump(str(file))
    return file.name, state


def of_processes(checkout, config: str, start: dict) -> dict:
    """What an epoch of two processes, see :meth:`Workspace.train_in_two_processes`, added to each weight of `start`."""
    (saved,) = checkout.root.glob(f"work_dirs/{config.removesuffix('.py')}_two_processes*/epoch_1.pth")
    return update(start, weights.load(saved))


def update(before: dict, after: dict) -> dict:
    """What a step added to each weight, by name.

    Args:
        before: State dict of a detector.
        after: Its state dict after the step. Statistics of batch norms are no weights, and are left out.
    """
    names = [name for name, value in before.items() if value.is_floating_point() and ".running_" not in name]
    return {name: after[name].cpu() - before[name].cpu() for name in names}


def difference(one: dict, other: dict) -> float:
    """How far two updates are apart: the L2 norm of their difference over that of `other`, of all weights as one."""
    apart = sum(float((one[name] - value).square().sum()) for name, value in other.items())
    return (apart / sum(float(value.square().sum()) for value in other.values())) ** 0.5


def draw(axes, updates: Sequence[dict]) -> list:
    """Draw updates as arrows from one point, in the plane of the first and of the one that is farthest off its line.

    Lengths and angles of these two are true, and so are those of a third that equals one of them. The first ones are
    drawn wide, so that each is seen if several are the same.

    Args:
        axes: A matplotlib axes.
        updates: Updates of the same weights.

    Returns:
        The arrows, for a legend.
    """
    import torch

    flat = [torch.cat([value.flatten() for value in update.values()]).double() for update in updates]
    across = flat[0] / flat[0].norm()
    off = max((each - each.dot(across) * across for each in flat), key=torch.Tensor.norm)
    up = off / off.norm()
    ends = [(float(each.dot(across) / flat[0].norm()), float(each.dot(up) / flat[0].norm())) for each in flat]
    arrows = []
    for (x, y), colour, width in zip(ends, COLOURS, (9, 5, 2), strict=False):
        style = dict(width=0.011 * width, head_width=0.022 * width, length_includes_head=True, linewidth=0)
        arrows.append(axes.arrow(0, 0, x, y, color=colour, **style))
    axes.set_xlim(-0.1, max(x for x, _ in ends) + 0.1)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_axis_off()
    return arrows


def exchanges(checkout, path: str) -> bool:
    """Whether a detector's loss on an image changes with what another GPU counts, such as its matched anchors.

    The loss is computed twice, at the same random numbers: by one GPU alone, and with every mean over the GPUs, which
    mmdet computes by ``reduce_mean``, larger by 1000, as beside a GPU that counts far more.

    Args:
        checkout: A :class:`howto.Workspace`.
        path: The detector's config, below ``configs/``.
    """
    import torch

    cfg = checkout.config(path)
    with unittest.mock.patch.object(fit, "LONG_SIDE", 320):  # pixels; SSD needs more than on other pages
        cfg.merge_from_dict(fit.overrides(cfg, "cpu", 1))
    cfg.model.backbone.init_cfg = None
    if "num_queries" in cfg.model:
        cfg.model.num_queries = 100  # an image this small has fewer places than DINO has queries
    if "data_preprocessor" in cfg.model:
        cfg.model.data_preprocessor.batch_augments = None  # YOLOX's asks the run how far it is, and there is none
    with checkout.inside(cfg), quiet():
        model = api().detector(cfg)
        model.train()
        item = checkout.dataset(cfg)[0]
        averaging = [module for name, module in sys.modules.items() if name.startswith("mmdet.")]
        losses = []
        for average in (lambda mean: mean), (lambda mean: mean + 1000):
            with contextlib.ExitStack() as stack:
                for module in averaging:
                    if hasattr(module, "reduce_mean"):
                        stack.enter_context(unittest.mock.patch.object(module, "reduce_mean", average))
                torch.manual_seed(0)
                losses.append(float(api().loss(model, [item])))
    if not all(map(math.isfinite, losses)):
        raise HowtoError(f"{path}: the losses are {losses}, which says nothing")
    return not math.isclose(*losses, rel_tol=1e-6)
