"""Take the gradient that one image gives to one of a detector's parameters, to compare losses by."""

from howto.checkout import fit
from howto.checkout.family import api
from howto.checkout.isolation import seeded


def of(checkout, config: str, parameter: str, index: int = 0, **changes):
    """The gradient of a parameter, from the same random weights and the same image at each call.

    Args:
        checkout: A :class:`howto.Workspace`.
        config: A config, whose training images are fitted to a CPU.
        parameter: Name of the parameter, as ``bbox_head.retina_reg.weight``.
        index: Number of the image in the training dataset.
        **changes: What to change in the config, with ``__`` for the dot.

    Returns:
        A tensor of the parameter's shape, on the CPU.
    """
    cfg = checkout.config(config, **changes)
    cfg.merge_from_dict(fit.overrides(cfg, "cpu", 1))
    with seeded(0):
        model = checkout.build(cfg)
        dataset = checkout.dataset(cfg)
        with checkout.inside(cfg):
            api().loss(model.train(), [dataset[index]]).backward()
    return model.get_parameter(parameter).grad.cpu()
