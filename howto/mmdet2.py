"""Speak to MMDetection 2.x: its configs, registries and training API."""

import logging
from collections.abc import Callable
from pathlib import Path

LIBRARIES = ("mmcv", "mmdet", "mmcls")
SCALES = ("img_scale",)


def load(path: Path):
    """The config at `path`, an ``mmcv.Config``."""
    from mmcv import Config

    return Config.fromfile(str(path))


def import_modules(custom_imports: dict) -> None:
    """Import what a config's ``custom_imports`` names."""
    from mmcv.utils import import_modules_from_strings

    import_modules_from_strings(**custom_imports)


def schedule(cfg, device: str, epochs: int) -> dict[str, object]:
    """What to change, by dotted key, so that `cfg` trains for `epochs` epochs; on the CPU without worker processes."""
    changes = {"runner.max_epochs": epochs, "checkpoint_config.interval": epochs}
    return changes | ({"data.workers_per_gpu": 0} if device == "cpu" else {})


def datasets(cfg) -> dict[str, object]:
    """The configs of the datasets, by dotted key."""
    return {f"data.{split}": cfg.data[split] for split in ("train", "val", "test")}


def detector(cfg):
    """The detector of `cfg` with its initial weights, as ``tools/train.py`` builds it."""
    from mmdet.models import build_detector

    model = build_detector(cfg.model, train_cfg=cfg.get("train_cfg"), test_cfg=cfg.get("test_cfg"))
    model.init_weights()
    return model


def backbone(keys: dict):
    """The backbone of these keys, with its weights as they come."""
    import mmcls.models  # noqa: F401
    from mmdet.models import build_backbone

    return build_backbone(keys)


def dataset(cfg, split: str):
    """The dataset of `cfg` for ``train``, ``val`` or ``test``."""
    from mmdet.datasets import build_dataset

    return build_dataset(cfg.data[split])


def plain(result: dict) -> dict:
    """What a step of a pipeline returns, with ``gt_bboxes`` and ``gt_labels`` as arrays, which they are here."""
    return result


def train(cfg, device: str, evaluate: bool, resume_from: Path | None, observer):
    """Train as ``tools/train.py`` does; the trained detector."""
    from mmdet.apis import init_random_seed, set_random_seed, train_detector
    from mmdet.datasets import build_dataset
    from mmdet.utils import replace_cfg_vals, setup_multi_processes

    from howto.isolation import no_naps

    cfg = replace_cfg_vals(cfg)
    cfg.resume_from = resume_from and str(resume_from)
    cfg.device, cfg.gpu_ids, cfg.seed = device, [0], init_random_seed(0, device)
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


def train_distributed(cfg, work_dir: Path):
    """Train in one of several processes that gloo connects, on the CPU; the trained detector."""
    import torch.distributed as dist
    from mmcv.parallel import MMDistributedDataParallel, scatter
    from mmcv.runner import EpochBasedRunner, build_optimizer, set_random_seed
    from mmcv.utils import get_logger
    from mmdet.datasets import build_dataloader

    from howto.isolation import no_naps

    class CPURunner(EpochBasedRunner):
        def run_iter(self, data_batch, train_mode, **kwargs):
            super().run_iter(scatter(data_batch, [-1])[0], train_mode, **kwargs)  # MMDDP does so for GPUs only

    set_random_seed(dist.get_rank())  # each process draws flips of its own; DDP starts both from rank 0's weights
    trained = detector(cfg)
    model = MMDistributedDataParallel(trained, broadcast_buffers=False)
    loader = build_dataloader(dataset(cfg, "train"), 2, 0, dist=True, seed=0)
    runner = CPURunner(
        model, optimizer=build_optimizer(model, cfg.optimizer), work_dir=str(work_dir),
        logger=get_logger("howto"), max_epochs=cfg.runner.max_epochs,
    )  # fmt: skip
    runner.register_training_hooks(None, dict(grad_clip=None), custom_hooks_config=cfg.custom_hooks)
    with no_naps():
        runner.run([loader], [("train", 1)])
    return trained


def detect(model, cfg, photograph: Path) -> list:
    """For each class an array (boxes, 5) of x1, y1, x2, y2, score."""
    from mmdet.apis import inference_detector

    model.cfg = cfg
    return inference_detector(model, str(photograph))


def cost(model, image) -> tuple[float, Callable]:
    """Multiply-adds of one pass over `image`, and the function that makes one."""
    from mmcv.cnn import get_model_complexity_info

    forward, model.forward = model.forward, model.forward_dummy
    try:
        flops, _ = get_model_complexity_info(
            model, tuple(image.shape[1:]), print_per_layer_stat=False, as_strings=False
        )
    finally:
        model.forward = forward
    return flops, model.forward_dummy


def torchvision_urls() -> dict[str, str]:
    """The address of each checkpoint that ``torchvision://`` stands for."""
    from mmcv.runner.checkpoint import get_torchvision_models

    return get_torchvision_models()


def classifiers() -> tuple[Path, Callable]:
    """Where mmcls keeps its configs and metafiles, and what builds the classifier of such a config."""
    import mmcls
    from mmcls.models import build_classifier

    return Path(mmcls.__file__).parent / ".mim", lambda config: build_classifier(load(config).model)


def registry() -> type:
    """The class of the registries."""
    from mmcv.utils import Registry

    return Registry


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
    from mmcv.parallel import is_module_wrapper
    from mmcv.runner.hooks import HOOKS, Hook

    class HowtoObserverHook(Hook):
        def before_train_epoch(self, runner):
            observer.begins(runner.epoch, self.unwrap(runner), runner.optimizer)

        def after_train_iter(self, runner):
            last = runner.inner_iter + 1 == len(runner.data_loader)
            observer.iterated(self.unwrap(runner), float(runner.outputs["loss"]), last)

        def after_train_epoch(self, runner):
            results = runner.log_buffer.output
            observer.metrics = {key: value for key, value in results.items() if key.startswith("bbox_")}

        @staticmethod
        def unwrap(runner):
            model = runner.model
            while is_module_wrapper(model):
                model = model.module
            return model

    HOOKS.register_module(module=HowtoObserverHook, force=True)
    return dict(type="HowtoObserverHook", priority=80)  # after evaluation, before the loggers clear its results
