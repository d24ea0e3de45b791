"""Give the snippets of one how-to an MMDetection checkout to run in."""

import contextlib
import copy
import dataclasses
import io
import json
import logging
import os
import re
import runpy
import shlex
import sys
import tempfile
import time
import traceback
import unittest.mock
from collections.abc import Iterator
from pathlib import Path

from howto.checkout import checkpoints, family, fit, gpu, weights
from howto.checkout.family import api
from howto.checkout.isolation import isolated
from howto.checkout.layout import Layout
from howto.checkout.processes import Processes
from howto.checkout.run import Run
from howto.project import howtos, stacks
from howto.project.errors import HowtoError
from howto.project.quiet import quiet
from howto.project.record import Record, installed_versions, sha256
from howto.project.settings import Settings
from howto.project.shown import show


class Workspace:
    """An MMDetection checkout, as far as a snippet can tell, with one how-to's files under ``configs/``.

    It has the stock ``configs/`` and ``tools/`` of the installed mmdet, a COCO in ``data/coco/`` (a small one, unless
    ``HOWTO_COCO`` names the real one) and a data set of other classes in ``data/my_dataset/``, so every ``_base_`` and
    ``data_root`` resolves with nothing rewritten.

    Args:
        topic: Name of the how-to, a folder of ``snippets/<family>/``.

    Raises:
        HowtoError: If there is no such topic, ``HOWTO_COCO`` is no COCO, or ``HOWTO_DEVICE`` cannot be had.
    """

    def __init__(self, topic: str) -> None:
        stack = stacks.current()
        howto, self.topic = howtos.by_topic(stack, topic), topic
        self._howto = howto
        self.device = gpu.choose()
        self._folder = tempfile.TemporaryDirectory(prefix=f"howto-{topic}-")
        self.root = Path(self._folder.name).resolve()
        self._files = Layout(howto, self.root)
        self.source = self._files.source
        self._weights_home = self.root / ".torch"
        self._processes = Processes(self.root, topic, self.device, self._weights_home)
        snippets = {f"{stack.family}/{topic}/{path.name}": sha256(path) for path in howto.snippets}
        self.record = Record(
            topic,
            stack.name,
            snippets,
            device=gpu.describe(self.device),
            versions=installed_versions(),
            data="COCO 2017, its first images" if Settings.from_environ().coco else "mini-COCO",
        )
        self._started = time.perf_counter()
        self._told: set[str] = set()  # options of training that the page has shown

    def check(self, name: str, measured: object, expected: object = None, *, at_most: float | None = None) -> None:
        """Record that `measured` equals `expected`, or is no larger than `at_most`, and print it.

        Raises:
            CheckFailed: If it does not.
        """
        self._measure()
        self.record.check(name, measured, expected, at_most=at_most)

    @property
    def own(self) -> str:
        """File name of the config that the page's readers train."""
        return self._howto.config.name

    def config(self, name: str | None = None, **changes):
        """A config of this how-to, or of any path below ``configs/``, as a ``Config``.

        Args:
            name: File name, or path, in the spelling of either family; else the config that readers train.
            **changes: What to change in it, with ``__`` for the dot: ``model__backbone__depth=18``. The names that
                ``KEYS`` of :func:`howto.checkout.family.api` has do for both families: ``optimizer__lr=0.01``.

        Raises:
            HowtoError: If the file is missing, is no valid Python, or a ``_base_`` does not resolve.
        """
        path = self._files.path(name or self.own)
        with self.inside():
            self._files.check_syntax(path)
            try:
                cfg = family.load(path)
                cfg.merge_from_dict(_dotted(changes))
                return cfg
            except FileNotFoundError as error:
                raise HowtoError(
                    f"{self._files.shown(path)}: {error}; its _base_ must be a path relative to it"
                ) from error
            except Exception as error:
                try:
                    runpy.run_path(str(path))  # Config runs a copy of it, under a name that says nothing
                except Exception as again:  # another error if the config asks its _base_, which Python does not know
                    if type(again) is type(error):
                        line = traceback.extract_tb(again.__traceback__)[-1].lineno
                        error.add_note(f"raised in {self._files.shown(path)}:{line}")
                raise

    def edit(self, name: str, changes: dict[str, str], adapts: bool = False) -> str:
        """Make a variant of a file of this how-to in which each key of `changes` reads as its value.

        The file itself stays as it is; the difference is printed: from the variant, which has a mistake, to the file,
        or from the file to the variant if that adapts it. Where a mutation has changed what a key says, the variant is
        made of the snippet without it: that words are gone is no check.

        Returns:
            The variant's file name.

        Raises:
            HowtoError: If a key does not occur exactly once.
        """
        return self._files.edit(name, changes, adapts)

    def ask_python(self) -> None:
        """Have a Python of its own answer in this checkout what readers may ask theirs, see :attr:`HowTo.examples`.

        Raises:
            HowtoError: It answers otherwise.
        """
        self._processes.run([sys.executable, "-m", "doctest", str(self._howto.examples)], {})

    def build(self, cfg):
        """The detector of `cfg` with its initial weights, as ``tools/train.py`` builds it, in evaluation mode."""
        with self.inside(cfg), quiet():
            model = api().detector(cfg)
            model.train(False)
            return model.to(self.device)

    def backbone(self, **keys):
        """A backbone alone, built on the CPU from the keys of a config's ``backbone``, its weights as they come."""
        with self.inside(), quiet():
            return api().part(keys)

    def checkpoint(self, name: str) -> dict:
        """The state dict of the one checkpoint that was loaded for a config and whose file name has `name` in it."""
        (found,) = [each for each in self.record.weights if name in each]
        return checkpoints.load(checkpoints.named(found).place(self._weights_home))

    def annotations(self, split: str) -> dict:
        """The content of this checkout's ``instances_<split>2017.json``."""
        return json.loads((self.root / f"data/coco/annotations/instances_{split}2017.json").read_text("utf-8"))

    def photograph(self) -> Path:
        """A photograph of the validation set: the first that shows an object."""
        content = self.annotations("val")
        shown = min(annotation["image_id"] for annotation in content["annotations"])
        (name,) = [image["file_name"] for image in content["images"] if image["id"] == shown]
        return self.root / "data/coco/val2017" / name

    def dataset(self, cfg, split: str = "train"):
        """The dataset of `cfg` for `split`. Index it inside ``with checkout.inside():``, as its paths are relative."""
        with self.inside(), quiet():
            return api().dataset(cfg, split)

    @contextlib.contextmanager
    def inside(self, cfg=None) -> Iterator[None]:
        """Context in which the working directory is this checkout and what its files register is registered.

        With `cfg`, its weights are found and its ``custom_imports`` are made.
        """
        with quiet():
            import mmdet.apis  # noqa: F401  here, so that what the import prints is dropped once for all
            import torch
        if self.device == "cpu":
            # Images this small gain 20 % from a second thread, and lose a factor of 7 if its core is not free.
            torch.set_num_threads(1)
        for name in (*api().LIBRARIES, "timm"):  # they have handlers of their own; the caller's would write it twice
            logging.getLogger(name).propagate = False
        with isolated(self.root), self._files.naming_snippets(), contextlib.ExitStack() as stack:
            if cfg is not None:
                self._provide(cfg)
                stack.enter_context(weights.looking_in(self._weights_home))
                if cfg.get("custom_imports"):
                    family.base().import_modules_from_strings(**cfg.custom_imports)
            yield

    def train(
        self, name: str | None = None, epochs: int = 1, evaluate: bool = True, resume_from: Path | None = None,
        warmed_up: bool = False, keep_images: bool = False, **changes,
    ) -> Run:  # fmt: skip
        """Train a config by mmdet's own training API and say what happened.

        Args:
            name: Config file of this how-to; else the one that readers train.
            epochs: Number of epochs, of the config's own data.
            evaluate: Whether to evaluate after each epoch, as ``tools/train.py`` does by default.
            resume_from: Checkpoint to resume, as ``--resume-from``.
            warmed_up: Whether to leave out the schedule's linear warm-up, in which the whole of a run this short would
                lie, and to scale the learning rate to the images of a step, as ``--auto-scale-lr``.
            keep_images: Whether to keep what the detector saw, as ``Epoch.images`` of the run.
            **changes: More overrides, with ``__`` for the dot: ``model__backbone__depth=18``.

        Raises:
            HowtoError: If a snippet cannot be loaded. What training raises is passed on, with the snippet's line.
        """
        name = name or self.own
        cfg = self.config(name)
        warm = api().warmed_up(cfg) if warmed_up else {}
        changes = {**fit.overrides(cfg, self.device, epochs), **warm, **_dotted(changes)}
        cfg.merge_from_dict(changes)
        readable = {key: str(value).replace(str(self.root), "$PWD") for key, value in changes.items()}
        self.record.overrides[name] = readable
        options = fit.as_options(readable)
        shown = [option for option in options if option not in self._told]
        if len(shown) < len(options):
            shown.append(f"and {len(options) - len(shown)} options as before")
        command = f"python tools/train.py {self._files.path(name).relative_to(self.root)} --cfg-options"
        show("options", "\n    ".join([command, *shown]), command=command, options=shown, number=len(options))
        self._told.update(options)

        cfg.work_dir = str(self.root / "work_dirs" / Path(name).stem)
        log, run = io.StringIO(), Run(cfg, Path(cfg.work_dir, f"epoch_{epochs}.pth"), keep_images)
        with self.inside(cfg), self._gpu(), contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            run.model = api().train(cfg, evaluate, resume_from, run)
        run.log = log.getvalue()
        return run

    def train_in_two_processes(
        self, names: list[str], epochs: int = 1, evaluate: bool = False, **changes
    ) -> list[dict[str, float]]:
        """Train each config of `names` by ``tools/train.py`` in two processes that average their gradients (DDP).

        On a machine with two GPUs each has its own; on any other they are on the CPU, see
        :mod:`howto.checkout.distributed`.

        Args:
            names: Config files of this how-to.
            epochs: Number of epochs, of the config's own data.
            evaluate: Whether to evaluate after each epoch, as ``tools/train.py`` does by default.
            **changes: More overrides, with ``__`` for the dot.

        Returns:
            For each config, by stage, the largest absolute difference of any weight between the two at the end.

        Raises:
            HowtoError: If a process fails.
        """
        configs, options = self._prepare_launch(names, epochs, None, evaluate, changes, compared=True)
        self._processes.train_in_two(configs, options)
        return [json.loads((config.with_suffix("") / "apart.json").read_text("utf-8")) for config in configs]

    def launch(self, name: str | None = None, iterations: int = 3, succeeds: bool = True, **changes) -> str:
        """Train a config in two processes, as :meth:`train_in_two_processes`, and show a reader's command.

        Args:
            name: Config file of this how-to; else the one that readers train.
            iterations: As many epochs as this number of iterations takes are run, and not evaluated.
            succeeds: Whether it must succeed or must fail.
            **changes: More overrides, with ``__`` for the dot.

        Returns:
            What the processes printed, errors included, the first process's before the second's.

        Raises:
            HowtoError: If it fails although it should succeed, or the other way round.
        """
        name = name or self.own
        configs, options = self._prepare_launch([name], 1, iterations, False, changes, compared=False)
        command = api().several_gpus(self.config(name), str(self._files.path(name).relative_to(self.root)), 2)
        print(f"$ {command}\n# {iterations} iterations without evaluation, with the options above", end="")
        print(
            ""
            if self._processes.gpus > 1
            else "; two simulated GPUs, forked instead of launched, and gloo instead of NCCL"
        )
        return self._processes.train_in_two(configs, options, succeeds)

    def unused_parameters(self, cfg) -> list[str]:
        """Parameters of the detector of `cfg` that require a gradient and get none from its losses, in its order.

        ``DistributedDataParallel`` without ``find_unused_parameters`` stops at them, in the second iteration.
        """
        cfg = copy.deepcopy(cfg)
        cfg.merge_from_dict(fit.overrides(cfg, "cpu", 1))
        model, dataset = self.build(cfg), self.dataset(cfg)
        with self.inside(cfg):
            model.train()
            api().loss(model, [dataset[0], dataset[1]]).backward()
        return [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]

    def detect(self, model, cfg, photograph: Path):
        """Detections of `model` on one photograph, as this MMDetection returns them."""
        with self.inside(), self._gpu():
            cfg = copy.deepcopy(cfg)
            cfg.merge_from_dict(fit.overrides(cfg, self.device, 1))
            return api().detect(model.to("cuda"), cfg, photograph)

    def shell(self, command: str, succeeds: bool = True) -> str:
        """Run `command` in this checkout as a reader would, in a process of its own; return what it printed.

        What it wrote to its error stream follows if it fails. A Python program may find MMDetection imported, see
        :mod:`howto.checkout.standby`.

        ``{fit}`` in `command` stands for the overrides that fit its config to this machine.

        Args:
            command: What a reader would type.
            succeeds: Whether it must succeed or must fail.

        Raises:
            HowtoError: If the command fails although it should succeed, or the other way round.
        """
        words = shlex.split(command)
        variables = dict(word.split("=", 1) for word in words if "=" in word and word.split("=")[0].isupper())
        words = words[len(variables) :]
        named = [Path(word).name for word in words[2:] if word.startswith("configs/")]  # of a program's arguments
        if "{fit}" not in words:
            for name in named:
                with contextlib.suppress(Exception):  # the program says it, and may be meant to
                    self._provide(self.config(name))
        else:
            modules = [str(self.root / part) for part in variables.get("PYTHONPATH", ".").split(os.pathsep)]
            with unittest.mock.patch.object(sys, "path", [*modules, *sys.path]):
                cfg = self.config(named[0])
            self._provide(cfg)
            at = words.index("{fit}")
            words[at : at + 1] = ["--cfg-options", *fit.as_options(fit.overrides(cfg, self.device, 1))]
        fitted = " …  # options that fit it to this machine" if "{fit}" in command else ""
        print(f"$ {command.replace('{fit}', '--cfg-options')}{fitted}")
        if words[0] == "python":
            words[0] = sys.executable
            if self.device == "cpu":
                self.record.simulates(1)
        return self._processes.run(words, variables, succeeds)

    def fails(self, action, *args, **kwargs) -> "Failure":
        """Call `action`, which must fail, and print the line that failed and the error as Python prints them.

        Raises:
            HowtoError: If it does not fail.
        """
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                action(*args, **kwargs)
        except Exception as error:
            line = traceback.extract_tb(error.__traceback__)[-1].line
            last = traceback.format_exception_only(type(error), error.with_traceback(None))[0].rstrip()
            last = re.sub(r"\. Did you (mean|forget)\b.*\?$", "", last)  # Python 3.12 guesses, older ones say nothing
            last = re.sub(r"(\n +/\S*)+", "\n    …", last)  # the module path of this machine, which MMEngine lists
            print(f"    {line}\n{last}")
            return Failure(line, last)
        raise HowtoError(f"{self.topic}: {getattr(action, '__name__', action)} was to fail and did not")

    def _prepare_launch(
        self, names: list[str], epochs: int, iterations: int | None, evaluate: bool, changes: dict, compared: bool
    ) -> tuple[list[Path], list[str]]:
        """Write the configs with their overrides; return their paths, and options for ``tools/train.py``."""
        configs = []
        for name in names:
            cfg = self.config(name)
            on_cpu = self._processes.gpus < 2
            if on_cpu:
                self.record.simulates(2)
            cfg.merge_from_dict({**fit.overrides(cfg, "cpu" if on_cpu else "cuda", epochs), **_dotted(changes)})
            if iterations:
                each = max(1, len(self.dataset(cfg)) // (2 * api().images(cfg)))
                cfg.merge_from_dict(api().schedule(cfg, self.device, -(-iterations // each)))
            options = api().launching(cfg, evaluate)
            if compared:
                cfg.custom_hooks = [*cfg.get("custom_hooks", []), dict(type="HowtoRankDifferenceHook")]
                imports = cfg.get("custom_imports", {"imports": []})
                cfg.custom_imports = {**imports, "imports": [*imports["imports"], "howto.checkout.rank_difference"]}
            self._provide(cfg)
            configs.append(self.root / "work_dirs" / f"{Path(name).stem}_two_processes{len(configs)}.py")
            configs[-1].parent.mkdir(exist_ok=True)
            cfg.dump(str(configs[-1]))
        return configs, options

    @contextlib.contextmanager
    def _gpu(self) -> Iterator[None]:
        """Have what runs in this process find a GPU: a simulated one where there is none."""
        with contextlib.ExitStack() as stack:
            if self.device == "cpu":
                from howto.checkout.simulated_gpu import simulated_gpus  # imports torch

                self.record.simulates(1)
                stack.enter_context(simulated_gpus())
            yield

    def _provide(self, cfg) -> None:
        """Put the checkpoints of `cfg` in place, and say so where one is a stand-in."""
        for name, kind in weights.provide(cfg, self._weights_home).items():
            if kind == "stand-in" and name not in self.record.weights:
                show("stand-in", f"random weights in place of {name}", file=name)
            self.record.weights[name] = kind
        hosts = weights.hosts(cfg)
        self.record.hosts |= {name: hosts[name] for name in hosts if self.record.weights[name] == "stand-in"}

    def _measure(self) -> None:
        self.record.peak_memory_mib = gpu.peak_memory(self.device)
        self.record.seconds = round(time.perf_counter() - self._started, 1)


@dataclasses.dataclass(frozen=True)
class Failure:
    """How something failed: the source line that raised the error, and the error as Python prints it."""

    line: str
    message: str


def _dotted(changes: dict[str, object]) -> dict[str, object]:
    """Changes by the dotted keys of this family's configs."""
    parts = {key: key.split("__") for key in changes}
    return {".".join([api().KEYS.get(first, first), *rest]): changes[key] for key, (first, *rest) in parts.items()}
