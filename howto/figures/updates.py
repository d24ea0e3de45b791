"""Compare what one step of the optimizer does to a detector, and say whose loss depends on what other GPUs see."""

import inspect

from howto.checkout.family import api


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


def exchanges(checkout, path: str) -> bool:
    """Whether the GPUs tell each other what they divide a detector's loss by, such as the number of matched anchors.

    Its heads call mmdet's ``reduce_mean`` then.

    Args:
        checkout: A :class:`howto.Workspace`.
        path: The detector's config, below ``configs/``.
    """
    import torch

    cfg = checkout.config(path)
    with checkout.inside(), torch.device("meta"):
        _, build = api().detectors()
        model = build(cfg)
    heads = {type(module) for name, module in model.named_modules() if name.endswith("_head")}
    bases = {base for head in heads for base in head.__mro__ if base.__module__.startswith("mmdet.")}
    return any("reduce_mean(" in inspect.getsource(base) for base in bases)
