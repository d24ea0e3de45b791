"""Two processes of ``tools/train.py``, as torchrun would start them, on a machine without two GPUs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from howto import Workspace
from howto.checkout.family import api
from howto.project import stacks
from howto.project.stacks import ROOT

MEETS = """
import os, sys
import torch
import torch.distributed as dist

dist.init_process_group("nccl")
total = torch.tensor(float(dist.get_rank()) + 1).cuda()
dist.all_reduce(total)
print(dist.get_rank(), sys.argv, total.item(), flush=True)
"""
TAKES = """
import os, socket

try:
    socket.socket().bind(("127.0.0.1", int(os.environ["MASTER_PORT"])))
    print("the port was free", flush=True)
except OSError:
    print("the port is taken", flush=True)
"""
STUCK = """
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
dist.recv(torch.zeros(1), 1 - dist.get_rank())
"""
FAILS = MEETS + "assert dist.get_rank() == 0, 'one fails'\ndist.barrier()\n"
WAITS = "import os, time\nopen(os.environ['RANK'], 'w').write(str(os.getpid()))\ntime.sleep(600)\n"


def start(folder: Path, script: str, times: int = 1) -> subprocess.Popen:
    """Start two processes of a ``tools/train.py`` of this content, so many times one after the other."""
    (folder / "tools").mkdir()
    (folder / "tools/train.py").write_text(script)
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "howto.checkout.distributed", *["one.py"] * times, "--seed", "0"]
    return subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.PIPE, text=True)


def test_both_meet_and_what_they_print_comes_in_order(tmp_path):
    process = start(tmp_path, TAKES + MEETS, times=8)  # one pair in twenty waited for ever while it ended
    arguments = ["tools/train.py", "one.py", "--seed", "0", "--launcher", "pytorch"]
    lines = process.communicate(timeout=300)[0].splitlines()
    assert [line for line in lines if "one.py" in line] == [f"{rank} {arguments} 3.0" for rank in range(2)] * 8
    assert [line for line in lines if "port" in line] == ["the port is taken"] * 16  # nobody else can take it
    assert process.returncode == 0


def test_one_that_fails_ends_the_other_and_is_heard(tmp_path):
    process = start(tmp_path, FAILS)
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 1
    assert "AssertionError: one fails" in printed


def test_two_that_wait_for_each_other_say_so(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/train.py").write_text(STUCK)
    run = "import sys; from howto.checkout import distributed; distributed.SILENCE = 2; "
    command = [sys.executable, "-c", run + "sys.exit(distributed.main(['one.py']))"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "Timed out waiting 2000ms" in done.stdout


def test_both_end_when_the_one_that_forked_them_is_killed(tmp_path):
    process = start(tmp_path, WAITS)
    numbers = [tmp_path / rank for rank in "01"]
    until = time.monotonic() + 300
    while not all(number.exists() and number.read_text() for number in numbers):
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for number in numbers:
        while Path(f"/proc/{number.read_text()}/stat").exists():
            assert time.monotonic() < until
            time.sleep(0.1)


def test_the_launcher_that_pages_name_gets_the_stock_script_to_its_config_and_that_of_2_x_does_not():
    """Farther it needs two GPUs."""
    checkout = Workspace("freeze")
    place = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    commands = {api().several_gpus({}, "configs/nowhere.py", 2): False}
    if stacks.current().family == "mmdet2":
        commands["bash tools/dist_train.sh configs/nowhere.py 2"] = True
    for command, is_refused in commands.items():
        printed = checkout.shell(f"PATH={place} {command}", succeeds=False)
        assert ("unrecognized arguments: --local-rank=0" in printed) == is_refused
        assert ("nowhere.py" in printed and "FileNotFoundError" in printed) != is_refused
