"""Register, when a config's ``custom_imports`` names this module, a hook that compares the processes of a run."""

import json
from pathlib import Path

from howto.checkout.family import api
from howto.checkout.run import stages_of

HOOKS, Hook = api().hooks()


@HOOKS.register_module(force=True)
class HowtoRankDifferenceHook(Hook):
    """At the end, have rank 0 write what the processes' weights differ by into ``apart.json`` of the working directory.

    That is, for each stage, the largest absolute difference of any weight between any two processes.
    """

    def after_run(self, runner):
        """Collect the weights of all processes, one parameter after the other."""
        import torch
        import torch.distributed as dist

        apart = {}
        for name, parameter in runner.model.module.named_parameters():
            copies = [torch.empty_like(parameter) for _ in range(dist.get_world_size())]
            dist.all_gather(copies, parameter.detach())
            every = torch.stack(copies)
            difference = float((every.amax(0) - every.amin(0)).max())
            for stage in stages_of(name):
                apart[stage] = max(apart.get(stage, 0.0), difference)
        if dist.get_rank() == 0:
            Path(runner.work_dir, "apart.json").write_text(json.dumps(apart), "utf-8")
