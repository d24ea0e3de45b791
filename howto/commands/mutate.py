"""Run each how-to's checks on its changed snippets, and see whether they notice."""

import collections
import contextlib
import doctest
import errno
import functools
import importlib
import io
import json
import multiprocessing
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import textwrap
import time
import unittest.mock
from collections.abc import Callable, Iterator
from multiprocessing import connection
from pathlib import Path

from howto.checkout import coco, fit, standby
from howto.checkout.workspace import Workspace
from howto.commands.edits import Mutation, is_config, mutations
from howto.execution import doctor, fingerprint
from howto.execution.limits import limited
from howto.execution.verify import execute
from howto.figures import classifiers, timm_models
from howto.project import budget, files, howtos
from howto.project.errors import HowtoError
from howto.project.howtos import HowTo
from howto.project.processes import end_with_parent
from howto.project.quiet import quiet
from howto.project.record import write_json
from howto.project.stacks import Stack

EQUIVALENT = {  # what no check can notice, as a pattern of the edit, and why
    r"dropped, .* → .*dict\(type='UnfreezeBackboneEpochBasedHook'\)\]?$": "1 is what the hook itself takes",
    r"frozen_stages = -1 → .*frozen_stages = - 2": "below 0 no stage is frozen, at -2 as at -1",
    r"_max_epochs = runner\.epoch \+ 1 → .*runner\.epoch - 1$": "fewer epochs than have run end the training, too",
    r"priority=80\).*→ .*priority=(79|81)\)": "it stays between the evaluation's 70 and the log's 90",
    r"rand\(1, 3, (31, 32|32, 31)\)$": "strides round up: 31 pixels give the same sizes as 32",
    r"→ .*min\(side, 51[13]\)|min\(side, 512\).* → pass$": "images of any size tell the strides of the feature maps",
    r"→ .*torch\.zeros\( ?[02], 3, \*sides": "the feature maps of any number of images have the same sizes",
    r"^swapped, .*anchor_generator=dict\(scales=": "a place has the same anchors, in another order",
    r"^swapped, .*out_indices=": "the backbone puts its levels out in its own order",
}
LATE = "TimeoutError: still running"  # what `limited` ends a page with


def mutate(stack: Stack, names: list[str], every: bool = False) -> int:
    """Try the mutations of the how-tos `names`, or of all; print the survivors, report what each how-to noticed.

    Args:
        stack: The stack to run the checks on.
        names: Names of how-tos.
        every: Whether to try all edits that an operator makes in a line, or the first of them.

    Returns:
        0 if the checks noticed every mutation that can matter, else 1.

    Raises:
        HowtoError: If the machine lacks something, or a how-to does not pass as it is.
    """
    from rich.console import Console
    from rich.progress import track

    doctor.require(stack)
    chosen = howtos.select(stack, names)
    howtos.write_scripts(stack)  # once, before processes that run at the same time would
    found = [mutation for howto in chosen for mutation in mutations(howto, every)]
    report = files.mutations(stack)
    kept = json.loads(report.read_text("utf-8")) if report.exists() else {}
    facts = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": fingerprint.commit()}
    facts["machine"] = f"{budget.cores()} cores, {platform.machine()}"
    with quiet():
        import torch

        # Before forking, so that each child finds torch and mmdet imported.
        importlib.import_module("howto.execution.preloaded")

    standby.keep()  # before a config is loaded, and with it what it imports
    torch.set_num_threads(1)
    os.environ["MPLBACKEND"] = "agg"
    os.environ.pop("HOWTO_RECORDS", None)
    # The quickest form of the checks: fewer images, and see _problem.
    os.environ.setdefault("HOWTO_COCO", str(coco.make_mini_coco(files.BUILD / "mutations" / "coco", every=2)))
    console, started = Console(stderr=True), time.monotonic()
    results, spent = [], collections.Counter()
    with _private_tmpdir():
        for howto, file in {(mutation.howto, mutation.file): None for mutation in found}:
            _content(howto, file)
        _measure_tables({howto.topic for howto in chosen})
    fork = multiprocessing.get_context("fork")
    with fork.Pool(budget.cores(), _may_have_children) as pool:
        limits = {}
        console.print("the how-tos as they are …")
        chosen.sort(key=lambda howto: howto.cost, reverse=True)
        for howto, (problem, seconds) in zip(chosen, pool.imap(_as_it_is, chosen)):
            if problem:
                verify = f"see python -m howto verify {howto.topic}"
                raise HowtoError(f"{howto.topic} does not pass as it is, {verify}: {problem}")
            limits[howto] = round(30 + 2 * seconds)  # a mutation that makes the checks hang is noticed, too
        left = collections.Counter(mutation.howto for mutation in found)
        found.sort(key=lambda mutation: (-limits[mutation.howto], mutation.howto.topic))  # the longest first
        tried = pool.imap(_try_with_retry, [(mutation, limits[mutation.howto]) for mutation in found])
        for mutation, ((result, why), took) in track(zip(found, tried), "mutations", len(found), console=console):
            topic = mutation.howto.topic
            spent[topic] += took
            results.append({"topic": topic, "file": mutation.file, "edit": mutation.edit, "result": result})
            results[-1]["why"] = why
            if result == "survived":
                console.print(f"survived: {topic}/{mutation.file}: {mutation.edit}", markup=False)
            left[mutation.howto] -= 1
            if not left[mutation.howto]:  # whoever ends this has the how-tos that are through
                own = [item for item in results if item["topic"] == topic]
                counts = collections.Counter(item["result"] for item in own)
                left_over = [item for item in own if item["result"] != "killed"]
                kept[topic] = {
                    **{**facts, "of": fingerprint.sources(mutation.howto), "counts": counts},
                    "left": [{key: item[key] for key in ("file", "edit", "result", "why")} for item in left_over],
                }
                here = files.topics(stack.family)
                write_json(report, {name: entry for name, entry in kept.items() if name in here})
    for topic, took in spent.most_common():
        print(f"{topic}: {sum(item['topic'] == topic for item in results)} mutations, {took:.0f} s on one core")
    counts = collections.Counter(item["result"] for item in results)
    found = ", ".join(f"{counts[result]} {result}" for result in ("killed", "survived", "equivalent"))
    print(f"{len(results)} mutations: {found}; {time.monotonic() - started:.0f} s")
    return int(counts["survived"] > 0 or counts["equivalent"] > 0.05 * len(results))


def _measure_tables(topics: set[str]) -> None:
    """Measure what pages have tables of, which no snippet changes: each process finds them measured."""
    with quiet():
        for topic, table in {"mmcls_backbone": classifiers, "timm_backbone": timm_models}.items():
            if topic in topics:
                with Workspace(topic).inside():
                    table.rows()


def _may_have_children() -> None:
    """Let a process of the pool start others, as a page does whose ``DataLoader`` has workers; daemons may not."""
    multiprocessing.current_process()._config["daemon"] = False


def _as_it_is(howto: HowTo) -> tuple[str, float]:
    """What the checks say to a how-to that nobody has changed, and in how many seconds.

    If that is not nothing, they notice no mutation.
    """
    started = time.monotonic()
    try:
        return _in_process(_unchanged, howto), time.monotonic() - started
    except ChildProcessError as error:
        return str(error), 0.0


def _unchanged(howto: HowTo) -> str:
    with _reaping_children():
        return _problem(howto)


def _try_with_retry(job: tuple[Mutation, int]) -> tuple[tuple[str, str], float]:
    """What became of a mutation, as :func:`_try` says it, and after how many seconds that was known."""
    mutation, limit = job
    started = time.monotonic()
    try:
        result = _in_process(_try, job)
        if LATE in result[1]:  # it may hang, or the machine was busy
            result = _in_process(_try, (mutation, 4 * limit))
    except ChildProcessError as error:
        result = "killed", str(error)
    return result, time.monotonic() - started


def _in_process(function: Callable, argument: object) -> object:
    """What a function returns in a process of its own, which ends with all that it has changed.

    Raises:
        ChildProcessError: The process ended before that, as one that crashes, or takes too much memory.
        HowtoError: The function raised it.
    """
    fork = multiprocessing.get_context("fork")
    receive, send = fork.Pipe(duplex=False)
    with _private_tmpdir():
        process = fork.Process(target=_answer, args=(send, function, argument))
        process.start()
        send.close()
        connection.wait([receive, process.sentinel])  # a process that it has started may have the pipe open
        answer = None
        with contextlib.suppress(EOFError):
            if receive.poll():
                answer = receive.recv()
                process.kill()  # one of its threads may live on
        process.join()
    if answer is None:
        raise ChildProcessError(f"the process ended with {process.exitcode}")
    if isinstance(answer, HowtoError):
        raise answer
    return answer


def _answer(send: connection.Connection, function: Callable, argument: object) -> None:
    end_with_parent()
    try:
        answer = function(argument)
    except HowtoError as error:
        answer = error
    send.send(answer)


def _try(job: tuple[Mutation, int]) -> tuple[str, str]:
    """To be called in a process of its own: ``killed``, ``equivalent`` or ``survived``, and why."""
    mutation, limit = job
    family, topic = mutation.howto.stack.family, mutation.howto.topic
    os.environ["HOWTO_TIME_LIMIT"] = str(limit)
    sys.unraisablehook = lambda _: None  # mmcv closes a temporary file of a broken config after its folder is gone
    with _reaping_children() as folder:
        shutil.copytree(files.snippet_folder(family), Path(folder, family))
        Path(folder, family, topic, mutation.file).write_text(mutation.source, "utf-8")
        before = _content(mutation.howto, mutation.file)
        os.environ["HOWTO_SNIPPETS"] = folder
        _content.cache_clear()
        if before and before == _content(mutation.howto, mutation.file):
            return "equivalent", "the config comes to the same"
        problem = _problem(mutation.howto)
    if os.strerror(errno.ENOSPC) in problem:
        raise HowtoError(f"no space left on the disk of {tempfile.gettempdir()}, so nothing can be said; free some")
    if problem:
        problem = re.sub(rf"{tempfile.gettempdir()}/(howto-[^/\s]+/?)+", "", problem.replace(sys.executable, "python"))
        return "killed", textwrap.shorten(problem, 200)
    for pattern, why in EQUIVALENT.items():
        if re.search(pattern, mutation.edit):
            return "equivalent", why
    return "survived", ""


@contextlib.contextmanager
def _private_tmpdir() -> Iterator[str]:
    """A folder for all that is written, and deleted with it: a process that is killed does not clean up."""
    # What a process that was killed had started may still write there.
    with tempfile.TemporaryDirectory(prefix="howto-mutation-", ignore_cleanup_errors=True) as folder:
        before, tempfile.tempdir = tempfile.tempdir, folder
        try:
            yield folder
        finally:
            tempfile.tempdir = before


@contextlib.contextmanager
def _reaping_children() -> Iterator[str]:
    """As :func:`_private_tmpdir`, and no process that was started meanwhile goes on writing there."""
    import psutil

    own = psutil.Process()
    before = own.children(recursive=True)
    with _private_tmpdir() as folder:
        try:
            yield folder
        finally:
            started = [process for process in own.children(recursive=True) if process not in before]
            handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's raises an error if a worker is killed
            for process in started:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(started, timeout=10)
            signal.signal(signal.SIGCHLD, handler)


@functools.cache  # of the snippets as they are, each process finds what was read before it was forked
def _content(howto: HowTo, file: str) -> str:
    """What a config comes to with all that it inherits, or nothing if the file is none or does not load."""
    with contextlib.suppress(Exception):
        if is_config((files.snippet_folder(howto.stack.family) / howto.topic / file).read_text("utf-8")):
            cfg = Workspace(howto.topic).config(file)
            if "custom_imports" in cfg:
                cfg.custom_imports.setdefault("allow_failed_imports", False)  # mmcv's default
            return repr(sorted(cfg.items()))
    return ""


def _problem(howto: HowTo) -> str:
    """The first thing that is wrong: an example in a docstring, else a check of the script."""
    try:
        for path in howto.snippets:
            if ">>>" in path.read_text("utf-8"):
                with limited(), Workspace(howto.topic).inside(), contextlib.redirect_stdout(io.StringIO()):
                    found = doctest.testmod(importlib.import_module(f"configs.{howto.topic}.{path.stem}"))
                if found.failed:
                    return f"{path.name}: {found.failed} of its examples' lines do not print what they say"
        fewer = {key: number // 2 for key, number in fit.FEWER_BOXES.items()}
        with unittest.mock.patch.multiple(fit, LONG_SIDE=fit.LONG_SIDE // 2, FEWER_BOXES=fewer):
            return execute(howto).partition("\n")[0]
    except Exception as error:
        return f"{type(error).__name__}: {error}".partition("\n")[0]
