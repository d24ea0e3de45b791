"""Train one config in two processes that average their gradients, and measure how far their weights drift apart."""

import json
import sys
from pathlib import Path


def main(config: str, report: str) -> None:
    """One of the processes that ``torch.distributed.run`` starts: gloo on the CPU, mmcv's runner and DDP wrapper.

    Args:
        config: Path of the config.
        report: File for what rank 0 measured after each epoch: for each stage the largest absolute difference of any
            weight between the processes.
    """
    import torch
    import torch.distributed as dist
    from mmcv import Config
    from mmcv.parallel import MMDistributedDataParallel, scatter
    from mmcv.runner import EpochBasedRunner, Hook, build_optimizer, get_logger, set_random_seed
    from mmdet.datasets import build_dataloader, build_dataset
    from mmdet.models import build_detector

    from howto.isolation import no_naps
    from howto.run import stages_of

    measured = []

    class CompareHook(Hook):
        def after_train_epoch(self, runner):
            apart = {}
            for name, parameter in runner.model.module.named_parameters():
                both = [torch.empty_like(parameter) for _ in range(dist.get_world_size())]
                dist.all_gather(both, parameter.detach())
                difference = float((both[0] - both[1]).abs().max())
                for stage in stages_of(name):
                    apart[stage] = max(apart.get(stage, 0.0), difference)
            measured.append(apart)

    dist.init_process_group("gloo")
    set_random_seed(dist.get_rank())  # each process draws flips of its own; DDP starts both from rank 0's weights
    cfg = Config.fromfile(config)
    detector = build_detector(cfg.model)
    detector.init_weights()
    model = MMDistributedDataParallel(detector, broadcast_buffers=False)
    loader = build_dataloader(build_dataset(cfg.data.train), 2, 0, dist=True, seed=0)
    batches = [scatter(batch, [-1])[0] for batch in loader]  # mmcv's wrapper unpacks batches for GPUs only

    runner = EpochBasedRunner(
        model, optimizer=build_optimizer(model, cfg.optimizer), work_dir=str(Path(report).parent),
        logger=get_logger("howto"), max_epochs=cfg.runner.max_epochs,
    )  # fmt: skip
    runner.register_training_hooks(None, dict(grad_clip=dict(max_norm=35)), custom_hooks_config=cfg.custom_hooks)
    runner.register_hook(CompareHook(), priority="LOWEST")
    with no_naps():
        runner.run([batches], [("train", 1)])
    if dist.get_rank() == 0:
        Path(report).write_text(json.dumps(measured))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
