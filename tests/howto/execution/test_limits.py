"""A page that hangs, eats memory, prints without end, exits or leaves something behind fails the build, and no more."""

import pytest

from tests.howto.publish.test_build import append, changed, executed, report

MESS = """
import os
import random

import matplotlib
import numpy
import torch
from mmcv.runner.hooks import HOOKS, Hook

os.chdir("/")
os.environ["HOME"] = "/nowhere"
random.seed(7), numpy.random.seed(7), torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
torch.set_num_threads(1)
matplotlib.rcParams["figure.dpi"] = 7


@HOOKS.register_module(force=True)
class CheckpointHook(Hook):
    pass


@HOOKS.register_module()
class LeftBehind(Hook):
    pass
"""
LOOK = """
import os
import random

import matplotlib
import numpy
import torch
from mmcv.runner.hooks import HOOKS

state = [os.path.basename(os.getcwd()), os.environ["HOME"], random.random(), numpy.random.rand(), torch.rand(1).item()]
state += [torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()]
state += [matplotlib.rcParams["figure.dpi"], HOOKS.get("CheckpointHook").__module__, HOOKS.get("LeftBehind")]
record.check("the state", state, "shown")
"""
IDLE = """
import threading

idler = threading.Timer(60, print)
idler.daemon, idler.name = True, "Idler"
idler.start()
"""
SLEEP = "import time\n\ntime.sleep(1000)\n"
PAGES = {
    "catches": "import time\n\nwhile True:\n    try:\n        time.sleep(1000)\n    except ValueError:\n        pass\n",
    "file": "import builtins\n\nbuiltins.kept = open('{folder}/log', 'w')\n",
    "hangs": SLEEP,
    "look": LOOK,
    "memory": "eaten = []\nwhile True:\n    eaten.append(bytearray(2**26))\n",
    "mess": MESS,
    "prints": "print('x' * 10**8)\n",
    "process": "import subprocess\n\nsubprocess.run(['sh', '-c', 'sleep 9; touch {folder}/ran_on'])\n",
    "tensor": "import torch\n\ntorch.ones(2**29)\n",
    "thread": IDLE,
    "zoo": LOOK,
}
LIMITS = {"HOWTO_TIME_LIMIT": "5", "HOWTO_MEMORY": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("limits")


@pytest.fixture(scope="module")
def built(tiny_project, folder):
    """A build of many pages of which most do something bad: the project, and the build."""
    project = tiny_project.copy(folder / "project")
    for topic, code in PAGES.items():
        project.add(topic)
        append(project, f"gallery/plot_{topic}.py", "\n# %%\n" + code.replace("{folder}", str(folder)))
    return project, project.howto("build", **LIMITS)


def line_of(project, topic, text):
    lines = (project.root / f"gallery/plot_{topic}.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_every_page_is_executed_whatever_those_before_it_did_and_only_those_that_did_nothing_bad_are_fresh(built):
    project, done = built
    assert (done.returncode, executed(done)) == (1, sorted(PAGES))
    assert [topic for topic, parts in changed(project, *PAGES, "tiny").items() if not parts] == ["mess", "tiny"]


@pytest.mark.parametrize(("topic", "text"), [("hangs", "time.sleep"), ("catches", "time.sleep"), ("process", ".run(")])
def test_a_page_that_hangs_is_stopped_with_what_it_started_and_the_line_where_it_was_is_named(
    built, folder, topic, text
):
    project, done = built
    assert "TimeoutError: still running after 5 s; HOWTO_TIME_LIMIT=SECONDS allows more" in report(done, topic)
    assert f"gallery/plot_{topic}.py:{line_of(project, topic, text)} " in report(done, topic)
    assert not (folder / "ran_on").exists()  # it had until the end of the build


def test_a_page_that_prints_100_mb_fails_and_says_how_much_it_may(built):
    assert "printed too much: the page would have 100,00" in report(built[1], "prints")
    assert "1,048,576 are allowed" in report(built[1], "prints")


def test_a_page_that_exhausts_memory_fails_alone(built):
    assert "MemoryError" in report(built[1], "memory")
    assert "can't allocate memory" in report(built[1], "tensor")


def test_what_is_left_running_or_open_is_named(built, folder):
    assert "left the thread Idler running; join it" in report(built[1], "thread")
    assert f"left {folder}/log open; close it" in report(built[1], "file")


def test_what_a_page_finds_does_not_depend_on_the_pages_before_it(built):
    _, done = built
    before, after = (report(done, topic).rpartition("measured ")[2] for topic in ("look", "zoo"))
    assert "'mmdet2', " in before  # the folder of the script
    assert before == after
