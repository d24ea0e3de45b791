"""Run MMDetection's own ``tools/train.py`` in two processes that average their gradients, without two GPUs.

As ``python -m howto.checkout.distributed CONFIG ... OPTION ...``, in a checkout, it does for each config what
``torchrun --nproc_per_node=2 tools/train.py CONFIG --launcher pytorch OPTION ...`` does, but for five things:

- Both processes are forked from one that has imported MMDetection: that saves 10 s.
- The GPUs are simulated, see :mod:`howto.checkout.simulated_gpu`, with ``gloo`` in the place of NCCL.
- One that gets no answer from the other says so after 100 s, not after half an hour.
- On 2.x, mmcv's runner does not sleep for 2 s at the start of each epoch.
- What yapf made of a config's text is kept for the next time that it is asked.

Everything else is the stock path: the sampler that gives each process its own images, learning rate and schedule,
hooks, evaluation, checkpoints.
"""

import datetime
import functools
import multiprocessing
import os
import runpy
import sys
import tempfile
import time

from howto.checkout.isolation import formatted_once, no_naps
from howto.project.processes import end_with_parent

PATIENCE = 10  # seconds that a process has to fail by itself after the other has failed
SILENCE = 100  # seconds after which a process gives up waiting for the other


def main(arguments: list[str]) -> int:
    """Train configs one after the other and print what the processes printed, the first one's before the second's.

    Args:
        arguments: Paths of configs, then options for ``tools/train.py``.

    Returns:
        0 if all went well, else 1.
    """
    import mmdet.apis  # noqa: F401  both processes find it imported
    import torch

    import howto.checkout.rank_difference  # noqa: F401

    torch.set_num_threads(1)
    configs = [argument for argument in arguments if argument.endswith(".py")]
    return max(_train([config, *arguments[len(configs) :]]) for config in configs)


def _train(arguments: list[str]) -> int:
    from torch.distributed import TCPStore

    # They meet at a port that this process keeps, as torchrun does: one that is only known to be free may be gone by
    # then, and two that met others there would wait for each other for ever.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with tempfile.TemporaryFile() as one, tempfile.TemporaryFile() as other:
        sys.stdout.flush()
        fork = multiprocessing.get_context("fork")
        logs = (one, other)
        processes = [fork.Process(target=_process, args=(rank, store.port, arguments, logs[rank])) for rank in range(2)]
        for process in processes:
            process.start()
        while all(process.is_alive() for process in processes):
            time.sleep(0.1)
        failed = any(process.exitcode for process in processes)
        for process in processes:
            process.join(PATIENCE if failed else None)
            process.kill()  # it waits for one that is no more
            process.join()
        for log in logs:
            log.seek(0)
            print(log.read().decode(), end="")
        return int(any(process.exitcode for process in processes))


def _process(rank: int, port: int, arguments: list[str], log) -> None:
    """One of the two, with the environment variables that torchrun sets."""
    import torch.distributed

    from howto.checkout.simulated_gpu import simulated_gpus

    end_with_parent()  # else two that wait for each other would outlive a parent that was killed for taking too long
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    sys.argv = ["tools/train.py", *arguments, "--launcher", "pytorch"]
    sys.path[0] = os.path.abspath("tools")  # noqa: PTH100  as Python does for a script
    soon = datetime.timedelta(seconds=SILENCE)
    torch.distributed.init_process_group = functools.partial(torch.distributed.init_process_group, timeout=soon)
    with simulated_gpus(2), no_naps(), formatted_once():
        runpy.run_path(sys.argv[0], run_name="__main__")
    # Nothing is torn down: gloo may wait for ever for a connection that the other has closed by then.


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
