"""Train one config in two processes that average their gradients, and measure how far their weights drift apart."""

import json
import os
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
    """One of the two processes: gloo on the CPU, with MMDetection's runner.

    Rank 0 writes beside each config, as JSON, for each stage the largest absolute difference of any weight between the
    processes after training.
    """
    import torch
    import torch.distributed as dist

    from howto.family import api
    from howto.isolation import isolated
    from howto.run import stages_of

    def train(config):
        detector = api().train_distributed(api().load(config), config.parent)
        apart = {}
        for name, parameter in detector.named_parameters():
            both = [torch.empty_like(parameter) for _ in range(dist.get_world_size())]
            dist.all_gather(both, parameter.detach())
            for stage in stages_of(name):
                apart[stage] = max(apart.get(stage, 0.0), float((both[0] - both[1]).abs().max()))
        if dist.get_rank() == 0:
            config.with_suffix(".json").write_text(json.dumps(apart))

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")  # where MMEngine looks for them
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
    for config in map(Path, configs):
        with isolated(Path.cwd()):  # both variants of the hook have one name
            train(config)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1:])
