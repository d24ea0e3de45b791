"""Shrink a config to what a CPU can run in seconds, the way ``--cfg-options`` would."""

from howto.checkout.family import api

LONG_SIDE = 128  # pixels, where the stock configs say 1333: an iteration takes some 0.3 s on one core
# On a CPU, RoIAlign and the box head take most of a Faster R-CNN iteration: two epochs in 24 s become 9 s with these.
FEWER_BOXES = {
    "model.train_cfg.rpn_proposal.max_per_img": 100,
    "model.train_cfg.rcnn.sampler.num": 32,
    "model.test_cfg.rpn.max_per_img": 50,
}

# A detector with a ResNet and an FPN trains in half the time with these, for Workspace.train: no weights to load.
RESNET18 = dict(model__backbone__depth=18, model__backbone__init_cfg=None, model__neck__in_channels=[64, 128, 256, 512])


def overrides(cfg, device: str, epochs: int) -> dict[str, object]:
    """What to change in `cfg`, by dotted key, so that it trains for `epochs` epochs on `device`.

    On CUDA that is the number of epochs, and a line of log for each iteration. On the CPU every image scale, and the
    border that belongs to one, shrinks by the same factor, a two-stage detector samples fewer boxes, and no worker
    processes are started.

    Args:
        cfg: A ``Config``.
        device: ``cpu`` or ``cuda``.
        epochs: Number of epochs.
    """
    changes = api().schedule(cfg, device, epochs)
    if device == "cpu":
        changes.update({key: number for key, number in FEWER_BOXES.items() if _has(cfg, key)})
        for name in ("train", "val", "test"):
            changes.update(_shrink(api().split(cfg, name), api().KEYS[name]))
        for number, hook in enumerate(cfg.get("custom_hooks", [])):  # one may have a pipeline for later
            changes.update(_shrink(hook, f"custom_hooks.{number}"))
    return changes


def as_options(changes: dict[str, object]) -> list[str]:
    """The changes as arguments for ``--cfg-options``."""
    return [f"{key}={str(value).replace(' ', '')}" for key, value in changes.items()]


def _has(cfg, key: str) -> bool:
    for part in key.split("."):
        if part not in cfg:
            return False
        cfg = cfg[part]
    return True


def _shrink(node: object, key: str) -> dict[str, object]:
    """Find each image scale and ``border`` below `node`; a list's items are keyed by their index."""
    if isinstance(node, (list, tuple)):
        items = enumerate(node)
    elif isinstance(node, dict):
        items = node.items()
    else:
        return {}
    changes = {}
    for name, value in items:
        if name in (*api().SCALES, "border") and isinstance(value, (tuple, list)):
            changes[f"{key}.{name}"] = _shrunk(value)
        else:
            changes.update(_shrink(value, f"{key}.{name}"))
    return changes


def _shrunk(size: tuple | list) -> tuple | list:
    """A size, or several to choose from, in the same proportion smaller; one that is small already stays."""
    if isinstance(size[0], (tuple, list)):
        return type(size)(map(_shrunk, size))
    return size if max(map(abs, size)) <= LONG_SIDE else type(size)(round(each * LONG_SIDE / 1333) for each in size)
