import ast
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from torch.utils.data import DataLoader

from howto import Workspace
from howto.commands import mutate
from howto.commands.edits import Mutation, mutations
from howto.execution.limits import limited
from howto.project import files, stacks
from howto.project.howtos import HowTo
from tests.howto.publish.test_build import append

FAMILY = "mmdet2"


def found(topic: str) -> list[Mutation]:
    return list(mutations(HowTo(stacks.current(), topic), every=True))


@pytest.fixture
def snippets_put_back(monkeypatch):
    monkeypatch.setenv("HOWTO_SNIPPETS", "")
    monkeypatch.setenv("MPLBACKEND", "agg")


MISTAKES = {
    "mmcls_backbone": [
        "in_channels=[48, 48, 96]",
        "out_indices=(3, 8, 10)",
        "out_indices=(4, 8, 11)",
        "in_channels=[24, 96, 48], start_level=0",
        "type='MobileNetV3'",
    ],
    "mosaic": ["img_scale = (1333, 800)", "border=(img_scale[0] // 2"],
    "small_objects": ["[[(side // stride) for side in sides]"],
    "timm_backbone": ["lr=0.02"],
    "unfreeze_backbone": ["frozen_stages=2", "unfreeze_epoch=2)", "runner.epoch <= self.unfreeze_epoch"],
}


@pytest.mark.parametrize("topic", files.topics(FAMILY))
def test_every_mutation_is_another_python_file_and_the_mistakes_that_readers_make_are_among_them(topic):
    snippets = [path.read_text() for path in HowTo(stacks.current(), topic).snippets]
    sources = [mutation.source for mutation in found(topic)]
    assert all(ast.parse(source) for source in sources)
    assert len({*sources, *snippets}) == len(sources) + len(snippets) > 6
    assert [each for each in MISTAKES.get(topic, []) if not any(each in source for source in sources)] == []


CONFIG = "_base_ = '../é.py'\n"


def edits(tmp_path, monkeypatch, line: str, every: bool = False) -> set[str]:
    """What becomes of a line in a config, edit by edit."""
    folder = tmp_path / FAMILY / "made"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.py").write_text(f"{CONFIG}{line}\n", "utf-8")
    monkeypatch.setenv("HOWTO_SNIPPETS", str(tmp_path))
    made = [mutation.source for mutation in mutations(HowTo(stacks.current(), "made"), every)]
    assert all(source.endswith("\n") for source in made)
    return {source.removeprefix(CONFIG).rstrip("\n") for source in made if source.startswith(CONFIG)}


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ("x = dict(a=4, b=0.5)", {"x = dict(a=8, b=0.5)", "x = dict(a=5, b=0.5)", "x = dict(a=3, b=0.5)"}),
        (
            "x = (3, 6, 9)",
            {f"x = {moved}" for moved in ("(2, 6, 9)", "(4, 6, 9)", "(3, 7, 9)", "(3, 6, 8)", "(3, 6, 10)")},
        ),
        ("x = (3, 6, 9)", {"x = (6, 3, 9)", "x = (3, 9, 6)"}),  # neighbours are swapped
        ("x = dict(type='A', s=(8, 4), z=(2, 1), on=True)", {"x = dict(type='A', s=(2, 1), z=(8, 4), on=True)"}),
        ("x = dict(p=0.5, n=1, on=True)", {"x = dict(p=1, n=0.5, on=True)"}),
        ("x = a // 2", {"x = -(-a // 2)"}),  # a whole division is rounded the other way
        ("x = -a // 2", {"x = -(a // 2)"}),
        ("x = -(-a // b) * b", {"x = (a // b) * b"}),
        ("x = (a + b) // (a - b)", {"x = -(-(a + b) // (a - b))"}),
        ("x = -(-(a // 2) // b)", {"x = (a // 2 // b)"}),
        ("x = (a // 2, b // 2)", {"x = (-(-a // 2), b // 2)", "x = (a // 2, -(-b // 2))"}),
    ],
)
def test_what_a_tired_person_would_mistype_is_among_what_becomes_of_a_line(tmp_path, monkeypatch, line, made):
    found = edits(tmp_path, monkeypatch, line)
    assert found >= made
    assert not any("on=1" in each or "on=0.5" in each or "type=(" in each for each in found)  # of another kind


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ("lr = 0.5", {"lr = 1.0"}),
        ("x = -(-a // b)", {"x = (a // b)", "x = -a // b", "x = -(a // b)"}),  # not rounded up once more
        ("x = (0.5, 0.5)", {"x = (0.5)", "x = (1.0, 0.5)", "x = (0.5, 1.0)"}),  # equal neighbours are not swapped
        (
            "x = dict(n='é', p=0.5)",
            {"x = dict(p=0.5)", "x = dict(n='é')", "x = dict(n='éx', p=0.5)", "x = dict(n='é', p=1.0)"},
        ),
    ],
)
def test_nothing_else_becomes_of_a_line(tmp_path, monkeypatch, line, made):
    assert edits(tmp_path, monkeypatch, line, every=True) == {*made, "pass"}


def test_a_process_that_a_mutation_leaves_behind_does_not_hinder_its_folder_from_going():
    """As the workers of a ``DataLoader`` whose training failed, which make folders of their own."""
    with mutate._reaping_children() as folder:
        writes = "import itertools, os; [os.makedirs(f'{n}/{n}') for n in itertools.count()]"
        started = subprocess.Popen([sys.executable, "-c", writes], cwd=folder)
        while not list(Path(folder).iterdir()):
            time.sleep(0.01)
    assert not Path(folder).exists()
    assert not psutil.pid_exists(started.pid)


def test_the_workers_of_a_loader_end_without_an_error():
    with mutate._reaping_children():
        batches = iter(DataLoader(range(8), num_workers=2, persistent_workers=True))
        next(batches)
        assert all(worker.is_alive() for worker in batches._workers)
    assert not any(psutil.pid_exists(worker.pid) for worker in batches._workers)


@pytest.mark.parametrize(("seconds", "result"), [(2, "survived"), (60, "killed")])
def test_a_mutation_that_was_merely_slow_is_tried_again_with_more_time(snippets_put_back, monkeypatch, seconds, result):
    def execute(howto):
        with limited():
            time.sleep(seconds)
        return ""

    monkeypatch.setattr(mutate, "execute", execute)
    (tried, why), took = mutate._try_with_retry((found("best_checkpoint")[0], 1))
    assert (tried, "still running after 4 s" in why) == (result, result == "killed")
    assert took > 1 + min(seconds, 4)


def test_a_mutation_that_kills_its_process_is_noticed_and_leaves_nothing(snippets_put_back, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def execute(howto):
        Workspace(howto.topic)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(mutate, "execute", execute)
    (tried, why), _ = mutate._try_with_retry((found("best_checkpoint")[0], 60))
    assert (tried, why) == ("killed", "the process ended with -9")
    assert list(tmp_path.iterdir()) == []
    howto = HowTo(stacks.current(), "best_checkpoint")
    assert mutate._as_it_is(howto) == ("the process ended with -9", 0.0)


def with_a_worker() -> int:
    """What a process ends with that this one starts."""
    worker = multiprocessing.get_context("fork").Process(target=os.getpid)
    worker.start()
    worker.join()
    return worker.exitcode


def test_a_page_that_is_mutated_may_have_worker_processes():
    with multiprocessing.get_context("fork").Pool(1, mutate._may_have_children) as pool:
        assert pool.apply(with_a_worker) == 0


PRINTS = """
import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()) as out:
    runpy.run_path(str(snippet))
"""
PRINTED = f'{PRINTS}record.check("what it prints", out.getvalue(), "2\\n")\n'


@pytest.fixture(scope="module")
def mutated(tiny_project, tmp_path_factory):
    """Two how-tos with the same snippet, one that looks at what it prints and one that does not, one run for each."""
    project = tiny_project.copy(tmp_path_factory.mktemp("mutated") / "project")
    project.add("looks")
    append(project, "gallery/plot_looks.py", PRINTED)
    runs = {topic: project.howto("mutate", topic) for topic in ("looks", "tiny")}
    return project, runs, reported(project)


def reported(project):
    """What is kept of the mutations, by how-to."""
    kept = json.loads((project.root / "docs/results/mutations-mmdet2.json").read_text())
    assert all(entry["date"] and entry["machine"] and entry["of"] for entry in kept.values())
    return kept


def test_a_check_that_looks_notices_every_mutation(mutated):
    _, runs, report = mutated
    assert (runs["looks"].returncode, set(report["looks"]["counts"]), report["looks"]["left"]) == (0, {"killed"}, [])
    number = report["looks"]["counts"]["killed"]
    assert f"{number} mutations: {number} killed, 0 survived, 0 equivalent" in runs["looks"].stdout


def test_a_check_that_does_not_look_notices_none_and_each_is_named(mutated):
    _, runs, report = mutated
    survived = [item["edit"] for item in report["tiny"]["left"] if item["result"] == "survived"]
    assert len(survived) == report["tiny"]["counts"]["survived"]
    assert runs["tiny"].returncode == 1
    assert "NumberReplacer, line 1: print(1 + 1) → print( 2 + 1)" in survived
    told = " ".join(runs["tiny"].stderr.split())
    assert all(f"survived: tiny/one.py: {edit}" in told for edit in (" ".join(edit.split()) for edit in survived))


def shown(project):
    """The text of the page about mutations, built anew."""
    assert project.howto("build").returncode == 0
    return re.sub("<[^>]+>", "", (project.site / "mutations.html").read_text())


def test_the_page_of_the_site_shows_what_was_found_and_says_when_the_how_to_has_changed_since(mutated, tmp_path):
    project = mutated[0].copy(tmp_path / "project")
    edit = "print(1 + 1) → print( 2 + 1)"
    assert shown(project).count(edit) == 1  # survived for the one; what was noticed is counted
    assert "the page changed since" not in shown(project)
    append(project, "snippets/mmdet2/tiny/one.py", "# edited\n")
    assert shown(project).count("the page changed since") == 1


def test_a_how_to_that_does_not_pass_as_it_is_is_not_mutated(mutated, tmp_path):
    project = mutated[0].copy(tmp_path / "project")
    project.edit("gallery/plot_looks.py", '"2\\n")', '"3\\n")')
    done = project.howto("mutate", "looks")
    assert done.returncode == 1
    assert "looks does not pass as it is, see python -m howto verify looks" in done.stderr


FULL = f"""{PRINTS}
if out.getvalue() != "2\\n":
    raise OSError(28, "No space left on device")
"""


def test_what_was_found_before_the_run_ended_is_in_the_report(tiny_project, tmp_path):
    project = tiny_project.copy(tmp_path / "project")
    project.add("looks")
    append(project, "gallery/plot_looks.py", PRINTED + "import time; time.sleep(1)  # longer, so it is the first\n")
    append(project, "gallery/plot_tiny.py", FULL)
    done = project.howto("mutate")
    assert (done.returncode, "no space left" in done.stderr) == (1, True)
    report = reported(project)
    assert {topic: set(entry["counts"]) for topic, entry in report.items()} == {"looks": {"killed"}}
