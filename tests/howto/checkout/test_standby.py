"""Programs that are started from a process which stands by behave as those that Python starts anew."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from howto.checkout import standby
from howto.project.stacks import ROOT

SAYS = """
import json, os, sys
names = sorted(name for name in sys.modules if name in ("mmcls", "mmpretrain", "timm", "configs"))
print(json.dumps(dict(
    argv=sys.argv, path=sys.path, root=os.environ.get("ROOT_OF_PROJECT") in sys.path, cwd=os.getcwd(),
    name=__name__, word=os.environ.get("WORD"), home=os.environ.get("HOME"), modules=names,
    input=sys.stdin.read() if sys.stdin else "",
)))
print("an error", file=sys.stderr)
"""
DRIVER = """
import json, os, sys, tempfile
from pathlib import Path
from howto.checkout import standby
import huggingface_hub.file_download
sys.modules["client"] = huggingface_hub.file_download  # as a library keeps it that was imported before, timm for one
if json.loads(sys.argv[1]):
    tempfile.tempdir = tempfile.mkdtemp()  # as for a mutation: the folder is gone when a program is started
    standby.keep()
    os.rmdir(tempfile.tempdir)
    assert standby.origin.address
jobs, folder = json.loads(sys.argv[2]), Path(sys.argv[3])
environment = {**os.environ, "WORD": "two words", "PYTHONPATH": "/added", "PYTHONWARNINGS": "ignore"}
environment["HF_HUB_OFFLINE"] = "1"
environment.pop("HOME", None)
found = [standby.run(job, folder, environment) for job in jobs]
print("FOUND" + json.dumps([(each.returncode, each.stdout, each.stderr) for each in found]))
"""


def outcomes(folder: Path, kept: bool, *jobs: list[str]) -> list[list]:
    """Exit code, output and error output of Python programs, started from a process that stands by, or anew."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "ROOT_OF_PROJECT": str(ROOT), "HOWTO_DEVICE": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(kept), json.dumps(jobs), folder], cwd=ROOT, env=variables,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.rpartition("FOUND")[2])


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> list[list[list]]:
    """What the same programs do when they are started anew, and when they are not."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "tools").mkdir()
    importing = SAYS.replace("path=sys.path", "path=sys.path[:2]")  # setuptools adds one when it is imported
    (folder / "tools/says.py").write_text(f"import mmdet.apis\n{importing}")
    (folder / "says.py").write_text(SAYS)
    (folder / "fails.py").write_text("def inner():\n    raise ValueError('no')\n\n\ninner()\n")
    (folder / "near.py").write_text("import says\n")
    jobs = [
        ["tools/says.py", "--flag", "a b"], ["-m", "says", "x"], ["-c", SAYS, "y"],
        ["fails.py"], ["-c", "import sys; sys.exit(3)"], ["-c", "import sys; sys.exit('because')"],
        ["-c", "import says"], ["-c", "import configs.nothing"],
        ["-c", "from huggingface_hub import constants; print(constants.HF_HUB_OFFLINE)"],
        ["-c", "import sys; print('client' not in sys.modules or sys.modules['client'].constants.HF_HUB_OFFLINE)"],
        ["-c", "import os; os.write(1, b'raw'); os.system('echo shell')"], ["-X", "utf8", "-c", "print(1)"],
        ["-c", "import tempfile; print(tempfile.gettempdir())"],
    ]  # fmt: skip
    return [outcomes(folder, kept, *jobs) for kept in (False, True)]


def test_a_program_sees_writes_and_ends_with_what_it_would_as_a_new_process(both):
    for number, (anew, kept) in enumerate(zip(*both, strict=True)):
        assert anew[0] == kept[0]
        if number < 3:
            assert anew[0] == 0, kept[2]
            said = [json.loads(each[1].splitlines()[-1]) for each in (anew, kept)]  # onedl-mmdet says more
            assert (said[0], kept[2]) == (said[1], "an error\n")
        else:
            assert anew[1] == kept[1]
            assert anew[2].splitlines()[-1:] == kept[2].splitlines()[-1:]


def test_an_error_shows_the_program_and_nothing_of_what_started_it(both):
    anew, kept = (textwrap.dedent(each[3][2]).splitlines() for each in both)
    assert (kept[0], kept[-1]) == ("Traceback (most recent call last):", "ValueError: no")
    assert [line for line in kept if 'File "' in line] == [line for line in anew if 'File "' in line] != []


def test_a_program_ends_with_the_process_that_asked_for_it(tmp_path):
    file = tmp_path / "number"
    waits = f"import os, time; open({str(file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    code = f"from howto.checkout import standby; standby.keep(); standby.run(['-c', {waits!r}], '/', dict())"
    asking = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "HOWTO_DEVICE": "cpu"})
    until = time.monotonic() + 120
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < until
        time.sleep(0.1)
    asking.send_signal(signal.SIGKILL)
    asking.wait()
    while Path(f"/proc/{file.read_text()}").exists():
        assert time.monotonic() < until
        time.sleep(0.1)


# One process stands by, and is asked for one thing after the other; the last kills it.
SERIES = """
import atexit, json, os, subprocess, sys, tempfile
import psutil
from howto.checkout import standby
from howto.project.errors import HowtoError

kept = tempfile.TemporaryDirectory()  # deleted when this process ends, and not when a copy of it does
atexit.register(print, "the end of what stands by")
standby.keep(later=("colorsys", "sndhdr"))
run = lambda code, **options: standby.run(["-c", code], "/", dict(os.environ), **options)
names = "('torch', 'colorsys', 'sndhdr')"
print(run(f"import sys; print([name in sys.modules for name in {names}])").stdout, "torch" in sys.modules)
# What joblib and the like start are children of a program that only what is registered for its end ends.
workers = "from joblib import Parallel, delayed; print(Parallel(2)(delayed(abs)(-n) for n in range(4)))"
for code in (workers, workers + "; import sys; sys.exit(3)", "import atexit; atexit.register(print, 'its own end')"):
    done = run(code, limit=30)
    print(done.returncode, done.stdout.strip())
print(os.path.isdir(kept.name))
try:
    run(f"import os, time; open({sys.argv[1]!r}, 'w').write(str(os.getpid())); time.sleep(600)", limit=3)
except subprocess.TimeoutExpired as error:
    print("limit", error.timeout)
(origin,) = psutil.Process().children()
try:
    run("import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
except HowtoError as error:
    print(error)
origin.kill()
origin.wait()
print(run("print('anew')").stdout, end="")
"""


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """What that prints, line by line, and the file with the number of the program that ran too long."""
    number = tmp_path_factory.mktemp("series") / "number"
    command = [sys.executable, "-W", "ignore", "-c", SERIES, number]
    variables = {**os.environ, "HOWTO_DEVICE": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    return done.stdout.splitlines(), number


def test_what_is_to_come_later_is_imported_by_the_copy_alone(series):
    assert series[0][:2] == ["[True, True, True]", " False"]


def test_a_program_does_at_its_end_what_it_would_do_as_a_new_process(series):
    assert series[0][2:6] == ["0 [0, 1, 2, 3]", "3 [0, 1, 2, 3]", "0 its own end", "True"]
    assert series[0][-1] == "the end of what stands by"


def test_a_program_that_runs_longer_than_it_may_is_killed(series):
    assert series[0][6] == "limit 3"
    until = time.monotonic() + 10
    while Path(f"/proc/{series[1].read_text()}").exists():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_when_what_stands_by_was_killed_a_line_says_so_and_the_next_program_is_started_anew(series):
    program = "-c import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
    said = f"the process that had started `{program}` was killed, for want of memory perhaps; run it again"
    assert series[0][7:9] == [said, "anew"]


def test_nothing_stands_by_on_a_gpu(monkeypatch):
    monkeypatch.setattr(standby.device, "kind", lambda: "cuda")
    monkeypatch.setattr(standby.origin, "address", "")  # of this process of tests
    standby.keep()
    assert not standby.origin.address
