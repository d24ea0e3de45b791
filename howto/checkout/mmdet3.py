"""Speak to MMDetection 3.x: its configs, registries and training API."""

from collections.abc import Callable, Iterator
from pathlib import Path

from howto.checkout.family import accumulated as accumulated
from howto.checkout.family import detector as detector
from howto.checkout.family import epochs as epochs
from howto.checkout.family import load as load
from howto.checkout.family import optimizer as optimizer
from howto.checkout.family import rate as rate
from howto.checkout.family import split as split

LIBRARIES = ("mmengine", "mmcv", "mmdet", "mmpretrain")
SCALES = ("scale", "scales", "img_scale")
KEYS = {
    "train": "train_dataloader.dataset",
    "val": "val_dataloader.dataset",
    "test": "test_dataloader.dataset",
    "batch_size": "train_dataloader.batch_size",
    "optimizer": "optim_wrapper.optimizer",
    "epochs": "train_cfg.max_epochs",
    "val_interval": "train_cfg.val_interval",
    "accumulate": "optim_wrapper.accumulative_counts",
    "workers": "train_dataloader.num_workers",
    "persistent_workers": "train_dataloader.persistent_workers",
    "checkpoint_interval": "default_hooks.checkpoint.interval",
}
TRAINED = "Epoch(train)"
FIRST_EPOCH = "Epoch(train) [1]"


def schedule(cfg, device: str, epochs: int) -> dict[str, object]:
    """What to change, by dotted key, so that `cfg` trains for `epochs` epochs; on the CPU without worker processes."""
    changes = {"train_cfg.max_epochs": epochs, "default_hooks.checkpoint.interval": epochs}
    changes["default_hooks.logger.interval"] = 1  # an epoch has fewer iterations than the stock interval
    if device == "cpu":
        for split in ("train", "val", "test"):
            changes[f"{split}_dataloader.num_workers"] = 0
            changes[f"{split}_dataloader.persistent_workers"] = False  # True needs workers that could persist
        if cfg.model.type == "Detectron2Wrapper":
            changes["model.detector.device"] = "cpu"
    return changes


def warmed_up(cfg) -> dict[str, object]:
    """What to change, by dotted key, so that `cfg` trains with the rate it has after warm-up, scaled to its images."""
    changes = {"auto_scale_lr.enable": True}
    for number, scheduler in enumerate(cfg.param_scheduler):
        if "LinearLR" in str(scheduler.type):  # of a pure-Python config the class
            changes[f"param_scheduler.{number}.start_factor"] = 1.0
    return changes


def images(cfg) -> int:
    """Number of images that one process trains on in an iteration."""
    return cfg.train_dataloader.batch_size


def rates(cfg) -> list[float]:
    """The learning rate of each epoch of a config, without warm-up."""
    from mmengine.optim import MultiStepLR
    from torch import nn, optim

    optimizer, found = optim.SGD(nn.Linear(1, 1).parameters(), lr=rate(cfg)), []
    drops = MultiStepLR(optimizer, **{key: value for key, value in cfg.param_scheduler[-1].items() if key != "type"})
    for _ in range(cfg.train_cfg.max_epochs):
        found.append(round(optimizer.param_groups[0]["lr"], 6))
        optimizer.step()
        drops.step()
    return found


def scaled(rate: float, factor: float) -> str:
    """What the log says where ``--auto-scale-lr`` multiplies `rate` by `factor`."""
    return f"Scaling the original LR by {factor}."


def classes(data) -> tuple[str, ...]:
    """The names of a dataset's classes, in the order of their labels."""
    return data.metainfo["classes"]


def part(keys: dict):
    """A part of a detector, such as a backbone or a loss, from its keys in a config, with its weights as they come."""
    from mmdet.registry import MODELS

    _take_scope()
    return MODELS.build(keys)


def dataset(cfg, split: str):
    """The dataset of `cfg` for ``train``, ``val`` or ``test``."""
    from mmdet.registry import DATASETS

    _take_scope()
    return DATASETS.build(cfg[f"{split}_dataloader"].dataset)


def loader(cfg, data):
    """The ``DataLoader`` of one GPU that trains with `cfg`, for the dataset `data`, seeded with 0."""
    from mmengine.runner import Runner

    _take_scope()
    return Runner.build_dataloader({**cfg.train_dataloader, "dataset": data}, seed=0)


def step(keys: dict):
    """A step of a pipeline, from its keys in a config."""
    from mmdet.registry import TRANSFORMS

    _take_scope()
    return TRANSFORMS.build(keys)


def plain(result: dict) -> dict:
    """What a step of a pipeline returns, with ``gt_bboxes`` and ``gt_labels`` as arrays."""
    return {**result, "gt_bboxes": result["gt_bboxes"].numpy(), "gt_labels": result["gt_bboxes_labels"]}


def shape(item: dict) -> tuple[int, int]:
    """Height and width, before padding, of the image that a pipeline returns."""
    return item["data_samples"].img_shape


def gt_boxes(item: dict):
    """The boxes of a training pipeline's image: x1, y1, x2, y2 in pixels."""
    return item["data_samples"].gt_instances.bboxes.tensor.numpy()


def annotated(data) -> dict[str, list[tuple]]:
    """Of each image of a dataset, by file name, the label and the box (x1, y1, x2, y2) of each object, sorted."""
    found = {}
    for number in range(len(data)):
        image = data.get_data_info(number)
        objects = [(each["bbox_label"], *(round(side, 1) for side in each["bbox"])) for each in image["instances"]]
        found[Path(image["img_path"]).name] = sorted(objects)
    return found


def images_of(batch: dict) -> list[tuple]:
    """The path and the image (height, width, 3), BGR, uint8, of each item of a loader's batch, without padding."""
    pairs = zip(batch["data_samples"], batch["inputs"], strict=True)
    return [(sample.img_path, image.numpy().transpose(1, 2, 0)) for sample, image in pairs]


def train(cfg, evaluate: bool, resume_from: Path | None, observer):
    """Train on a GPU as ``tools/train.py`` does; the trained detector."""
    from mmengine.runner import Runner

    from howto.checkout.isolation import formatted_once

    cfg.randomness = dict(seed=0)
    cfg.custom_hooks = [*cfg.get("custom_hooks", []), _observing(observer)]
    if resume_from:
        cfg.resume, cfg.load_from = True, str(resume_from)
    if not evaluate:
        _leave_evaluation_out(cfg)
    with formatted_once():
        return Runner.from_cfg(cfg).train()


def several_gpus(cfg, path: str, gpus: int) -> str:
    """The command that trains `cfg`, which is the file at `path`, on several GPUs of one machine."""
    return f"bash tools/dist_train.sh {path} {gpus}"


def evaluating() -> str:
    """The options without which ``tools/test.py`` evaluates nothing."""
    return ""


def launching(cfg, evaluate: bool) -> list[str]:
    """Change `cfg` so that it can train in several processes; the options that ``tools/train.py`` needs besides."""
    cfg.randomness = dict(seed=0)
    if not evaluate:
        _leave_evaluation_out(cfg)
    return []


def hooks() -> tuple:
    """The registry of hooks, and what a hook is derived from."""
    from mmdet.registry import HOOKS
    from mmengine.hooks import Hook

    return HOOKS, Hook


def detect(model, cfg, photograph: Path):
    """A ``DetDataSample``, whose ``pred_instances`` has ``bboxes``, ``scores`` and ``labels``."""
    from mmdet.apis import inference_detector

    _take_scope()
    model.cfg = cfg
    return inference_detector(model, str(photograph))


def boxes(result):
    """An array (boxes, 6) of x1, y1, x2, y2, score, label, the surest box first."""
    import numpy as np

    found = result.pred_instances.numpy()
    return np.c_[found.bboxes, found.scores, found.labels]


def pickled(image: dict, boxes: list[dict], ids: list[int]) -> dict:
    """A data sample as a dict, with the boxes as x1, y1, x2, y2."""
    import torch

    x, y, width, height = torch.tensor([each["bbox"] for each in boxes]).reshape(-1, 4).T
    instances = dict(
        bboxes=torch.stack([x, y, x + width, y + height], dim=1),
        scores=torch.tensor([each["score"] for each in boxes]),
        labels=torch.tensor([ids.index(each["category_id"]) for each in boxes]).long(),
    )
    shape = image["height"], image["width"]
    return dict(img_id=image["id"], ori_shape=shape, pred_instances=instances)


def flops(model, image) -> float:
    """Multiply-adds of one pass over `image`."""
    from mmengine.analysis import get_model_complexity_info

    return get_model_complexity_info(model, inputs=image, show_table=False, show_arch=False)["flops"]


def loss(model, items: list[dict]):
    """The sum of a detector's losses, a tensor, on a batch of what a training pipeline returns."""
    from mmengine.dataset import pseudo_collate

    batch = model.data_preprocessor(pseudo_collate(items), True)
    return model.parse_losses(model(**batch, mode="loss"))[0]


def classifiers() -> tuple[Path, Callable]:
    """Where mmpretrain keeps its configs and metafiles, and what builds the classifier of such a config."""
    import mmpretrain
    from mmpretrain.registry import MODELS

    def build(config: Path):
        return MODELS.build({**load(config).model, "_scope_": "mmpretrain"})

    return Path(mmpretrain.__file__).parent / ".mim", build


def detectors() -> tuple[Path, Callable]:
    """Where mmdet keeps its configs and metafiles, and what builds the detector of a config."""
    import mmdet
    from mmdet.registry import MODELS

    _take_scope()
    return Path(mmdet.__file__).parent / ".mim", lambda cfg: MODELS.build(cfg.model)


def forget() -> None:
    """Loggers, the default scope and more are kept by name for good, with handlers on files that are gone.

    And ``Detectron2Wrapper`` keeps the keys of one config for the next.
    """
    from mmdet.models.detectors import d2_wrapper
    from mmengine.logging import MMLogger
    from mmengine.utils import ManagerMixin

    for kind in _kinds(ManagerMixin):
        for instance in kind._instance_dict.values():
            for handler in list(instance.handlers) if isinstance(instance, MMLogger) else ():
                instance.removeHandler(handler)
                handler.close()
        kind._instance_dict.clear()
    for kept in d2_wrapper._to_cfgnode_list.__defaults__:
        if isinstance(kept, list):
            kept.clear()


def _kinds(of: type) -> Iterator[type]:
    for kind in of.__subclasses__():
        yield kind
        yield from _kinds(kind)


def _take_scope() -> None:
    """Look for what has no prefix in mmdet, as the Runner does."""
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")


def _leave_evaluation_out(cfg) -> None:
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None


def _observing(observer) -> dict:
    """A ``custom_hooks`` entry that reports to `observer` after every other hook."""
    from mmdet.registry import HOOKS
    from mmengine.hooks import Hook

    class HowtoObserverHook(Hook):
        def before_train_epoch(self, runner):
            observer.begins(runner.epoch, runner.model, runner.optim_wrapper.optimizer)

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            rates = [group["lr"] for group in runner.optim_wrapper.optimizer.param_groups]
            observer.iterates(max(rates), data_batch)

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            last = batch_idx + 1 == len(runner.train_dataloader)
            observer.iterated(runner.model, float(outputs["loss"]), last)

        def after_val_epoch(self, runner, metrics=None):
            observer.metrics = {key.removeprefix("coco/"): value for key, value in metrics.items()}

    HOOKS.register_module(module=HowtoObserverHook, force=True)
    return dict(type="HowtoObserverHook", priority="LOWEST")
