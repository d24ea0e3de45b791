"""Run in a checkout what a reader types: a program, or one training in two processes."""

import dataclasses
import os
import shlex
import subprocess
import sys
from pathlib import Path

from howto.checkout import distributed, standby, weights
from howto.checkout.family import api
from howto.checkout.isolation import PLAIN
from howto.project.errors import HowtoError
from howto.project.stacks import ROOT


@dataclasses.dataclass(frozen=True)
class Processes:
    """Starts processes in a checkout.

    Attributes:
        root: The checkout.
        topic: Name of the how-to, for messages.
        device: ``cpu`` or ``cuda``.
        weights_home: The folder that :func:`howto.checkout.weights.provide` was given.
    """

    root: Path
    topic: str
    device: str
    weights_home: Path

    @property
    def gpus(self) -> int:
        """How many a training may have."""
        if self.device == "cpu":
            return 0
        import torch

        return torch.cuda.device_count()

    def run(self, words: list[str], variables: dict[str, str], succeeds: bool = True) -> str:
        """Run a command to its end; return what it printed, and its error stream too if it was to fail.

        Args:
            words: The command. A Python program may find MMDetection imported, see :mod:`howto.checkout.standby`.
            variables: What its environment has beside that of this process.
            succeeds: Whether it must succeed or must fail.

        Raises:
            HowtoError: If it fails although it should succeed, or the other way round.
        """
        own = weights.environment(self.weights_home) | {"PYTHONWARNINGS": "ignore", "PYTHONPATH": ""} | PLAIN
        if self.device == "cpu":
            own |= {"OMP_NUM_THREADS": "1"}
        environment = {**os.environ, **own, **variables}
        if words[0] == sys.executable and words[1].endswith(".py") and self.device == "cpu":
            environment[standby.SIMULATED_GPUS] = "1"
            environment.pop("CUDA_VISIBLE_DEVICES", None)  # MMEngine counts by it
        if words[0] == sys.executable:
            done = standby.run(words[1:], self.root, environment)
        else:
            done = subprocess.run(
                words, cwd=self.root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
        if (done.returncode == 0) != succeeds:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-60:])
            raise HowtoError(f"{self.topic}: `{shlex.join(words)}` ended with exit code {done.returncode}:\n{tail}")
        return done.stdout if succeeds else done.stdout + done.stderr

    def train_in_two(self, configs: list[Path], options: list[str], succeeds: bool = True) -> str:
        """Train each of `configs` by ``tools/train.py`` in two processes; return what they printed.

        On a machine with two GPUs each has its own; on any other they are on the CPU, see
        :mod:`howto.checkout.distributed`.
        """
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])  # noqa: PTH120
        variables = {"PYTHONPATH": f"{self.root}:{ROOT}", "PATH": path}
        paths = [str(config.relative_to(self.root)) for config in configs]
        if self.gpus < 2:
            variables |= {"OMP_NUM_THREADS": "1"}
            return self.run([sys.executable, "-m", distributed.__name__, *paths, *options], variables, succeeds)
        commands = [api().several_gpus({}, each, 2) for each in paths]
        return "".join(self.run([*shlex.split(each), *options], variables, succeeds) for each in commands)
