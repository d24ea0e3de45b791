import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from howto.execution import workers
from howto.project import device
from howto.project.stacks import ROOT
from tests.howto.publish.test_build import pages

WAIT = """
import time
from pathlib import Path

while len(list(Path({folder!r}).iterdir())) < 2:
    Path({folder!r}, "{topic}").touch()
    time.sleep(0.05)
"""


@pytest.fixture
def three(tiny):
    """The tiny project with two more pages, which run at last if both run at once."""
    folder = tiny.root / "met"
    folder.mkdir()
    for topic in ("one", "two"):
        tiny.add(topic)
        with (tiny.root / f"gallery/plot_{topic}.py").open("a") as script:
            script.write(WAIT.format(folder=str(folder), topic=topic))
    return tiny


def running_in(folder):
    found = []
    for process in psutil.process_iter():
        try:
            if folder in (process.cwd(), *process.environ().get("PYTHONPATH", "").split(":")):
                found.append(process.pid)
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return found


def test_pages_run_at_the_same_time(three):
    done = three.howto("build", HOWTO_WORKERS="2", HOWTO_TIME_LIMIT="60")
    assert done.returncode == 0, done.stderr
    assert "3 snippets on 3 pages, 2 executed now" in done.stdout


def test_a_build_that_is_killed_takes_its_workers_with_it(three):
    build = three.start("build", HOWTO_WORKERS="2")
    (three.root / "met/nobody").touch()
    with (three.root / "gallery/plot_two.py").open("a") as script:
        script.write("time.sleep(600)\n")
    for line in build.stderr:
        if "two: executing" in line:
            break
    until = time.monotonic() + 60
    while len(running_in(str(three.root))) < 3:
        assert time.monotonic() < until
        time.sleep(0.2)
    build.kill()
    build.wait()
    while running_in(str(three.root)) and time.monotonic() < until:
        time.sleep(0.2)
    assert running_in(str(three.root)) == []


def test_a_worker_whose_build_was_killed_before_it_could_ask_to_be_told_ends():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    code = "from howto.execution import workers; workers.settle(); print('went on')"
    for build, expected in ((gone.pid, (1, "")), (os.getpid(), (0, "went on\n"))):
        variables = {**os.environ, "HOWTO_BUILD_PROCESS": str(build)}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == expected, done.stderr


def test_an_interrupt_leaves_a_worker_to_the_build_but_ends_what_the_worker_started():
    code = (
        "import os, signal, subprocess, sys\n"
        "from howto.execution import workers\n"
        "workers.settle()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "started = subprocess.run([sys.executable, '-c', 'import os; os.kill(os.getpid(), 2)'])\n"
        "print('went on', started.returncode)"
    )
    variables = {**os.environ, "HOWTO_BUILD_PROCESS": str(os.getpid())}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"went on {-signal.SIGINT}\n"), done.stderr


@pytest.mark.parametrize("moment", ["importing", "executing"])
def test_a_build_that_is_interrupted_says_so_in_a_line_and_takes_its_workers_with_it(three, moment):
    build = three.start("build", HOWTO_WORKERS="2")
    if moment == "importing":
        until = time.monotonic() + 60
        while len(running_in(str(three.root))) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(1)
    else:
        (three.root / "met/nobody").touch()
        with (three.root / "gallery/plot_two.py").open("a") as script:
            script.write("time.sleep(600)\n")
        next(line for line in build.stderr if "two: executing" in line)
    os.killpg(build.pid, signal.SIGINT)
    said = build.communicate(timeout=60)[1]
    # A shell says 130 of both: Python ends itself by the signal if that came while a string was executed.
    assert build.returncode in (130, -signal.SIGINT), said
    assert said.endswith("howto build: interrupted; what had finished is kept\n")
    assert "Traceback" not in said
    until = time.monotonic() + 20
    while running_in(str(three.root)) and time.monotonic() < until:
        time.sleep(0.2)
    assert running_in(str(three.root)) == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit(3)", r"plot_two.py:\d+ ended the build by sys.exit\(3\)"),
        ("import os; os._exit(1)", "worker|terminated"),
        ("import howto; howto.kept = open(howto.__file__)", r"plot_two.py: the page left .*__init__.py open; close it"),
    ],
    ids=["exit", "die", "leave"],
)
def test_a_page_that_fails_in_a_worker_fails_the_build_and_is_named(three, code, said):
    with (three.root / "gallery/plot_two.py").open("a") as script:
        script.write(f"{code}\n")
    done = three.howto("build", HOWTO_WORKERS="2", HOWTO_TIME_LIMIT="60")
    assert done.returncode == 1
    assert re.search(said, done.stderr), done.stderr
    assert pages(three) == ["tiny"]  # the last good site


def test_no_more_workers_than_pages_than_wanted_or_than_gpus(monkeypatch):
    monkeypatch.setenv("HOWTO_WORKERS", "3")
    assert [workers.number(pages) for pages in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert not workers.quick(3)
    monkeypatch.delenv("HOWTO_WORKERS")
    assert [workers.quick(seconds) for seconds in (3, 60)] == [True, False]  # a second one has to pay
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert [workers.number(pages) for pages in (1, 9)] == [1, 2]


def test_workers_share_the_memory_that_is_free(monkeypatch):
    monkeypatch.setenv("HOWTO_BUILD_PROCESS", "")
    monkeypatch.setenv("HOWTO_MEMORY", "")
    monkeypatch.delenv("HOWTO_MEMORY")
    workers.begin(2)
    assert float(os.environ["HOWTO_MEMORY"]) == pytest.approx(psutil.virtual_memory().available / 2**31, rel=0.2)
    monkeypatch.setenv("HOWTO_MEMORY", "3")
    workers.begin(2)
    assert os.environ["HOWTO_MEMORY"] == "3"


def test_each_worker_takes_a_gpu_that_no_other_has(tmp_path):
    code = """
import os, sys
from howto.execution import workers
from howto.project import device
device.kind = lambda: "cuda"
workers.settle()
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""
    own = {**os.environ, "CUDA_VISIBLE_DEVICES": "2,5", "HOWTO_BUILD_PROCESS": "1"}
    start = lambda: subprocess.Popen(  # noqa: E731
        [sys.executable, "-c", code], env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    first, second = start(), start()
    assert sorted(process.stdout.readline().strip() for process in (first, second)) == ["2", "5"]
    third = start()  # more workers than GPUs: it shares one
    assert third.stdout.readline().strip() in ("2", "5")
    for process in (first, second, third):
        process.communicate()
