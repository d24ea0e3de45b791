"""Speak to MMDetection 2.x: its configs, registries and training API."""

import logging
from collections.abc import Callable
from pathlib import Path

from howto.checkout.family import accumulated as accumulated
from howto.checkout.family import detector as detector
from howto.checkout.family import epochs as epochs
from howto.checkout.family import load as load
from howto.checkout.family import optimizer as optimizer
from howto.checkout.family import rate as rate
from howto.checkout.family import split as split

LIBRARIES = ("mmcv", "mmdet", "mmcls")
SCALES = ("img_scale",)
KEYS = {
    "train": "data.train",
    "val": "data.val",
    "test": "data.test",
    "batch_size": "data.samples_per_gpu",
    "optimizer": "optimizer",
    "epochs": "runner.max_epochs",
    "val_interval": "evaluation.interval",
    "accumulate": "optimizer_config.cumulative_iters",
    "workers": "data.workers_per_gpu",
    "persistent_workers": "data.persistent_workers",
    "checkpoint_interval": "checkpoint_config.interval",
}
TRAINED = "Epoch ["
FIRST_EPOCH = "Epoch [1]"


def schedule(cfg, device: str, epochs: int) -> dict[str, object]:
    """What to change, by dotted key, so that `cfg` trains for `epochs` epochs; on the CPU without worker processes."""
    changes = {"runner.max_epochs": epochs, "checkpoint_config.interval": epochs, "log_config.interval": 1}
    if device == "cpu":
        changes["data.workers_per_gpu"] = 0
        if cfg.data.get("persistent_workers"):  # needs workers that could persist
            changes["data.persistent_workers"] = False
    return changes


def warmed_up(cfg) -> dict[str, object]:
    """What to change, by dotted key, so that `cfg` trains with the rate it has after warm-up, scaled to its images."""
    return {"lr_config.warmup": None, "auto_scale_lr.enable": True}


def images(cfg) -> int:
    """Number of images that one process trains on in an iteration."""
    from mmdet.utils import compat_cfg

    return compat_cfg(cfg).data.train_dataloader.samples_per_gpu


def rates(cfg) -> list[float]:
    """The learning rate of each epoch of a config, without warm-up."""
    from types import SimpleNamespace

    from mmcv.runner.hooks.lr_updater import StepLrUpdaterHook

    drops = StepLrUpdaterHook(**{key: value for key, value in cfg.lr_config.items() if key != "policy"})
    epochs = [SimpleNamespace(epoch=number) for number in range(cfg.runner.max_epochs)]
    return [round(drops.get_lr(epoch, rate(cfg)), 6) for epoch in epochs]


def scaled(rate: float, factor: float) -> str:
    """What the log says where ``--auto-scale-lr`` multiplies `rate` by `factor`."""
    return f"LR has been automatically scaled from {rate} to {rate * factor}"


def classes(data) -> tuple[str, ...]:
    """The names of a dataset's classes, in the order of their labels."""
    return data.CLASSES


def part(keys: dict):
    """A part of a detector, such as a backbone or a loss, from its keys in a config, with its weights as they come."""
    import mmcls.models  # noqa: F401
    from mmdet.models.builder import MODELS

    return MODELS.build(keys)


def dataset(cfg, split: str):
    """The dataset of `cfg` for ``train``, ``val`` or ``test``."""
    from mmdet.datasets import build_dataset

    return build_dataset(cfg.data[split])


def loader(cfg, data):
    """The ``DataLoader`` of one GPU that trains with `cfg`, for the dataset `data`, seeded with 0."""
    from mmdet.datasets import build_dataloader
    from mmdet.utils import compat_cfg

    return build_dataloader(data, **compat_cfg(cfg).data.train_dataloader, dist=False, seed=0)


def step(keys: dict):
    """A step of a pipeline, from its keys in a config."""
    from mmdet.datasets.builder import PIPELINES

    return PIPELINES.build(keys)


def plain(result: dict) -> dict:
    """What a step of a pipeline returns, with arrays.

    That is ``img`` (height, width, 3), BGR, uint8; ``gt_bboxes`` (n, 4), x1, y1, x2, y2 in pixels; ``gt_labels`` (n,).
    """
    return result


def shape(item: dict) -> tuple[int, int]:
    """Height and width, before padding, of the image that a pipeline returns."""
    metas = item["img_metas"]
    return (metas[0] if isinstance(metas, list) else metas).data["img_shape"][:2]


def gt_boxes(item: dict):
    """The boxes of a training pipeline's image: x1, y1, x2, y2 in pixels."""
    return item["gt_bboxes"].data.numpy()


def annotated(data) -> dict[str, list[tuple]]:
    """Of each image of a dataset in COCO's format, by file name, the label and the box of each object, sorted.

    A box is x1, y1, x2, y2 in pixels, to one decimal.
    """
    found = {}
    for number, image in enumerate(data.data_infos):
        known = data.get_ann_info(number)
        pairs = zip(known["labels"].tolist(), known["bboxes"].round(1).tolist(), strict=True)
        found[image["filename"]] = sorted((label, *box) for label, box in pairs)
    return found


def images_of(batch: dict) -> list[tuple]:
    """The path and the image (height, width, 3), BGR, uint8, of each item of a loader's batch, without padding."""
    import mmcv
    import numpy as np

    found = []
    for image, meta in zip(batch["img"].data[0], batch["img_metas"].data[0], strict=True):
        height, width = meta["img_shape"][:2]
        pixels = image.numpy().transpose(1, 2, 0)[:height, :width]
        norm = meta["img_norm_cfg"]
        pixels = mmcv.imdenormalize(pixels, norm["mean"], norm["std"], to_bgr=norm["to_rgb"])
        found.append((meta["filename"], pixels.round().clip(0, 255).astype(np.uint8)))
    return found


def train(cfg, evaluate: bool, resume_from: Path | None, observer):
    """Train on a GPU as ``tools/train.py`` does; the trained detector."""
    from mmdet.apis import init_random_seed, set_random_seed, train_detector
    from mmdet.datasets import build_dataset
    from mmdet.utils import replace_cfg_vals, setup_multi_processes

    from howto.checkout.isolation import no_naps

    cfg = replace_cfg_vals(cfg)
    cfg.resume_from = resume_from and str(resume_from)
    cfg.device, cfg.gpu_ids, cfg.seed = "cuda", [0], init_random_seed(0)
    cfg.custom_hooks = [*cfg.get("custom_hooks", []), _observing(observer)]
    Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
    setup_multi_processes(cfg)
    set_random_seed(cfg.seed, deterministic=True)
    model = detector(cfg)
    data = build_dataset(cfg.data.train)
    model.CLASSES = data.CLASSES
    cfg.checkpoint_config.meta = dict(CLASSES=data.CLASSES)
    with no_naps():
        train_detector(model, [data], cfg, validate=evaluate, timestamp="run", meta=dict(seed=0))
    return model


def several_gpus(cfg, path: str, gpus: int) -> str:
    """The command that trains `cfg`, which is the file at `path`, on several GPUs of one machine.

    ``tools/dist_train.sh`` ends at once on torch 2: its launcher passes ``--local-rank`` where it passed
    ``--local_rank`` before, which is all that ``tools/train.py`` knows. torchrun passes neither. What the script
    besides does is to put the root on the module path, for those that import from ``configs``.
    """
    imports = cfg.get("custom_imports", {}).get("imports", [])
    root = "PYTHONPATH=. " if any(each.startswith("configs.") for each in imports) else ""
    return f"{root}torchrun --nproc_per_node={gpus} tools/train.py {path} --launcher pytorch"


def evaluating() -> str:
    """The options without which ``tools/test.py`` evaluates nothing."""
    return "--eval bbox"


def launching(cfg, evaluate: bool) -> list[str]:
    """Change `cfg` so that it can train in several processes; the options that ``tools/train.py`` needs besides."""
    return ["--seed", "0", *([] if evaluate else ["--no-validate"])]  # the seed is that of tools/dist_train.sh


def hooks() -> tuple:
    """The registry of hooks, and what a hook is derived from."""
    from mmcv.runner.hooks import HOOKS, Hook

    return HOOKS, Hook


def detect(model, cfg, photograph: Path) -> list:
    """For each class an array (boxes, 5) of x1, y1, x2, y2, score."""
    from mmdet.apis import inference_detector

    model.cfg = cfg
    return inference_detector(model, str(photograph))


def boxes(result):
    """An array (boxes, 6) of x1, y1, x2, y2, score, label, class by class; of a detector of masks without those."""
    import numpy as np

    classes = result[0] if isinstance(result, tuple) else result
    return np.concatenate([np.insert(each, 5, label, axis=1) for label, each in enumerate(classes)])


def pickled(image: dict, boxes: list[dict], ids: list[int]) -> list:
    """What ``tools/test.py --out`` pickles of one image: for each class an array (boxes, 5) of x1, y1, x2, y2, score.

    Args:
        image: Its entry in a COCO file.
        boxes: Its boxes, in COCO's layout of results.
        ids: Ids of the categories, in the order of the labels.
    """
    import numpy as np

    found = [[] for _ in ids]
    for each in boxes:
        x, y, width, height = each["bbox"]
        found[ids.index(each["category_id"])].append([x, y, x + width, y + height, each["score"]])
    return [np.array(rows, dtype="float32").reshape(-1, 5) for rows in found]


def flops(model, image) -> float:
    """Multiply-adds of one pass over `image`."""
    from mmcv.cnn import get_model_complexity_info

    forward, model.forward = model.forward, model.forward_dummy
    try:
        shape = tuple(image.shape[1:])
        return get_model_complexity_info(model, shape, print_per_layer_stat=False, as_strings=False)[0]
    finally:
        model.forward = forward


def loss(model, items: list[dict]):
    """The sum of a detector's losses, a tensor, on a batch of what a training pipeline returns."""
    from mmcv.parallel import collate, scatter

    device = next(model.parameters()).device
    (batch,) = scatter(collate(items, len(items)), [device.index if device.type == "cuda" else -1])
    return model.train_step(batch, None)["loss"]


def classifiers() -> tuple[Path, Callable]:
    """Where mmcls keeps its configs and metafiles, and what builds the classifier of such a config."""
    import mmcls
    from mmcls.models import build_classifier

    return Path(mmcls.__file__).parent / ".mim", lambda config: build_classifier(load(config).model)


def detectors() -> tuple[Path, Callable]:
    """Where mmdet keeps its configs and metafiles, and what builds the detector of a config."""
    import mmdet
    from mmdet.models import build_detector

    package = Path(mmdet.__file__).parent / ".mim"
    return package, lambda cfg: build_detector(cfg.model, cfg.get("train_cfg"), cfg.get("test_cfg"))


def forget() -> None:
    """OpenMMLab keeps a logger for good, with handlers on a stream or file that is gone by the next run."""
    from mmcv.utils.logging import logger_initialized

    for name in list(logger_initialized):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
    logger_initialized.clear()


def _observing(observer) -> dict:
    """A ``custom_hooks`` entry that reports to `observer` after every other hook."""
    from mmcv.runner.hooks import HOOKS, Hook

    class HowtoObserverHook(Hook):
        def before_epoch(self, runner):  # of training; a run that counts iterations is one, and says no more
            observer.begins(runner.epoch, runner.model.module, runner.optimizer)

        def before_train_iter(self, runner):
            observer.iterates(max(group["lr"] for group in runner.optimizer.param_groups), runner.data_batch)

        def after_train_iter(self, runner):
            last = runner.inner_iter + 1 == len(runner.data_loader)
            observer.iterated(runner.model.module, float(runner.outputs["loss"]), last)

        def after_train_epoch(self, runner):
            results = runner.log_buffer.output
            observer.metrics = {key: value for key, value in results.items() if "bbox_" in key}

    HOOKS.register_module(module=HowtoObserverHook, force=True)
    return dict(type="HowtoObserverHook", priority=80)  # after evaluation, before the loggers clear its results
