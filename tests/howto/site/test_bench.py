import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import time

import pytest
from bs4 import BeautifulSoup

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


def test_a_page_shows_the_figures_with_their_ratio(measured):
    project, _ = measured
    done = project.howto("build")
    assert done.returncode == 0, done.stderr
    page = BeautifulSoup((project.site / "benchmarks.html").read_text(), "html.parser")
    (found,) = json.loads((project.root / "docs/results/bench.json").read_text())
    assert page.find(string="2 pages that add 1 and 1")
    for table, case in zip(page.select("table"), ("clean build", "nothing changed"), strict=True):
        tools = found["cases"][case]
        rows = [[cell.get_text(strip=True) for cell in row.select("td")] for row in table.select("tbody tr")]
        assert sorted(row[0] for row in rows) == sorted(tools)
        ratios = {row[0]: float(row[2]) for row in rows}
        assert ratios["this project"] == 1
        widths = {row.td.get_text(strip=True): int(row.rect["width"]) for row in table.select("tbody tr")}
        assert list(ratios.values()) == sorted(ratios.values())
        assert list(widths.values()) == sorted(widths.values())
        head = [cell.get_text(strip=True) for cell in table.select("thead th")]
        assert head[3:] == ["Seconds", "MiB"]  # no column of what was not looked for


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


def test_a_page_is_weighed_as_a_browser_loads_it(tiny_project, browser, tmp_path):
    project = tiny_project.copy(tmp_path / "project")
    bench = [sys.executable, "benchmarks/bench.py", "--pages", "themes", "--themes", "furo", "alabaster"]
    done = subprocess.run(bench, cwd=project.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads((project.root / "docs/results/bench.json").read_text())
    (page,) = project.site.glob("how-to/plot_*.html")
    furo, other = found["themes"]
    assert furo["bytes"] > page.stat().st_size and furo["requests"] > 5
    assert other["bytes"] != furo["bytes"]
    assert project.howto("build").returncode == 0
    shown = BeautifulSoup((project.site / "benchmarks.html").read_text(), "html.parser")
    first, second = ([cell.get_text(strip=True) for cell in row.select("td")] for row in shown.select("tbody tr"))
    assert (first[0], first[2], second[0]) == ("furo", "1.00", "alabaster")
    assert first[1] == f"{furo['bytes'] / 1000:.0f} kB"


def test_a_site_where_nothing_was_measured_says_so(tiny_project):
    assert "not measured where this site was built" in (tiny_project.site / "benchmarks.html").read_text()
