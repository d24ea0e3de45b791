import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from howto.project import stacks

TOOLS = ("This", "SphinxGallery")


@pytest.fixture(scope="module")
def measured(tiny_project, tmp_path_factory):
    """A project in which two tools were compared on two pages, and what was printed."""
    project = tiny_project.copy(tmp_path_factory.mktemp("bench") / "project")
    bench = [sys.executable, "benchmarks/bench.py", "--pages", "cheap", "--number", "2", "--rounds", "2"]
    done = subprocess.run([*bench, "--tools", *TOOLS], cwd=project.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return project, done.stdout


def test_every_tool_is_measured_as_often_as_there_are_rounds(measured):
    project, said = measured
    (found,) = json.loads((project.root / "docs/results/bench.json").read_text())
    assert (found["kind"], found["pages"], found["rounds"]) == ("cheap", 2, 2)
    clean = found["cases"]["clean build"]
    assert list(clean) == ["sphinx-gallery", "this project"]
    assert {len(item["seconds"]) for item in clean.values()} == {2}
    assert all(second > 0 for item in clean.values() for second in item["seconds"])
    assert set(found["cases"]["nothing changed"]) == {"this project", "sphinx-gallery"}
    assert "round 2 of 2: sphinx-gallery" in said


def test_memory_that_processes_share_counts_once(monkeypatch):
    monkeypatch.syspath_prepend(stacks.ROOT / "benchmarks")
    bench = importlib.import_module("bench")
    shared, started = b"x" * 2**28, []
    alone = bench.memory(os.getpid())
    fork = multiprocessing.get_context("fork")
    for _ in range(3):
        started.append(fork.Process(target=time.sleep, args=(60,), daemon=True))
        started[-1].start()
    together = bench.memory(os.getpid())
    for process in started:
        process.kill()
        process.join()
    assert alone > len(shared) / 2**20
    assert alone / 2 < together < alone + len(shared) / 2**20
    assert bench.memory(started[0].pid) == 0
