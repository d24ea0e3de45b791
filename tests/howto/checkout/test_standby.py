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
    assert standby._keep.address
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
        ["-c", "import says"], ["tools/says.py/none.py"], ["-c", "import configs.nothing"],
        ["-c", "from huggingface_hub import constants; print(constants.HF_HUB_OFFLINE)"],
        ["-c", "import sys; print('client' not in sys.modules or sys.modules['client'].constants.HF_HUB_OFFLINE)"],
        ["-c", "import os; os.write(1, b'raw'); os.system('echo shell')"], ["-X", "utf8", "-c", "print(1)"],
        ["-c", "import tempfile; print(tempfile.gettempdir())"],
    ]  # fmt: skip
    return [outcomes(folder, kept, *jobs) for kept in (False, True)]


def test_a_program_sees_what_it_would_see_in_a_new_process(both):
    for anew, kept in zip(*(each[:3] for each in both), strict=True):
        assert anew[0] == kept[0] == 0, kept[2]
        assert json.loads(anew[1].splitlines()[-1]) == json.loads(kept[1].splitlines()[-1])  # onedl-mmdet says more
        assert kept[2] == "an error\n"


def test_exit_codes_and_what_is_written_are_the_same(both):
    for anew, kept in zip(*(each[4:] for each in both), strict=True):
        assert anew[:2] == kept[:2]
        assert anew[2].splitlines()[-1:] == kept[2].splitlines()[-1:]


def test_an_error_shows_the_program_and_nothing_of_what_started_it(both):
    anew, kept = (each[3] for each in both)
    assert anew[0] == kept[0] == 1
    assert textwrap.dedent(kept[2]).splitlines()[0] == "Traceback (most recent call last):"
    assert [line for line in kept[2].splitlines() if line.startswith('  File "')] == [
        line for line in anew[2].splitlines() if line.startswith('  File "')
    ]
    assert kept[2].splitlines()[-1] == "ValueError: no"


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


LATER = """
import os, sys
from howto.checkout import standby
standby.keep(later=("colorsys", "sndhdr"))
program = "import sys; print([name in sys.modules for name in ('torch', 'colorsys', 'sndhdr')])"
print(standby.run(["-c", program], "/", dict(os.environ)).stdout, "torch" in sys.modules, "colorsys" in sys.modules)
"""


def test_what_is_to_come_later_is_imported_by_the_copy_alone():
    variables = {**os.environ, "HOWTO_DEVICE": "cpu", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", LATER]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[True, True, True]", " False False"]


ENDLESS = """
import os, subprocess, sys
from pathlib import Path
from howto.checkout import standby
standby.keep(later=("colorsys",))
standby.run(["-c", "pass"], Path("/"), dict(os.environ))  # it has imported everything by now
try:
    waits = f"import os, time; open({sys.argv[1]!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    standby.run(["-c", waits], Path("/"), dict(os.environ), limit=3)
except subprocess.TimeoutExpired as error:
    print(error.timeout)
"""


def test_a_program_that_runs_longer_than_it_may_is_killed(tmp_path):
    command = [sys.executable, "-c", ENDLESS, str(tmp_path / "number")]
    variables = {**os.environ, "HOWTO_DEVICE": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "3\n"
    until = time.monotonic() + 10
    while Path(f"/proc/{(tmp_path / 'number').read_text()}").exists():
        assert time.monotonic() < until
        time.sleep(0.1)


KILLED = """
import os, psutil
from howto.checkout import standby
from howto.project.errors import HowtoError
standby.keep()
(origin,) = psutil.Process().children()
try:
    standby.run(["-c", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"], "/", dict(os.environ))
except HowtoError as error:
    print(error)
origin.kill()
origin.wait()
print(standby.run(["-c", "print('anew')"], "/", dict(os.environ)).stdout, end="")
"""


# What joblib and the like start are children of a program that only what is registered for its end ends.
WITH_WORKERS = """
import atexit, os, tempfile
from pathlib import Path
from howto.checkout import standby

kept = tempfile.TemporaryDirectory()  # deleted when this process ends, and not when a copy of it does
atexit.register(print, "the end of what stands by")
standby.keep()
workers = "from joblib import Parallel, delayed; print(Parallel(2)(delayed(abs)(-n) for n in range(4)))"
for code in (workers, workers + "; import sys; sys.exit(3)", "import atexit; atexit.register(print, 'its own end')"):
    done = standby.run(["-c", code], Path("/"), dict(os.environ), limit=30)
    print(done.returncode, done.stdout.strip())
print(Path(kept.name).is_dir())
"""


def test_a_program_does_at_its_end_what_it_would_do_as_a_new_process():
    command = [sys.executable, "-W", "ignore", "-c", WITH_WORKERS]
    variables = {**os.environ, "HOWTO_DEVICE": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    said = ["0 [0, 1, 2, 3]", "3 [0, 1, 2, 3]", "0 its own end", "True", "the end of what stands by"]
    assert done.stdout.splitlines() == said, done.stderr


def test_when_what_stands_by_was_killed_a_line_says_so_and_the_next_program_is_started_anew():
    variables = {**os.environ, "HOWTO_DEVICE": "cpu"}
    command = [sys.executable, "-c", KILLED]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "the process that had started `-c import os, signal; os.kill(os.getppid(), signal.SIGKILL)` was killed, "
        "for want of memory perhaps; run it again",
        "anew",
    ]


def test_nothing_stands_by_on_a_gpu(monkeypatch):
    monkeypatch.setattr(standby.device, "kind", lambda: "cuda")
    monkeypatch.setattr(standby._keep, "address", "")  # of this process of tests
    standby.keep()
    assert not standby._keep.address
