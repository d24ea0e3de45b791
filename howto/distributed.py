"""Train one config in two processes that average their gradients, and measure how far their weights drift apart."""

import json
import sys
import tempfile
from pathlib import Path


def main(configs: list[str]) -> None:
    """Import what both processes need once, then fork them: that is 10 s sooner than two that import it themselves.

    Args:
        configs: Paths of the configs, trained one after the other.
    """
    import mmdet.apis  # noqa: F401
    import torch.multiprocessing

    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(_process, (f"file://{folder}/meet", configs), 2, start_method="fork")


def _process(rank: int, meet: str, configs: list[str]) -> None:
    """One of the two processes: gloo on the CPU, mmcv's runner and DDP wrapper.

    Rank 0 writes beside each config, as JSON, for each stage the largest absolute difference of any weight between the
    processes after training.
    """
    import torch
    import torch.distributed as dist
    from mmcv import Config
    from mmcv.parallel import MMDistributedDataParallel, scatter
    from mmcv.runner import EpochBasedRunner, build_optimizer, set_random_seed
    from mmcv.utils import get_logger
    from mmdet.datasets import build_dataloader, build_dataset
    from mmdet.models import build_detector

    from howto.isolation import isolated, no_naps
    from howto.run import stages_of

    class CPURunner(EpochBasedRunner):
        def run_iter(self, data_batch, train_mode, **kwargs):
            super().run_iter(scatter(data_batch, [-1])[0], train_mode, **kwargs)  # MMDDP does so for GPUs only

    def train(config):
        set_random_seed(dist.get_rank())  # each process draws flips of its own; DDP starts both from rank 0's weights
        cfg = Config.fromfile(str(config))
        detector = build_detector(cfg.model)
        detector.init_weights()
        model = MMDistributedDataParallel(detector, broadcast_buffers=False)
        loader = build_dataloader(build_dataset(cfg.data.train), 2, 0, dist=True, seed=0)
        runner = CPURunner(
            model, optimizer=build_optimizer(model, cfg.optimizer), work_dir=str(config.parent),
            logger=get_logger("howto"), max_epochs=cfg.runner.max_epochs,
        )  # fmt: skip
        runner.register_training_hooks(None, dict(grad_clip=None), custom_hooks_config=cfg.custom_hooks)
        with no_naps():
            runner.run([loader], [("train", 1)])

        apart = {}
        for name, parameter in detector.named_parameters():
            both = [torch.empty_like(parameter) for _ in range(dist.get_world_size())]
            dist.all_gather(both, parameter.detach())
            for stage in stages_of(name):
                apart[stage] = max(apart.get(stage, 0.0), float((both[0] - both[1]).abs().max()))
        if dist.get_rank() == 0:
            config.with_suffix(".json").write_text(json.dumps(apart))

    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
    for config in map(Path, configs):
        with isolated(Path.cwd()):  # both variants of the hook have one name
            train(config)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1:])
